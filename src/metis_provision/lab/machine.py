"""A lab machine as others see it: its state on disk, and what can be done to it while it runs."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from metis_provision.controller.locking import is_locked
from metis_provision.lab.paths import state_dir
from metis_provision.lab.payload import Payload
from metis_provision.lab.pcie import card_device, card_id
from metis_provision.lab.places import load_state, save_state
from metis_provision.lab.platforms import Kind
from metis_provision.lab.process import ProcessRecord, read_record
from metis_provision.lab.qemu import NETWORK, Acceleration
from metis_provision.lab.qmp import Qmp
from metis_provision.lab.ssh import SshTarget
from metis_provision.lab.starting import last_lines, start_qemu
from metis_provision.lab.topology import FIRST_SLOT, Topology
from metis_provision.lab.waiting import asked_until
from metis_provision.model.errors import ExitCode, UserError

STATE_FILE = "machine.json"
STATE_VERSION = 2
"""Of the state file; 1 had one card at most."""
BOOT_SECONDS = 600.0
"""Twenty seconds on an idle machine without KVM; many guests on few CPUs take their time."""
_BOOT_ID = ("cat", "/proc/sys/kernel/random/boot_id")


class Condition(StrEnum):
    """What has become of a machine."""

    RUNNING = "running"
    STARTING = "starting"
    UNFINISHED = "its start did not finish"
    QEMU_ENDED = "QEMU has ended"
    CARD_ENDED = "a card process has ended"


@dataclass(frozen=True, slots=True)
class CardFiles:
    """What belongs to the card of one slot: the socket QEMU connects to, the one for ``CardControl``, its process."""

    slot: str
    directory: Path

    @property
    def socket(self) -> Path:
        """The socket between QEMU and the card process."""
        return self.directory / f"{self.slot}.sock"

    @property
    def control(self) -> Path:
        """The control socket of the card process."""
        return self.directory / f"{self.slot}.control"

    @property
    def record(self) -> Path:
        """Which process the card is."""
        return self.directory / f"{self.slot}.pid"

    @property
    def log(self) -> Path:
        """What the card process had to say."""
        return self.directory / f"{self.slot}.log"


class Machine(BaseModel):
    """A machine's state file; ``memory`` in MiB.

    ``ready`` is set once ssh has answered; a machine without it is being started, or its start has failed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = STATE_VERSION
    name: str
    kind: Kind = Kind.PC
    ssh_host: str = "127.0.0.1"
    ssh_port: int
    ssh_user: str = "root"
    acceleration: Acceleration
    memory: int
    cpus: int
    topology: Topology
    image: str
    ready: bool = False
    driver: Payload | None = None
    runtime: Payload | None = None

    @property
    def directory(self) -> Path:
        """Everything of this machine is in here."""
        return state_dir() / self.name

    @property
    def ssh_key(self) -> Path:
        """The private key that root and operator accept."""
        return self.directory / "id_ed25519"

    @property
    def ssh_known_hosts(self) -> Path:
        """Holds this machine's host key and nothing else."""
        return self.directory / "known_hosts"

    @property
    def console(self) -> Path:
        """What the guest wrote to its serial console since the machine was made."""
        return self.directory / "console.log"

    @property
    def disk(self) -> Path:
        """The guest's disk, a raw image."""
        return self.directory / "disk.raw"

    @property
    def qmp(self) -> Path:
        """The socket of QEMU's machine protocol."""
        return self.directory / "qmp.sock"

    @property
    def qemu_record(self) -> Path:
        """Which process QEMU is."""
        return self.directory / "qemu.pid"

    def card(self, slot: str = FIRST_SLOT) -> CardFiles:
        """Return what belongs to the card of a slot; UserError for a slot that has none."""
        if slot not in self.topology.cards:
            slots = ", ".join(self.topology.cards) or "none"
            raise UserError(f"Machine {self.name} has no card in {slot} (slots with a card: {slots}).")
        return CardFiles(slot, self.directory)

    def processes(self) -> dict[str, ProcessRecord]:
        """Return the recorded processes, alive or not: QEMU first, then the cards by their slots."""
        records = {"qemu": self.qemu_record} | {slot: self.card(slot).record for slot in self.topology.cards}
        found = {name: read_record(path) for name, path in records.items()}
        return {name: record for name, record in found.items() if record is not None}

    def ended(self) -> Condition | None:
        """Return which of the machine's processes is gone, None if all are there."""
        alive = {name for name, record in self.processes().items() if record.is_alive()}
        if "qemu" not in alive:
            return Condition.QEMU_ENDED
        return None if self.topology.cards.keys() <= alive else Condition.CARD_ENDED

    def condition(self) -> Condition:
        """Return what has become of the machine."""
        if not self.ready:
            return unfinished(self.name)
        return self.ended() or Condition.RUNNING

    @property
    def ssh(self) -> SshTarget:
        """How its user is reached."""
        return SshTarget(self.name, self.ssh_host, self.ssh_port, self.ssh_user, self.ssh_key, self.ssh_known_hosts)

    def ssh_command(self, *command: str, batch: bool = False) -> list[str]:
        """Return the command line of ``SshTarget.command``."""
        return self.ssh.command(*command, batch=batch)

    def run(self, *command: str, check: bool = True, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run ``command`` in the guest, as ``SshTarget.run`` does."""
        return self.ssh.run(*command, check=check, timeout=timeout)

    def boot_id(self) -> str:
        """Return what names the guest's present boot."""
        return self.run(*_BOOT_ID).stdout.strip()

    def wait_for_ssh(self, *, other_than: str | None = None, timeout: float = BOOT_SECONDS) -> str:
        """Return the boot id once the guest answers, in another boot than ``other_than``.

        UserError with the console's last lines if a process ends or ``timeout`` seconds pass.
        """
        boot = asked_until(lambda: self._boot_if_up(other_than), timeout, 0.5)
        if boot is None:
            raise UserError(self._did_not_come(f"no answer by ssh within {timeout:.0f} s"), ExitCode.FAILED)
        return boot

    def _boot_if_up(self, other_than: str | None) -> str | None:
        if (ended := self.ended()) is not None:
            raise UserError(self._did_not_come(ended.value), ExitCode.FAILED)
        if not self.ssh.greets():
            return None
        answer = self.run(*_BOOT_ID, check=False)
        boot = answer.stdout.strip()
        return boot if answer.returncode == 0 and boot != other_than else None

    def _did_not_come(self, reason: str) -> str:
        logs = [self.console, self.directory / "qemu.log", *(self.card(slot).log for slot in self.topology.cards)]
        told = "".join(f"\n    {line}" for log in logs for line in last_lines(log))
        return (
            f"Machine {self.name} did not come up: {reason}. Its console ({self.console}) and its logs end with:{told}"
        )

    def reboot(self, timeout: float = BOOT_SECONDS) -> str:
        """Let the guest reboot itself and return the new boot id."""
        before = self.boot_id()
        # The connection may be cut before the command has returned.
        self.run("systemctl", "reboot", check=False)
        return self.wait_for_ssh(other_than=before, timeout=timeout)

    def cut_power(self) -> None:
        """Take the power from the machine and its cards; nothing happens where it has none."""
        if (record := read_record(self.qemu_record)) is not None:
            record.terminate()

    def plug_network(self, connected: bool) -> None:
        """Put the network's cable in, or pull it."""
        with Qmp(self.qmp) as qemu:
            qemu.execute("set_link", {"name": NETWORK, "up": connected})

    def power_cycle(self, timeout: float = BOOT_SECONDS) -> str:
        """Cut the power, restore it, and return the new boot id; every card is in its slot again.

        What the guest had not written is lost.
        """
        self.cut_power()
        start_qemu(self)
        return self.wait_for_ssh(timeout=timeout)

    def unplug_card(self, slot: str = FIRST_SLOT) -> None:
        """Take a card out of its slot; returns when the guest has let go of it."""
        device = card_id(self.card(slot).slot)
        with Qmp(self.qmp) as qemu:
            qemu.execute("device_del", {"id": device})
            qemu.wait_event("DEVICE_DELETED", device=device)

    def plug_card(self, slot: str = FIRST_SLOT) -> None:
        """Put a card back; the guest finds it a moment later."""
        device = card_device(self.topology, slot, self.card(slot).socket)
        with Qmp(self.qmp) as qemu:
            qemu.execute("device_add", device)


def save(machine: Machine) -> Machine:
    """Write the state file by temporary file and rename; return the machine."""
    return save_state(machine.directory / STATE_FILE, machine)


def load(name: str) -> Machine:
    """Return the machine of that name; UserError if there is none or its state is damaged."""
    return load_state("machine", name, STATE_FILE, _read)


def _read(text: str) -> Machine:
    _refuse_other_version(text)
    return Machine.model_validate_json(text)


def _refuse_other_version(text: str) -> None:
    state = json.loads(text)
    version = state.get("version") if isinstance(state, dict) else None
    if version != STATE_VERSION:
        raise ValueError(f"written by another version of the lab: its format is {version}, not {STATE_VERSION}")


def has_state(name: str) -> bool:
    """Return whether a machine's state has been written: it has not while its start is prepared."""
    return (state_dir() / name / STATE_FILE).exists()


def unfinished(name: str) -> Condition:
    """Return what has become of a machine that was never ready: whoever makes one holds its lock."""
    return Condition.STARTING if is_locked(state_dir() / name) else Condition.UNFINISHED
