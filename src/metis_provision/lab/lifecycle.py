"""Bringing machines up and taking them down, whatever state they are in."""

from __future__ import annotations

import base64
import logging
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from metis_provision.controller.locking import locked
from metis_provision.lab import machine as machines
from metis_provision.lab.container_hosts import end_container, has_container
from metis_provision.lab.fleet.hosts import end_fleet, has_fleet, refuse_fleet_host, refuse_part
from metis_provision.lab.image import guest_image
from metis_provision.lab.machine import Condition, Machine
from metis_provision.lab.paths import require_socket_path, state_dir
from metis_provision.lab.payload import check_driver, driver_payload, runtime_payload
from metis_provision.lab.places import check_name, empty, held, names
from metis_provision.lab.platforms import Kind
from metis_provision.lab.process import read_record
from metis_provision.lab.qemu import Acceleration, choose_acceleration, toolbox
from metis_provision.lab.requirements import missing_requirements, missing_twin_requirements, require
from metis_provision.lab.ssh import free_port, make_key
from metis_provision.lab.starting import start_cards, start_qemu
from metis_provision.lab.topology import FIRST_SLOT, ONE_CARD, Topology
from metis_provision.lab.twin_image import twin_image
from metis_provision.model.errors import ExitCode, UserError

logger = logging.getLogger(__name__)

DEFAULT_NAME = "metis"


@dataclass(frozen=True, slots=True)
class Wish:
    """What ``lab up`` was asked for; ``memory`` in MiB."""

    name: str = DEFAULT_NAME
    kind: Kind = Kind.PC
    topology: Topology = ONE_CARD
    memory: int = 1536
    cpus: int = 2
    acceleration: Acceleration = Acceleration.AUTO
    driver: Path | None = None
    driver_version: str | None = None


def up(wish: Wish) -> Machine:
    """Bring a machine up and return it once ssh answers; UserError saying what is missing or went wrong.

    A machine that failed after something of it was started keeps its directory with the logs until the next ``up``
    or ``down`` of that name; one that failed earlier leaves nothing.
    """
    _check(wish)
    directory = state_dir() / wish.name
    directory.mkdir(parents=True, mode=0o700, exist_ok=True)
    with held(wish.name):
        _refuse_running(wish.name)
        _end_processes(directory)
        empty(directory)
        try:
            return _make(wish, directory)
        except BaseException:
            _end_processes(directory)
            if not any(directory.glob("*.log")):
                shutil.rmtree(directory)
            raise


def _check(wish: Wish) -> None:
    check_name(wish.name)
    refuse_fleet_host(wish.name)
    require(missing_requirements() if wish.kind is Kind.PC else missing_twin_requirements())
    check_driver(wish.driver, wish.driver_version)
    # The longest of the socket names.
    require_socket_path(state_dir() / wish.name / f"{FIRST_SLOT}.control")


def _refuse_running(name: str) -> None:
    if has_container(name):
        raise UserError(f"{name} is a container: metis-provision lab down --name {name}")
    if has_fleet(name):
        raise UserError(f"{name} is a fleet: metis-provision lab down --name {name}")
    if machines.has_state(name) and machines.load(name).condition() is Condition.RUNNING:
        raise UserError(f"Machine {name} is running already: metis-provision lab down --name {name}")


def _make(wish: Wish, directory: Path) -> Machine:
    tools = toolbox(wish.kind.platform)
    image = guest_image() if wish.kind is Kind.PC else twin_image()
    # No processor of a PC runs a Raspberry Pi's instructions.
    emulated = Acceleration.TCG if wish.kind is not Kind.PC else wish.acceleration
    acceleration = choose_acceleration(tools, emulated)
    machine = _settle(wish, acceleration, image)
    _make_keys(machine)
    copy_disk(image / "disk.raw", machine.disk)
    driver = driver_payload(directory / "payload", wish.driver, wish.driver_version)
    runtime = runtime_payload(directory / "payload", driver.version, wish.kind.platform)
    machine = machines.save(machine.model_copy(update={"driver": driver, "runtime": runtime}))
    logger.info("starting %s (%s, %d MiB, %d CPUs)", wish.name, acceleration, wish.memory, wish.cpus)
    start_cards(machine)
    start_qemu(machine)
    logger.info("waiting for ssh (console: %s)", machine.console)
    machine.wait_for_ssh()
    return machines.save(machine.model_copy(update={"ready": True}))


def _settle(wish: Wish, acceleration: Acceleration, image: Path) -> Machine:
    """Choose a port that no other machine has, and write it down before another ``up`` can choose it too."""
    with locked(state_dir()):
        taken = set(_taken_ports())
        return machines.save(
            Machine(
                name=wish.name,
                kind=wish.kind,
                ssh_port=free_port(taken),
                acceleration=acceleration,
                memory=wish.memory,
                cpus=wish.cpus,
                topology=wish.topology,
                image=image.name,
            )
        )


def _taken_ports() -> Iterator[int]:
    for name in names():
        # A state that cannot be read hides no port that is in use: whoever looks for a free one tries it, too.
        with suppress(UserError):
            yield machines.load(name).ssh_port


def copy_disk(image: Path, disk: Path) -> None:
    """Give a machine a disk of its own; holes stay holes, and file systems that share blocks share them.

    A copy rather than an overlay: it takes less than a second, nothing of it is lost when QEMU is killed, and the
    cache may be emptied under a running machine.
    """
    command = ["cp", "--reflink=auto", "--sparse=always", "--", str(image), str(disk)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise UserError(f"{disk} cannot be made: {result.stderr.strip()}", ExitCode.FAILED)


def _make_keys(machine: Machine) -> None:
    """Make the machine's key pairs, pin its host key, and put its identity into credentials QEMU hands over."""
    host_key = machine.directory / "ssh_host_ed25519_key"
    comment = f"metis lab {machine.name}"
    login, public = (make_key(path, comment) for path in (machine.ssh_key, host_key))
    machine.ssh_known_hosts.write_text(f"[{machine.ssh_host}]:{machine.ssh_port} {public}")
    credentials = machine.directory / "credentials"
    credentials.mkdir()
    files = tmpfiles(login.encode(), host_key.read_bytes(), public.encode())
    for name, content in (("tmpfiles.extra", files), ("system.hostname", machine.name)):
        (credentials / name).write_bytes(machine.kind.platform.credential_file(name, content.encode()))


def tmpfiles(login: bytes, host_key: bytes, host_key_public: bytes) -> str:
    """Return lines of tmpfiles.d(5) that put keys where sshd looks, unless the guest has them from an earlier boot."""
    lines = []
    for home, owner in (("/root", "root root"), ("/home/operator", "operator operator")):
        lines.append(f"d {home}/.ssh 0700 {owner} -")
        lines.append(_file(f"{home}/.ssh/authorized_keys", "0600", owner, login))
    lines.append(_file("/etc/ssh/ssh_host_ed25519_key", "0600", "root root", host_key))
    lines.append(_file("/etc/ssh/ssh_host_ed25519_key.pub", "0644", "root root", host_key_public))
    return "".join(f"{line}\n" for line in lines)


def _file(path: str, mode: str, owner: str, content: bytes) -> str:
    return f"f~ {path} {mode} {owner} - {base64.b64encode(content).decode()}"


def rewire(machine: Machine, topology: Topology) -> Machine:
    """Cut the power and return the machine, started again with the same disk and other cards; UserError as ``up``."""
    with held(machine.name):
        _end_processes(machine.directory)
        machine = machines.save(machine.model_copy(update={"topology": topology, "ready": False}))
        start_cards(machine)
        start_qemu(machine)
        machine.wait_for_ssh()
        return machines.save(machine.model_copy(update={"ready": True}))


def down(name: str) -> None:
    """End a machine, a container or a fleet and remove all that belongs to it; UserError if there is none."""
    if name not in names():
        refuse_part(name)
        machines.load(name)
    with held(name):
        directory = state_dir() / name
        # A fleet's wire goes after its hosts.
        end_fleet(name)
        _end_processes(directory)
        end_container(name)
        shutil.rmtree(directory)


def _end_processes(directory: Path) -> None:
    """End QEMU before its cards: the guest then never sees a card die. Every record counts, whoever wrote it."""
    for record in sorted(directory.glob("*.pid"), key=lambda path: path.name != "qemu.pid"):
        if (process := read_record(record)) is not None:
            process.terminate()
            record.unlink()
