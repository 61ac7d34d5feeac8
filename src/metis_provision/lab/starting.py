"""Starting the processes of a lab machine: a card for each slot that has one, then QEMU."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from metis_provision.lab.card.control import CardControl
from metis_provision.lab.pcie import bus_devices
from metis_provision.lab.platforms import Kind
from metis_provision.lab.process import START_SECONDS, start_recorded
from metis_provision.lab.qemu import MachineShape, Toolbox, qemu_arguments, toolbox
from metis_provision.lab.qmp import Qmp
from metis_provision.lab.topology import Topology
from metis_provision.lab.waiting import asked_until
from metis_provision.model.errors import ExitCode, UserError

if TYPE_CHECKING:
    from metis_provision.lab.machine import CardFiles, Machine

CONSOLE_LINES = 12


def start_cards(machine: Machine) -> None:
    """Start a process for each card and wait until all of them serve."""
    for slot in machine.topology.cards:
        _start_card(machine, machine.card(slot))


def _start_card(machine: Machine, card: CardFiles) -> None:
    slot = machine.topology.slots[card.slot]
    command = [
        *(sys.executable, "-m", "metis_provision.lab.card", "--profile", str(slot.card)),
        *("--socket", str(card.socket), "--control", str(card.control)),
        *("--port-generation", str(slot.link.generation), "--port-lanes", str(slot.link.lanes)),
    ]
    process = start_recorded(command, card.record, card.log)
    asked_until(lambda: card.control.exists() or not process.is_alive(), START_SECONDS)
    if card.control.exists() and process.is_alive():
        CardControl(card.control).status()
        return
    said = " ".join(last_lines(card.log, 1)) or "no output"
    raise UserError(f"The virtual card in {card.slot} did not start: {said}", ExitCode.FAILED)


def start_qemu(machine: Machine) -> None:
    """Start QEMU with every card in its slot and wait until it takes commands."""
    tools = toolbox(machine.kind.platform)
    if machine.kind is Kind.PC:
        command = qemu_command(machine, tools, machine.topology, ("-kernel", str(tools.loader)))
    else:
        command = [sys.executable, "-m", "metis_provision.lab.power", machine.name]
    log = machine.directory / "qemu.log"
    process = start_recorded(command, machine.qemu_record, log, tools.environment)
    asked_until(lambda: _takes_commands(machine) or not process.is_alive(), machine.kind.platform.start_seconds)
    if _takes_commands(machine):
        return
    raise UserError(f"QEMU did not start: {' '.join(last_lines(log, 2)) or 'no output'}", ExitCode.FAILED)


def _takes_commands(machine: Machine) -> bool:
    try:
        with Qmp(machine.qmp):
            return True
    except UserError:
        return False


def qemu_command(machine: Machine, tools: Toolbox, topology: Topology, boot: tuple[str, ...]) -> list[str]:
    """Return the command of a machine's QEMU with the cards of ``topology``; ``boot`` says what is started."""
    sockets = {slot: machine.card(slot).socket for slot in topology.cards}
    shape = MachineShape(
        platform=machine.kind.platform,
        name=machine.name,
        memory=machine.memory,
        cpus=machine.cpus,
        acceleration=machine.acceleration,
        ssh_port=machine.ssh_port,
        disk=machine.disk,
        console=machine.console,
        qmp=machine.qmp,
        credentials=tuple(sorted((machine.directory / "credentials").iterdir())),
        bus=tuple(bus_devices(topology, sockets)),
        boot=boot,
    )
    return [*tools.qemu, *qemu_arguments(shape)]


def last_lines(path: Path, count: int = CONSOLE_LINES) -> list[str]:
    """Return the last lines of a log that hold anything; none if there is no log."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]
