"""The command ``metis-provision support``."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from metis_provision.report.outputs import refuse_existing, write_whole
from metis_provision.support.bundle import bundle
from metis_provision.support.evidence import texts
from metis_provision.support.mask import Masker

# A host that is named without an inventory has no settings, so that no payload can be expected of it.
NO_SETTINGS: dict[str, object] = {"metis_driver": "none", "metis_runtime": "none", "metis_self_test": False}


@click.command(epilog="Example: metis-provision support pi-kitchen --inventory inventory.py --out pi-kitchen.tar.gz")
@click.argument("host")
@click.option("--inventory", help="Inventory that HOST is in; without one HOST is asked by its name alone.")
@click.option("--sudo", is_flag=True, help="Become root with sudo on the host.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Archive (tar.gz)."
)
def support(host: str, inventory: str | None, sudo: bool, out: Path) -> None:
    """Gather what somebody elsewhere needs to see of HOST, with secrets and addresses masked.

    Survey, verdict, the kernel's log around the card, PCI detail, versions, receipt and settings; nothing on the host
    is changed. The card is asked as by verify, and not kept at work for minutes if the inventory has level long.
    """
    from metis_provision.fleet.run import Options, load
    from metis_provision.fleet.support import ask

    refuse_existing(out)
    loaded = load(inventory) if inventory else load(host, NO_SETTINGS)
    asked = ask(loaded, host, Options(sudo=sudo))
    found = texts(host, asked.settings, asked.survey, asked.look, datetime.now(UTC).replace(microsecond=0), _versions())
    masker = Masker(asked.known_hosts, asked.known_users)
    write_whole(out, bundle(found, masker))
    masked = ", ".join(f"{number} {kind}" for kind, number in masker.counts.items()) or "nothing"
    click.echo(f"{out}: {len(found)} files; masked: {masked}. Look through it before you send it.", err=True)
    click.echo(str(out))


def _versions() -> dict[str, Any]:
    return {
        "metis-provision": version("metis-provision"),
        "pyinfra": version("pyinfra"),
        "python": platform.python_version(),
        "system": platform.system(),
    }
