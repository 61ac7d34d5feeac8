"""The commands below ``metis-provision lab``."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from metis_provision.lab import machine as machines
from metis_provision.lab.card.profiles import PROFILES
from metis_provision.lab.lifecycle import DEFAULT_NAME, Wish, down, up
from metis_provision.lab.machine import Machine
from metis_provision.lab.qemu import Acceleration
from metis_provision.lab.topology import DEFAULT_CARD, MOST_CARDS, Layout, lay_out
from metis_provision.model.errors import UserError

Report = dict[str, object]


@click.group()
def lab() -> None:
    """Virtual hosts with a virtual Metis card, for trying things without hardware."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)


@lab.command("up", epilog="Example: metis-provision lab up --name demo --cards 2")
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Name of the machine and its host name.")
@click.option(
    "--card", type=click.Choice(sorted(PROFILES)), default=DEFAULT_CARD, show_default=True, help="Kind of card."
)
@click.option("--cards", type=click.IntRange(1, MOST_CARDS), help="How many; one unless the topology says otherwise.")
@click.option(
    "--topology",
    type=click.Choice([layout.value for layout in Layout]),
    default=Layout.PLAIN.value,
    show_default=True,
    help="plain: each in a port of its own; quad: four behind a switch; slow-bridge: behind a bridge slower than it.",
)
@click.option("--no-card", is_flag=True, help="Leave the slots empty for good.")
@click.option("--memory", type=click.IntRange(512), default=1536, show_default=True, help="Memory in MiB.")
@click.option("--cpus", type=click.IntRange(1, 64), default=2, show_default=True, help="Virtual CPUs.")
@click.option(
    "--accel",
    type=click.Choice([choice.value for choice in Acceleration]),
    default=Acceleration.AUTO.value,
    show_default=True,
    help="auto takes KVM where a virtual CPU really runs on it.",
)
@click.option("--driver", type=click.Path(path_type=Path), help="Driver source for the deploy instead of the stand-in.")
@click.option("--driver-version", help="Its version, where its name does not tell.")
@click.option("--json", "as_json", is_flag=True, help="Print the machine as JSON.")
def up_command(
    name: str,
    card: str,
    cards: int | None,
    topology: str,
    no_card: bool,
    memory: int,
    cpus: int,
    accel: str,
    driver: Path | None,
    driver_version: str | None,
    as_json: bool,
) -> None:
    """Bring a machine up and wait until it answers."""
    wish = Wish(
        name=name,
        topology=lay_out(Layout(topology), None if no_card else card, cards),
        memory=memory,
        cpus=cpus,
        acceleration=Acceleration(accel),
        driver=driver,
        driver_version=driver_version,
    )
    machine = up(wish)
    if as_json:
        click.echo(json.dumps(report(machine), indent=2))
    else:
        click.echo(f"{name} is up: metis-provision lab ssh {name}")


@lab.command("down", epilog="Example: metis-provision lab down --name demo")
@click.option("--name", "wanted", multiple=True, help="Machine to take down; may be given several times.")
@click.option("--all", "everything", is_flag=True, help="Take all machines down.")
def down_command(wanted: tuple[str, ...], everything: bool) -> None:
    """Take machines down and remove everything that belongs to them."""
    if bool(wanted) == everything:
        raise UserError("Say which machine: --name NAME or --all.")
    for name in machines.names() if everything else wanted:
        down(name)
        click.echo(f"{name} is down")


@lab.command("list", epilog="Example: metis-provision lab list --json")
@click.option("--json", "as_json", is_flag=True, help="Print the machines as JSON.")
def list_command(as_json: bool) -> None:
    """Show all machines and what has become of them."""
    reports = [report_by_name(name) for name in machines.names()]
    if as_json:
        click.echo(json.dumps(reports, indent=2))
        return
    if not reports:
        click.echo("No machine: metis-provision lab up", err=True)
        return
    table = Table("machine", "condition", "ssh port", "accel", "cards")
    for row in reports:
        cells = (row.get(key, "-") for key in ("name", "condition", "ssh_port", "acceleration"))
        table.add_row(*map(str, cells), _cards_words(row))
    Console().print(table)


@lab.command(
    "ssh",
    context_settings={"ignore_unknown_options": True},
    epilog="Example: metis-provision lab ssh demo lspci -nn",
)
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh_command(name: str, command: tuple[str, ...]) -> None:
    """Log in to a machine, or run a command on it."""
    words = machines.load(name).ssh_command(*command)
    sys.stdout.flush()
    os.execvp(words[0], words)  # noqa: S606


def _cards_words(row: Report) -> str:
    cards = row.get("cards")
    return "\n".join(f"{card['slot']}: {card['profile']}" for card in cards) if isinstance(cards, list) else "-"


def report(machine: Machine) -> Report:
    """Return what a program may want to know about a machine."""
    return {
        **machine.model_dump(mode="json", exclude={"version", "ready"}),
        "condition": machine.condition().value,
        "ssh_key": str(machine.ssh_key),
        "ssh_known_hosts": str(machine.ssh_known_hosts),
        "cards": [
            {"slot": slot, "profile": profile, "control": str(machine.card(slot).control)}
            for slot, profile in machine.topology.cards.items()
        ],
        "qmp": str(machine.qmp),
        "console": str(machine.console),
        "processes": {name: record.pid for name, record in machine.processes().items()},
    }


def report_by_name(name: str) -> Report:
    """Return the report of a machine; for one whose state cannot be read, what is wrong with it."""
    if not machines.has_state(name):
        return {"name": name, "condition": machines.unfinished(name).value}
    try:
        return report(machines.load(name))
    except UserError as error:
        return {"name": name, "condition": str(error)}
