"""The command ``metis-provision lab fault``: switches faults of a running host, and shows which there are."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Table

from metis_provision.lab.faults import Fault, fault_called, faults
from metis_provision.lab.lifecycle import DEFAULT_NAME
from metis_provision.lab.switching import switch
from metis_provision.lab.topology import FIRST_SLOT
from metis_provision.model.errors import UserError


@click.command("fault", epilog="Example: metis-provision lab fault narrow-link on --name demo")
@click.argument("fault", required=False)
@click.argument("state", required=False, type=click.Choice(["on", "off"]))
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Name of the host.")
@click.option("--slot", default=FIRST_SLOT, show_default=True, help="Slot of the card, for a fault of a card.")
@click.option("--list", "as_list", is_flag=True, help="Show every fault there is.")
@click.option("--json", "as_json", is_flag=True, help="Print what is shown as JSON.")
def fault_command(fault: str | None, state: str | None, name: str, slot: str, as_list: bool, as_json: bool) -> None:
    """Switch a fault of a running host on or off, or show which there are."""
    if as_list:
        _show_faults(as_json)
        return
    if fault is None or state is None:
        raise UserError("Say which fault and on or off, such as narrow-link on; --list shows them.")
    row = fault_called(fault)
    switch(name, row, state == "on", slot)
    if as_json:
        click.echo(json.dumps({"host": name, "on": state == "on", **fault_report(row)}, indent=2))
    else:
        told = row.visible if state == "on" else f"Green again: {row.green_again}."
        click.echo(f"{fault} is {state} on {name}. {told}")


def _show_faults(as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([fault_report(row) for row in faults().values()], indent=2))
        return
    table = Table("fault", "side", "what", "leads to")
    for row in faults().values():
        table.add_row(row.name, row.side, row.description, " ".join(row.codes) or "unreachable")
    Console().print(table)


_TOLD = {"name", "side", "description", "look", "shows", "codes", "settings", "heals"}


def fault_report(fault: Fault) -> dict[str, object]:
    """Return what a program may want to know about a fault."""
    kept = fault.model_dump(mode="json", include=_TOLD)
    return {**kept, "visible": fault.visible, "green_again": fault.green_again}
