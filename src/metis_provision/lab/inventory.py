"""The running machines, containers and fleets as a pyinfra inventory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from metis_provision.lab import machine as machines
from metis_provision.lab.container_hosts import Condition as ContainerCondition
from metis_provision.lab.container_hosts import ContainerHost, has_container, load_container
from metis_provision.lab.fleet.hosts import Condition as FleetCondition
from metis_provision.lab.fleet.hosts import Fleet, has_fleet, load_fleet
from metis_provision.lab.machine import Condition, Machine
from metis_provision.lab.places import names
from metis_provision.lab.raspberry import BOARDS
from metis_provision.lab.standin.source import MODEL_PATH
from metis_provision.model.errors import UserError

CONTAINERS_VARIABLE = "METIS_CONTAINERS"
WITHOUT_A_CARD: dict[str, Any] = {"metis_cards": 0, "metis_driver": "none"}
"""Containers and the hosts of a fleet carry the files of a host and have no kernel or card of their own."""


def lab_hosts() -> list[tuple[str, dict[str, Any]]]:
    """Return (name, host data) for each host that runs; UserError if none does."""
    hosts = list(_running())
    if not hosts:
        raise UserError("No lab machine is running: metis-provision lab up")
    return hosts


def fleet_hosts(fleet: Fleet) -> list[tuple[str, dict[str, Any]]]:
    """Return (name, host data) for each host of a fleet, cut off or not: hosts that are gone are unreachable."""
    return [(host.name, host.ssh.pyinfra_data() | WITHOUT_A_CARD) for host in fleet.hosts]


def _running() -> Iterator[tuple[str, dict[str, Any]]]:
    """One that is being made has no state that could be read yet, and is nobody's business but its maker's."""
    for name in names():
        with suppress(UserError):
            if has_fleet(name):
                fleet = load_fleet(name)
                if fleet.condition() in (FleetCondition.RUNNING, FleetCondition.HOSTS_ENDED):
                    yield from fleet_hosts(fleet)
            elif not has_container(name) and (machine := machines.load(name)).condition() is Condition.RUNNING:
                yield name, host_data(machine)
    for container in _running_containers():
        yield container.name, container.ssh.pyinfra_data() | WITHOUT_A_CARD


def podman_hosts() -> list[tuple[str, dict[str, Any]]]:
    """Return (name, host data) for pyinfra's podman connector: the lab's containers, and those in METIS_CONTAINERS.

    UserError if there is none.
    """
    named = os.environ.get(CONTAINERS_VARIABLE, "").split()
    ours = [container.container for container in _running_containers()]
    if not (ours or named):
        raise UserError(
            "No container is running: metis-provision lab up --kind container, "
            f"or name some of podman's in {CONTAINERS_VARIABLE}."
        )
    return [(f"@podman/{name}", dict(WITHOUT_A_CARD)) for name in (*ours, *named)]


def _running_containers() -> Iterator[ContainerHost]:
    for name in filter(has_container, names()):
        with suppress(UserError):
            container = load_container(name)
            if container.condition() is ContainerCondition.RUNNING:
                yield container


def host_data(machine: Machine) -> dict[str, Any]:
    """Return how pyinfra reaches a machine and what a deploy should make of it."""
    board = BOARDS.get(machine.kind)
    data: dict[str, Any] = {
        **machine.ssh.pyinfra_data(),
        # A host without a card is one whose card is missing.
        "metis_cards": len(machine.topology.cards) or 1,
        "metis_carrier": board.carrier if board else "generic",
        "metis_create_users": True,
        "metis_self_test_model": MODEL_PATH,
    }
    if machine.driver is not None:
        data |= {
            "metis_driver_version": machine.driver.version,
            "metis_driver_source": str(machine.driver.source),
            "metis_driver_sha256": machine.driver.sha256,
        }
    if machine.runtime is not None:
        data |= {
            "metis_runtime": "deb",
            "metis_runtime_version": machine.runtime.version,
            "metis_runtime_source": str(machine.runtime.source),
            "metis_runtime_sha256": machine.runtime.sha256,
        }
    return data
