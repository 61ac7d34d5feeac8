"""The commands for fleets below ``metis-provision lab``."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Table

from metis_provision.lab.fleet.hosts import Fleet, fleet_of, load_fleet
from metis_provision.lab.fleet.plan import parse_delay
from metis_provision.model.errors import ExitCode, UserError


@click.command(
    "net",
    epilog="Example: metis-provision lab net rack-3 rack-4 --delay 80ms; metis-provision lab net rack-3 --cut",
)
@click.argument("hosts", nargs=-1, required=True, metavar="HOST...")
@click.option("--delay", metavar="TIME", help="What these hosts send arrives so much later, such as 80ms or 0.5s.")
@click.option("--cut", is_flag=True, help="Pull the cable: nothing gets through, and nobody is told.")
@click.option("--heal", is_flag=True, help="As it was: no cut, no delay.")
@click.option("--json", "as_json", is_flag=True, help="Print the connections as JSON.")
def net_command(hosts: tuple[str, ...], delay: str | None, cut: bool, heal: bool, as_json: bool) -> None:
    """Delay, cut or heal the network of hosts of a fleet; without an option, show it."""
    if heal and (cut or delay is not None):
        raise UserError("--heal undoes delay and cut: give it alone.")
    seconds = 0.0 if heal else parse_delay(delay) if delay is not None else None
    # Every name is looked up before the first cable is touched.
    fleets = {host: _fleet_with(host) for host in hosts}
    rows = {
        host: fleet.adjust(host, delay=seconds, cut=False if heal else True if cut else None)
        for host, fleet in fleets.items()
    }
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("host", "delay", "cut")
    for host, row in rows.items():
        delayed = f"{row['delay'] * 1000:g} ms ({row['by']})" if row["delay"] else "-"
        table.add_row(host, delayed, "yes" if row["cut"] else "-")
    Console().print(table)


def _fleet_with(host: str) -> Fleet:
    fleet = fleet_of(host)
    if fleet is None:
        raise UserError(f"No fleet has a host {host}: metis-provision lab up --hosts 5 --name rack makes rack-1 to -5.")
    fleet.host(host)
    return fleet


@click.command("inventory", epilog="Example: metis-provision lab inventory rack > rack.py")
@click.argument("fleets", nargs=-1, required=True, metavar="FLEET...")
@click.option("--json", "as_json", is_flag=True, help="Print names and host data as JSON.")
def inventory_command(fleets: tuple[str, ...], as_json: bool) -> None:
    """Print an inventory of these fleets alone; inventories/lab.py is one of everything that runs."""
    from metis_provision.lab.inventory import fleet_hosts

    hosts = {name: fleet_hosts(load_fleet(name)) for name in fleets}
    for name, found in hosts.items():
        if not found:
            raise UserError(f"Fleet {name} has no hosts: {load_fleet(name).condition()}.", ExitCode.FAILED)
    if as_json:
        click.echo(json.dumps({host: data for found in hosts.values() for host, data in found}, indent=2))
        return
    for name, found in hosts.items():
        lines = "".join(f"    {entry!r},\n" for entry in found)
        click.echo(f"{name.replace('-', '_')} = [\n{lines}]")
