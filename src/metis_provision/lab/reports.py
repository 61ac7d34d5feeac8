"""What a program is told of the lab's hosts: machines, containers and fleets, as ``--json`` prints them."""

from __future__ import annotations

from metis_provision.lab import machine as machines
from metis_provision.lab.container_hosts import ContainerHost, has_container, load_container
from metis_provision.lab.fleet.hosts import Condition, Fleet, has_fleet, load_fleet
from metis_provision.lab.machine import Machine
from metis_provision.model.errors import UserError

Report = dict[str, object]


def machine_report(machine: Machine) -> Report:
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


def container_report(host: ContainerHost) -> Report:
    """Return what a program may want to know about a container."""
    return {
        **host.model_dump(mode="json", exclude={"version"}),
        "kind": "container",
        "condition": host.condition().value,
        "ssh_key": str(host.directory / "id_ed25519"),
        "ssh_known_hosts": str(host.directory / "known_hosts"),
    }


def fleet_report(fleet: Fleet) -> Report:
    """Return what a program may want to know about a fleet."""
    condition = fleet.condition()
    wired = condition in (Condition.RUNNING, Condition.HOSTS_ENDED)
    connections = fleet.connections() if wired else {}
    hosts = [
        {
            "name": host.name,
            "address": host.address,
            "alive": host.is_alive(),
            **connections.get(host.name, {"delay": None, "by": None, "cut": None}),
        }
        for host in fleet.hosts
    ]
    ended = sum(not host.is_alive() for host in fleet.hosts)
    words = f"{ended} of {fleet.count} {condition}" if condition is Condition.HOSTS_ENDED else condition.value
    return {
        "name": fleet.name,
        "kind": "fleet",
        "condition": words,
        "network": fleet.network,
        "ssh_key": str(fleet.directory / "id_ed25519"),
        "ssh_known_hosts": str(fleet.directory / "known_hosts"),
        "hosts": hosts,
    }


def host_report(name: str) -> Report:
    """Return the report of a host; for one whose state cannot be read, what is wrong with it."""
    try:
        if has_container(name):
            return container_report(load_container(name))
        if has_fleet(name):
            return fleet_report(load_fleet(name))
        if not machines.has_state(name):
            return {"name": name, "condition": machines.unfinished(name).value}
        return machine_report(machines.load(name))
    except UserError as error:
        return {"name": name, "condition": str(error)}
