"""A lab machine as others see it: its state on disk, and what can be done to it while it runs."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
import time
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from metis_provision.controller.locking import is_locked
from metis_provision.lab.card.control import CardControl
from metis_provision.lab.paths import state_dir
from metis_provision.lab.payload import Payload
from metis_provision.lab.process import START_SECONDS, ProcessRecord, read_record, start_recorded
from metis_provision.lab.qemu import (
    CARD_DEVICE,
    Acceleration,
    MachineShape,
    card_arguments,
    qemu_arguments,
    toolbox,
)
from metis_provision.lab.qmp import Qmp
from metis_provision.model.errors import ExitCode, UserError

NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
"""A machine's name is a host name and a directory too."""
STATE_FILE = "machine.json"
STATE_VERSION = 1
BOOT_SECONDS = 600.0
"""Twenty seconds on an idle machine without KVM; many guests on few CPUs take their time."""
CONSOLE_LINES = 12
_BOOT_ID = ("cat", "/proc/sys/kernel/random/boot_id")


class Condition(StrEnum):
    """What has become of a machine."""

    RUNNING = "running"
    STARTING = "starting"
    UNFINISHED = "its start did not finish"
    QEMU_ENDED = "QEMU has ended"
    CARD_ENDED = "the card process has ended"


class Machine(BaseModel):
    """A machine's state file; ``memory`` in MiB, ``card`` the profile of its card, None for a host without one.

    ``ready`` is set once ssh has answered; a machine without it is being started, or its start has failed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = STATE_VERSION
    name: str
    ssh_host: str = "127.0.0.1"
    ssh_port: int
    ssh_user: str = "root"
    acceleration: Acceleration
    memory: int
    cpus: int
    card: str | None
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
    def card_socket(self) -> Path:
        """The socket between QEMU and the card process."""
        return self.directory / "card.sock"

    @property
    def card_control(self) -> Path:
        """The control socket of the card process, for ``CardControl``."""
        return self.directory / "control.sock"

    @property
    def qemu_record(self) -> Path:
        """Which process QEMU is."""
        return self.directory / "qemu.pid"

    @property
    def card_record(self) -> Path:
        """Which process the card is."""
        return self.directory / "card.pid"

    def processes(self) -> dict[str, ProcessRecord]:
        """Return the recorded processes by name, alive or not; QEMU first."""
        found = {"qemu": read_record(self.qemu_record), "card": read_record(self.card_record)}
        return {name: record for name, record in found.items() if record is not None}

    def ended(self) -> Condition | None:
        """Return which of the machine's processes is gone, None if all are there."""
        alive = {name for name, record in self.processes().items() if record.is_alive()}
        if "qemu" not in alive:
            return Condition.QEMU_ENDED
        if self.card is not None and "card" not in alive:
            return Condition.CARD_ENDED
        return None

    def condition(self) -> Condition:
        """Return what has become of the machine."""
        if not self.ready:
            return unfinished(self.name)
        return self.ended() or Condition.RUNNING

    def ssh_command(self, *command: str, batch: bool = False) -> list[str]:
        """Return the ssh command line for this machine; it trusts the pinned host key alone.

        With ``batch`` ssh never asks anything. ``command`` is one string per argument of ssh, which joins them by
        spaces for the remote shell.
        """
        options = {
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "GlobalKnownHostsFile": "/dev/null",
            "UserKnownHostsFile": f'"{self.ssh_known_hosts}"',
            "ServerAliveInterval": "15",
            "LogLevel": "ERROR",
            **({"BatchMode": "yes", "ConnectTimeout": "30"} if batch else {}),
        }
        flags = [argument for name, value in options.items() for argument in ("-o", f"{name}={value}")]
        where = ["-i", str(self.ssh_key), "-p", str(self.ssh_port), "-l", self.ssh_user]
        # Settings of the person who runs this have no say in how the lab's machines are reached.
        return ["ssh", "-F", "/dev/null", *flags, *where, self.ssh_host, *command]

    def run(self, *command: str, check: bool = True, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run ``command``, one word per argument, as root in the guest.

        With ``check``, UserError if it fails; UserError too if it takes more than ``timeout`` seconds.
        """
        words = shlex.join(command)
        try:
            result = subprocess.run(
                self.ssh_command(words, batch=True),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UserError(f"On {self.name}, {words} took more than {timeout:.0f} s.", ExitCode.FAILED) from error
        if check and result.returncode:
            last = (result.stderr.strip() or result.stdout.strip() or "no output").splitlines()[-1]
            raise UserError(f"On {self.name}, {words} failed ({result.returncode}): {last}", ExitCode.FAILED)
        return result

    def boot_id(self) -> str:
        """Return what names the guest's present boot."""
        return self.run(*_BOOT_ID).stdout.strip()

    def wait_for_ssh(self, *, other_than: str | None = None, timeout: float = BOOT_SECONDS) -> str:
        """Return the boot id once the guest answers, in another boot than ``other_than``.

        UserError with the console's last lines if a process ends or ``timeout`` seconds pass.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if (ended := self.ended()) is not None:
                raise UserError(self._did_not_come(ended.value), ExitCode.FAILED)
            if _greets(self.ssh_host, self.ssh_port):
                answer = self.run(*_BOOT_ID, check=False)
                if answer.returncode == 0 and answer.stdout.strip() != other_than:
                    return answer.stdout.strip()
            time.sleep(0.5)
        raise UserError(self._did_not_come(f"no answer by ssh within {timeout:.0f} s"), ExitCode.FAILED)

    def _did_not_come(self, reason: str) -> str:
        lines = (
            last_lines(self.console) + last_lines(self.directory / "qemu.log") + last_lines(self.directory / "card.log")
        )
        told = "".join(f"\n    {line}" for line in lines)
        return (
            f"Machine {self.name} did not come up: {reason}. Its console ({self.console}) and its logs end with:{told}"
        )

    def reboot(self, timeout: float = BOOT_SECONDS) -> str:
        """Let the guest reboot itself and return the new boot id."""
        before = self.boot_id()
        # The connection may be cut before the command has returned.
        self.run("systemctl", "reboot", check=False)
        return self.wait_for_ssh(other_than=before, timeout=timeout)

    def power_cycle(self, timeout: float = BOOT_SECONDS) -> str:
        """Cut the power, restore it, and return the new boot id. What the guest had not written is lost."""
        if (record := read_record(self.qemu_record)) is not None:
            record.terminate()
        start_qemu(self)
        return self.wait_for_ssh(timeout=timeout)

    def unplug_card(self) -> None:
        """Take the card out of its slot; returns when the guest has let go of it."""
        self._require_card()
        with Qmp(self.qmp) as qemu:
            qemu.execute("device_del", {"id": CARD_DEVICE})
            qemu.wait_event("DEVICE_DELETED", device=CARD_DEVICE)

    def plug_card(self) -> None:
        """Put the card back; the guest finds it a moment later."""
        self._require_card()
        with Qmp(self.qmp) as qemu:
            qemu.execute("device_add", card_arguments(self.card_socket))

    def _require_card(self) -> None:
        if self.card is None:
            raise UserError(f"Machine {self.name} was made without a card: bring one up without --no-card.")


def _greets(host: str, port: int) -> bool:
    """Return whether an ssh server speaks.

    That the port accepts means nothing, QEMU does so from the start. A connection kept open until the guest is there
    would be answered late, because QEMU repeats its knocking ever more rarely; that the guest's sshd bars nobody who
    only knocks is a setting of the image.
    """
    try:
        with socket.create_connection((host, port), timeout=2.0) as stream:
            return stream.recv(4) == b"SSH-"
    except OSError:
        return False


def last_lines(path: Path, count: int = CONSOLE_LINES) -> list[str]:
    """Return the last lines of a log that hold anything; none if there is no log."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


def start_card(machine: Machine) -> None:
    """Start the card process and wait until it serves."""
    if machine.card is None:
        return
    command = [
        *(sys.executable, "-m", "metis_provision.lab.card", "--profile", machine.card),
        *("--socket", str(machine.card_socket), "--control", str(machine.card_control)),
    ]
    log = machine.directory / "card.log"
    process = start_recorded(command, machine.card_record, log)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.is_alive():
        if machine.card_control.exists():
            CardControl(machine.card_control).status()
            return
        time.sleep(0.05)
    raise UserError(f"The virtual card did not start: {' '.join(last_lines(log, 1)) or 'no output'}", ExitCode.FAILED)


def start_qemu(machine: Machine) -> None:
    """Start QEMU and wait until it takes commands."""
    tools = toolbox()
    shape = MachineShape(
        name=machine.name,
        memory=machine.memory,
        cpus=machine.cpus,
        acceleration=machine.acceleration,
        ssh_port=machine.ssh_port,
        disk=machine.disk,
        console=machine.console,
        qmp=machine.qmp,
        credentials=tuple(sorted((machine.directory / "credentials").iterdir())),
        card=machine.card_socket if machine.card else None,
    )
    command = [*tools.qemu, *qemu_arguments(shape, tools.loader)]
    log = machine.directory / "qemu.log"
    process = start_recorded(command, machine.qemu_record, log, tools.environment)
    deadline = time.monotonic() + START_SECONDS
    while process.is_alive() and time.monotonic() < deadline:
        try:
            with Qmp(machine.qmp):
                return
        except UserError:
            time.sleep(0.05)
    raise UserError(f"QEMU did not start: {' '.join(last_lines(log, 2)) or 'no output'}", ExitCode.FAILED)


def save(machine: Machine) -> Machine:
    """Write the state file by temporary file and rename; return the machine."""
    path = machine.directory / STATE_FILE
    new = path.with_suffix(".new")
    new.write_text(machine.model_dump_json(indent=2) + "\n")
    new.replace(path)
    return machine


def load(name: str) -> Machine:
    """Return the machine of that name; UserError if there is none or its state is damaged."""
    path = state_dir() / name / STATE_FILE
    try:
        machine = Machine.model_validate_json(path.read_text())
    except FileNotFoundError as error:
        known = ", ".join(names()) or "none"
        raise UserError(
            f"There is no machine {name} (there are: {known}): metis-provision lab up --name {name}"
        ) from error
    except ValidationError as error:
        reason = error.errors()[0]
        raise UserError(
            f"The state in {path} cannot be read ({reason['msg']}): metis-provision lab down --name {name}"
        ) from error
    return machine


def names() -> list[str]:
    """Return the names of all machines, in whatever condition."""
    directory = state_dir()
    return sorted(path.name for path in directory.iterdir() if path.is_dir()) if directory.is_dir() else []


def has_state(name: str) -> bool:
    """Return whether a machine's state has been written: it has not while its start is prepared."""
    return (state_dir() / name / STATE_FILE).exists()


def unfinished(name: str) -> Condition:
    """Return what has become of a machine that was never ready: whoever makes one holds its lock."""
    return Condition.STARTING if is_locked(state_dir() / name) else Condition.UNFINISHED
