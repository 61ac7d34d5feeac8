"""The running machines as a pyinfra inventory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from metis_provision.lab import machine as machines
from metis_provision.lab.machine import Condition, Machine
from metis_provision.lab.standin.source import MODEL_PATH
from metis_provision.model.errors import UserError


def lab_hosts() -> list[tuple[str, dict[str, Any]]]:
    """Return (name, host data) for each running machine; UserError if none runs."""
    running = [machine for machine in _readable() if machine.condition() is Condition.RUNNING]
    if not running:
        raise UserError("No lab machine is running: metis-provision lab up")
    return [(machine.name, host_data(machine)) for machine in running]


def _readable() -> Iterator[Machine]:
    """The machines with a state; one that is being made has none yet, and is nobody's business but its maker's."""
    for name in machines.names():
        with suppress(UserError):
            yield machines.load(name)


def host_data(machine: Machine) -> dict[str, Any]:
    """Return how pyinfra reaches a machine and what a deploy should make of it."""
    data: dict[str, Any] = {
        **machine.ssh.pyinfra_data(),
        # A host without a card is one whose card is missing.
        "metis_cards": len(machine.topology.cards) or 1,
        "metis_carrier": "generic",
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
