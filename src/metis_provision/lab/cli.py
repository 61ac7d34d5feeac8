"""The commands below ``metis-provision lab``."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.table import Table

from metis_provision.lab import machine as machines
from metis_provision.lab.card.profiles import PROFILES
from metis_provision.lab.container_hosts import ContainerWish, has_container, load_container, up_container
from metis_provision.lab.container_images import Init, Release
from metis_provision.lab.fault_cli import fault_command
from metis_provision.lab.fleet.cli import inventory_command, net_command
from metis_provision.lab.fleet.hosts import FleetWish, fleet_of, has_fleet, up_fleet
from metis_provision.lab.fleet.plan import MOST_HOSTS
from metis_provision.lab.lifecycle import DEFAULT_NAME, Wish, down, up
from metis_provision.lab.places import names
from metis_provision.lab.platforms import Kind
from metis_provision.lab.qemu import Acceleration
from metis_provision.lab.recordings import record_command, replay_command
from metis_provision.lab.reports import Report, container_report, fleet_report, host_report, machine_report
from metis_provision.lab.ssh import SshTarget
from metis_provision.lab.standin.cli import vendor_command
from metis_provision.lab.topology import DEFAULT_CARD, MOST_CARDS, Layout, lay_out
from metis_provision.model.errors import UserError

_CONTAINER, _FLEET = "container", "fleet"


@click.group()
def lab() -> None:
    """Virtual hosts with a virtual Metis card, for trying things without hardware."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)


lab.add_command(record_command)
lab.add_command(replay_command)
lab.add_command(net_command)
lab.add_command(inventory_command)
lab.add_command(fault_command)
lab.add_command(vendor_command)


@lab.command("up", epilog="Example: metis-provision lab up --name demo --cards 2")
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Name of the host.")
@click.option(
    "--kind",
    type=click.Choice([*(kind.value for kind in Kind), _CONTAINER]),
    default=Kind.PC.value,
    show_default=True,
    help="pi5, cm5: twin of a Raspberry Pi 5 or Compute Module 5, whose config.txt sets up the card's port; "
    "container: a real init system, and no kernel or card of its own.",
)
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
@click.option(
    "--release",
    type=click.Choice([release.value for release in Release]),
    default=Release.DEBIAN_13.value,
    show_default=True,
    help="Debian of a container.",
)
@click.option(
    "--init",
    type=click.Choice([init.value for init in Init]),
    default=Init.SYSTEMD.value,
    show_default=True,
    help="Init system of a container.",
)
@click.option(
    "--hosts",
    type=click.IntRange(1, MOST_HOSTS),
    help="A fleet of so many small hosts, NAME-1, NAME-2, ..., each with an address and an sshd of its own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the host as JSON.")
@click.pass_context
def up_command(context: click.Context, /, name: str, kind: str, as_json: bool, **wishes: Any) -> None:  # noqa: ANN401
    """Bring a machine, a container or a fleet up and wait until it answers."""
    kind = _FLEET if wishes["hosts"] else kind
    _refuse_what_says_nothing(context, kind)
    make = {_CONTAINER: _container, _FLEET: _fleet}.get(kind)
    host = make(name, wishes) if make else _machine(name, Kind(kind), wishes)
    if as_json:
        click.echo(json.dumps(host, indent=2))
    else:
        one = f"{name}-1" if kind == _FLEET else name
        click.echo(f"{name} is up: metis-provision lab ssh {one}")


_OF_CONTAINERS = frozenset({"release", "init"})
_OF_FLEETS = frozenset({"hosts"})
_OF_PCS = frozenset({"topology", "cards", "accel"})
_OF_ALL = frozenset({"name", "as_json"})


def _refuse_what_says_nothing(context: click.Context, kind: str) -> None:
    says_something = _OF_ALL | _options_of(kind, frozenset(context.params))
    for option in context.params:
        given = context.get_parameter_source(option) is not ParameterSource.DEFAULT
        if given and option not in says_something:
            raise UserError(f"--{option.replace('_', '-')} says nothing about a {kind}: leave it out.")


def _options_of(kind: str, options: frozenset[str]) -> frozenset[str]:
    """Those that say something about a kind of host."""
    if kind == _CONTAINER:
        return _OF_CONTAINERS | {"kind"}
    if kind == _FLEET:
        return _OF_FLEETS
    # A twin has one card, behind the port that config.txt sets up, and no PC's processor runs its instructions.
    return options - _OF_CONTAINERS - _OF_FLEETS - (frozenset() if kind == Kind.PC else _OF_PCS)


def _machine(name: str, kind: Kind, wishes: dict[str, Any]) -> Report:
    card = None if wishes["no_card"] else wishes["card"]
    wish = Wish(
        name=name,
        kind=kind,
        topology=lay_out(Layout(wishes["topology"]), card, wishes["cards"]),
        memory=wishes["memory"],
        cpus=wishes["cpus"],
        acceleration=Acceleration(wishes["accel"]),
        driver=wishes["driver"],
        driver_version=wishes["driver_version"],
    )
    return machine_report(up(wish))


def _container(name: str, wishes: dict[str, Any]) -> Report:
    wish = ContainerWish(name=name, release=Release(wishes["release"]), init=Init(wishes["init"]))
    return container_report(up_container(wish))


def _fleet(name: str, wishes: dict[str, Any]) -> Report:
    return fleet_report(up_fleet(FleetWish(name=name, count=wishes["hosts"])))


@lab.command("down", epilog="Example: metis-provision lab down --name demo")
@click.option("--name", "wanted", multiple=True, help="Host to take down; may be given several times.")
@click.option("--all", "everything", is_flag=True, help="Take all of them down.")
def down_command(wanted: tuple[str, ...], everything: bool) -> None:
    """Take machines, containers and fleets down and remove everything that belongs to them."""
    if bool(wanted) == everything:
        raise UserError("Say which machine: --name NAME or --all.")
    for name in names() if everything else wanted:
        down(name)
        click.echo(f"{name} is down")


@lab.command("list", epilog="Example: metis-provision lab list --json")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def list_command(as_json: bool) -> None:
    """Show all machines, containers and fleets and what has become of them."""
    reports = [host_report(name) for name in names()]
    if as_json:
        click.echo(json.dumps(reports, indent=2))
        return
    if not reports:
        click.echo("No machine: metis-provision lab up", err=True)
        return
    table = Table("name", "kind", "condition", "ssh", "cards")
    for row in reports:
        cells = (row.get(key, "-") for key in ("name", "kind", "condition"))
        table.add_row(*map(str, cells), _ssh_words(row), _cards_words(row))
    Console().print(table)


@lab.command(
    "ssh",
    context_settings={"ignore_unknown_options": True},
    epilog="Example: metis-provision lab ssh demo lspci -nn",
)
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh_command(name: str, command: tuple[str, ...]) -> None:
    """Log in to a machine, a container or a host of a fleet, or run a command on it."""
    words = _target(name).command(*command)
    sys.stdout.flush()
    os.execvp(words[0], words)  # noqa: S606


def _target(name: str) -> SshTarget:
    if name not in names() and (fleet := fleet_of(name)) is not None:
        return fleet.host(name).ssh
    if has_fleet(name):
        raise UserError(f"{name} is a fleet: name one of its hosts, such as {name}-1.")
    return (load_container(name) if has_container(name) else machines.load(name)).ssh


def _ssh_words(row: Report) -> str:
    hosts = row.get("hosts")
    if not isinstance(hosts, list):
        return str(row.get("ssh_port", "-"))
    return f"{hosts[0]['address']} to {hosts[-1]['address']}" if hosts else "-"


def _cards_words(row: Report) -> str:
    cards = row.get("cards")
    return "\n".join(f"{card['slot']}: {card['profile']}" for card in cards) if isinstance(cards, list) else "-"
