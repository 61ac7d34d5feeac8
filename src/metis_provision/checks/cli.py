"""The commands that speak of the checks themselves: ``metis-provision checks`` and ``explain``."""

from __future__ import annotations

import inspect
import json
import shutil
import sys

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from metis_provision.checks.catalogue import Code, catalogue
from metis_provision.checks.evaluate import check_functions
from metis_provision.checks.waivers import close_codes
from metis_provision.model.errors import UserError
from metis_provision.model.verdict import When

_NO_WIDTH = 1_000_000


@click.command(epilog="Example: metis-provision checks --json")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def checks(as_json: bool) -> None:
    """List every check: its code, what it is about, and whether a host can be green without it."""
    if as_json:
        click.echo(json.dumps([_entry(code) for code in catalogue().values()], indent=2))
        return
    table = Table("code", "what", "severity", "level", "since", box=None, pad_edge=False)
    for code in catalogue().values():
        table.add_row(code.code, Text(code.title), code.severity.value, code.level.value, code.since)
    Console(width=None if sys.stdout.isatty() else _NO_WIDTH).print(table)


@click.command(epilog="Example: metis-provision explain METIS-120")
@click.argument("code")
@click.option("--json", "as_json", is_flag=True, help="Print the explanation as JSON.")
def explain(code: str, as_json: bool) -> None:
    """Say what CODE checks, why, and what to do when it fails."""
    entry = catalogue().get(code.upper()) or catalogue().get(f"METIS-{code}")
    if entry is None:
        raise UserError(f"{code} is not the code of a check: {close_codes(code)}")
    if as_json:
        click.echo(json.dumps(_entry(entry), indent=2))
        return
    click.echo(f"{entry.code} {entry.title}")
    of = " of the next boot" if entry.when is When.NEXT_BOOT else ""
    click.echo(f"{entry.severity}{of}, {entry.level}, since {entry.since}\n")
    told = [("checked", looks_at(entry)), ("why", entry.why), ("says", entry.message), ("do", entry.next_step)]
    told += [("after", f"skipped where a failure of {' or '.join(entry.follows)} explains it")] if entry.follows else []
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _NO_WIDTH
    for name, words in told:
        click.echo(click.wrap_text(words, width, initial_indent=f"{name:<9}", subsequent_indent=" " * 9))


def looks_at(code: Code) -> str:
    """Return what the function behind a code looks at, in its own words."""
    return str(inspect.getdoc(check_functions()[code.code])).replace("``", "")


def _entry(code: Code) -> dict[str, object]:
    return {
        "code": code.code,
        "title": code.title,
        "severity": code.severity.value,
        "message": code.message,
        "next": code.next_step,
        "level": code.level.value,
        "since": code.since,
        "area": code.area.value,
        "checked": looks_at(code),
        "why": code.why,
        "when": code.when.value,
    }
