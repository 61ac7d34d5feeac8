"""``python -m metis_provision.lab``: the lab's commands on their own."""

from __future__ import annotations

import sys

import click

from metis_provision.lab.cli import lab
from metis_provision.model.errors import UserError


def main() -> int:
    """Run the command; a UserError becomes its lines and its exit code."""
    try:
        lab(prog_name="python -m metis_provision.lab")
    except UserError as error:
        click.echo(str(error), err=True)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
