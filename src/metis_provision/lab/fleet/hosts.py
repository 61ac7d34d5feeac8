"""Fleets that stay until they are taken down: ``lab up --hosts N``."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from metis_provision.controller.locking import is_locked
from metis_provision.lab.container_images import USER, Init, Release, container_archive
from metis_provision.lab.fleet.control import Adjust, Attach, Status, WireControl
from metis_provision.lab.fleet.namespaces import first_process, kill_hosts, kill_strays
from metis_provision.lab.fleet.plan import Network, host_names
from metis_provision.lab.fleet.requirements import missing_fleet_requirements
from metis_provision.lab.paths import require_socket_path, state_dir
from metis_provision.lab.places import check_name, empty, held, load_state, names, save_state
from metis_provision.lab.process import ProcessRecord, last_line, parse_record, run_in_namespaces, start_recorded
from metis_provision.lab.requirements import require
from metis_provision.lab.ssh import SshTarget, make_key
from metis_provision.lab.starting import last_lines
from metis_provision.lab.waiting import asked_until
from metis_provision.model.errors import ExitCode, UserError

logger = logging.getLogger(__name__)

STATE_FILE = "fleet.json"
START_SECONDS = 600.0
"""Patience with all hosts together; a hundred come up in about a minute on two idle CPUs."""
SSH_PORT = 22
_HOST_SCRIPT = Path(__file__).with_name("host.sh")

# Those that podman gives to a container (containers.conf(5)), and what a host does with a network of its own.
CAPABILITIES = (
    *("chown", "dac_override", "fowner", "fsetid", "kill", "net_bind_service", "setfcap", "setgid", "setpcap"),
    *("setuid", "sys_chroot", "net_admin", "net_raw"),
)

# OpenRC without what brings hardware, disks and consoles up: they are the machine's, and a hundred hosts would each
# wait for them.
INITTAB = """\
id:2:initdefault:
si::sysinit:/sbin/openrc sysinit
bo::wait:/sbin/openrc boot
l2:2:wait:/sbin/openrc default
sd:2:respawn:/usr/sbin/sshd -D -e
"""
SSHD_CONFIG = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
PerSourcePenalties no
UseDNS no
"""


class Condition(StrEnum):
    """What has become of a fleet."""

    RUNNING = "running"
    STARTING = "starting"
    UNFINISHED = "its start did not finish"
    WIRE_ENDED = "its wire has ended"
    HOSTS_ENDED = "hosts have ended"


@dataclass(frozen=True, slots=True)
class FleetWish:
    """What ``lab up --hosts`` was asked for."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class FleetHost:
    """One host of a fleet; everything of it but its processes is in ``directory``."""

    name: str
    address: str
    directory: Path
    fleet: Path

    @property
    def record(self) -> Path:
        """Which process keeps its namespaces."""
        return self.directory / "host.pid"

    @property
    def log(self) -> Path:
        """What its init system and sshd had to say."""
        return self.directory / "host.log"

    @property
    def changes(self) -> Path:
        """Its files, as far as they differ from the root that all share."""
        return self.directory / "changes"

    @property
    def ssh(self) -> SshTarget:
        """How its root is reached; ``operator``, who has sudo, may take root's place."""
        return SshTarget(
            self.name, self.address, SSH_PORT, "root", self.fleet / "id_ed25519", self.fleet / "known_hosts"
        )

    def is_alive(self) -> bool:
        """Return whether its namespaces are there."""
        process = _recorded(self.record)
        return process is not None and process.is_alive()

    def run_script(self, script: str) -> None:
        """Run a script of POSIX sh in it as root of this machine, who may mount; UserError if it fails or has ended."""
        process = _recorded(self.record)
        first = first_process(process) if process is not None else None
        if first is None:
            raise UserError(f"Host {self.name} has ended: metis-provision lab down --name {self.fleet.name}")
        run_in_namespaces(first, self.name, script)


class Fleet(BaseModel):
    """A fleet's state file; ``network`` is None until its wire is there, ``ready`` set once every host has answered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 1
    name: str
    count: int
    network: str | None = None
    ready: bool = False

    @property
    def directory(self) -> Path:
        """Everything of this fleet is in here."""
        return state_dir() / self.name

    @property
    def hosts(self) -> list[FleetHost]:
        """Its hosts, alive or not; none before it has a network."""
        if self.network is None:
            return []
        network = Network(self.network)
        return [
            FleetHost(name, network.address(number), self.directory / "hosts" / name, self.directory)
            for number, name in enumerate(host_names(self.name, self.count), start=1)
        ]

    @property
    def wire_record(self) -> Path:
        """Which process the wire is."""
        return self.directory / "wire.pid"

    @property
    def wire(self) -> WireControl:
        """The wire, to be asked things."""
        return WireControl(_wire_socket(self.directory))

    def host(self, name: str) -> FleetHost:
        """Return the host of that name; UserError if there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise UserError(f"Fleet {self.name} has no host {name}: it has {self.name}-1 to {self.name}-{self.count}.")

    def condition(self) -> Condition:
        """Return what has become of the fleet."""
        if not self.ready:
            return Condition.STARTING if is_locked(self.directory) else Condition.UNFINISHED
        wire = _recorded(self.wire_record)
        if wire is None or not wire.is_alive():
            return Condition.WIRE_ENDED
        return Condition.RUNNING if all(host.is_alive() for host in self.hosts) else Condition.HOSTS_ENDED

    def connections(self) -> dict[str, dict[str, Any]]:
        """Return ``delay`` in seconds, who makes it (``by``), and ``cut`` of each host that is on the wire."""
        hosts: dict[str, dict[str, Any]] = self.wire.ask(Status())["hosts"]
        return hosts

    def adjust(self, name: str, *, delay: float | None = None, cut: bool | None = None) -> dict[str, Any]:
        """Change how a host is connected and return its connection; UserError if it is not there."""
        hosts = self.wire.ask(Adjust(name=self.host(name).name, delay=delay, cut=cut))["hosts"]
        connection: dict[str, Any] = hosts[name]
        return connection


def up_fleet(wish: FleetWish) -> Fleet:
    """Start a fleet and return it once every sshd answers; UserError saying what is missing or went wrong.

    One that failed leaves nothing.
    """
    check_name(wish.name)
    _refuse_shared_names(wish)
    require(missing_fleet_requirements(wish.count))
    require_socket_path(_wire_socket(state_dir() / wish.name))
    (state_dir() / wish.name).mkdir(parents=True, mode=0o700, exist_ok=True)
    with held(wish.name) as directory:
        _refuse_taken(wish.name)
        empty(directory)
        fleet = _save(Fleet(name=wish.name, count=wish.count))
        try:
            return _make(fleet)
        except BaseException:
            end_fleet(wish.name)
            shutil.rmtree(directory)
            raise


def _refuse_shared_names(wish: FleetWish) -> None:
    shared = set(host_names(wish.name, wish.count)) & set(names())
    if shared:
        name = min(shared)
        raise UserError(f"A host of this fleet would be called {name}, and there is one: choose another --name.")


def refuse_fleet_host(name: str) -> None:
    """Raise UserError if a host of a fleet has this name."""
    if (fleet := _fleet_around(name)) is not None:
        raise UserError(f"{name} is a host of the fleet {fleet.name}: choose another --name.")


def refuse_part(name: str) -> None:
    """Raise UserError if this is a host of a fleet, which can only be taken down as a whole."""
    if (fleet := _fleet_around(name)) is not None:
        raise UserError(f"{name} is a host of the fleet {fleet.name}: metis-provision lab down --name {fleet.name}")


def _fleet_around(name: str) -> Fleet | None:
    """Return the fleet that has a host of that name, None if there is none."""
    fleet = fleet_of(name)
    return fleet if fleet is not None and name in host_names(fleet.name, fleet.count) else None


def _refuse_taken(name: str) -> None:
    if not any((state_dir() / name).iterdir()):
        return
    if has_fleet(name) and load_fleet(name).condition() not in (Condition.RUNNING, Condition.HOSTS_ENDED):
        end_fleet(name)
        return
    raise UserError(f"{name} is there already: metis-provision lab down --name {name}")


def _make(fleet: Fleet) -> Fleet:
    archive = container_archive(Release.DEBIAN_13, Init.OPENRC)
    network = _start_wire(fleet)
    fleet = _save(fleet.model_copy(update={"network": network}))
    logger.info("unpacking the root that %d hosts share", fleet.count)
    image = _make_image(fleet, archive)
    logger.info("starting %d hosts in %s", fleet.count, network)
    for host in fleet.hosts:
        _start_host(host, image)
    for host in fleet.hosts:
        pid = _namespaces_of(host)
        fleet.wire.ask(Attach(name=host.name, address=host.address, pid=pid))
    logger.info("waiting for ssh")
    _wait_for_ssh(fleet.hosts)
    return _save(fleet.model_copy(update={"ready": True}))


def _start_wire(fleet: Fleet) -> str:
    log = fleet.directory / "wire.log"
    control = _wire_socket(fleet.directory)
    command = [sys.executable, "-m", "metis_provision.lab.fleet", "--control", str(control)]
    process = start_recorded(command, fleet.wire_record, log)
    asked_until(lambda: control.exists() or not process.is_alive(), START_SECONDS)
    if not process.is_alive():
        said = " ".join(last_lines(log, 1)) or "no output"
        raise UserError(f"The fleet's wire did not start: {said}", ExitCode.FAILED)
    return str(fleet.wire.ask(Status())["network"])


def _make_image(fleet: Fleet, archive: Path) -> Path:
    """Unpack a root of this fleet's own: the cache may be emptied while it runs."""
    image = fleet.directory / "image"
    image.mkdir()
    image.chmod(0o755)
    _run("tar", "--extract", "--numeric-owner", "--xattrs", "--file", str(archive), "--directory", str(image))
    for service in (image / "etc/runlevels").glob("*/*"):
        service.unlink()
    _write(image / "etc/inittab", INITTAB)
    _write(image / "etc/ssh/sshd_config.d/lab.conf", SSHD_CONFIG)
    with (image / "etc/rc.conf").open("a") as settings:
        settings.write('rc_sys="lxc"\n')
    login = make_key(fleet.directory / "id_ed25519", f"metis lab {fleet.name}")
    for user, home in (("root", "root"), (USER, f"home/{USER}")):
        _run("chroot", str(image), "install", "-d", "-m", "0700", "-o", user, f"/{home}/.ssh")
        _write(image / home / ".ssh/authorized_keys", login)
    _make_host_files(fleet)
    return image


def _make_host_files(fleet: Fleet) -> None:
    """Give each host what makes it another one than its neighbours, and pin its key."""
    addresses = "".join(f"{host.address} {host.name}\n" for host in fleet.hosts)
    known = []
    for host in fleet.hosts:
        keys = host.changes / "etc/ssh"
        keys.mkdir(parents=True)
        for path in (host.changes, host.changes / "etc", keys):
            path.chmod(0o755)
        public = make_key(keys / "ssh_host_ed25519_key", host.name)
        known.append(f"{host.address} {public}")
        _write(host.changes / "etc/hostname", f"{host.name}\n")
        _write(host.changes / "etc/hosts", f"127.0.0.1 localhost\n{addresses}")
        _write(host.changes / "etc/machine-id", f"{uuid.uuid4().hex}\n")
    (fleet.directory / "known_hosts").write_text("".join(known))


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise UserError(f"{command[0]} failed: {last_line(result)}", ExitCode.FAILED)


def _start_host(host: FleetHost, image: Path) -> None:
    capabilities = ",".join(["-all", *(f"+{name}" for name in CAPABILITIES)])
    start_recorded(
        [
            *("unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--fork", "--kill-child=KILL"),
            *("sh", str(_HOST_SCRIPT), str(image), host.name, capabilities),
        ],
        host.record,
        host.log,
    )


def _namespaces_of(host: FleetHost) -> int:
    """Return the process that keeps a host's namespaces, once it has them."""
    process = _recorded(host.record)
    own = Path("/proc/self/ns/net").readlink()

    def apart() -> bool:
        if process is None or not process.is_alive():
            raise UserError(_did_not_come([host]), ExitCode.FAILED)
        # One that ends between the two looks is told at the next.
        with suppress(OSError):
            return Path(f"/proc/{process.pid}/ns/net").readlink() != own
        return False

    if process is None or not asked_until(apart, START_SECONDS):
        raise UserError(_did_not_come([host]), ExitCode.FAILED)
    return process.pid


def _wait_for_ssh(hosts: Sequence[FleetHost]) -> None:
    pending = list(hosts)

    def answered() -> bool:
        pending[:] = [host for host in pending if not host.ssh.greets()]
        return not pending or not all(host.is_alive() for host in pending)

    if not asked_until(answered, START_SECONDS) or pending:
        raise UserError(_did_not_come(pending), ExitCode.FAILED)


def _did_not_come(hosts: Sequence[FleetHost]) -> str:
    first = next((host for host in hosts if not host.is_alive()), hosts[0])
    told = "".join(f"\n    {line}" for line in last_lines(first.log))
    return f"{len(hosts)} hosts did not come up. The log of {first.name} ends with:{told or ' nothing'}"


def end_fleet(name: str) -> None:
    """End every process of a fleet, however far its start had come; nothing happens if it never was one.

    With them go mounts, namespaces and interfaces: none of those has a name that could stay behind.
    """
    if not has_fleet(name):
        return
    directory = state_dir() / name
    kill_hosts(_records(directory.glob("hosts/*/host.pid")))
    kill_strays(directory)
    for wire in _records([directory / "wire.pid"]):
        wire.terminate()


def _records(paths: Iterator[Path] | Sequence[Path]) -> Iterator[ProcessRecord]:
    for path in paths:
        if (process := _recorded(path)) is not None:
            yield process


def _recorded(path: Path) -> ProcessRecord | None:
    """Return the recorded process; a damaged record is as good as none, because strays are looked for."""
    with suppress(FileNotFoundError):
        return parse_record(path.read_text())
    return None


def has_fleet(name: str) -> bool:
    """Return whether the host of that name is a fleet."""
    return (state_dir() / name / STATE_FILE).exists()


def fleet_of(name: str) -> Fleet | None:
    """Return the fleet of that name, or the one that has, or could have, a host of it; None if there is neither."""
    fleet, _, number = name.rpartition("-")
    for candidate in (name, *([fleet] if fleet and number.isdigit() else [])):
        if has_fleet(candidate):
            return load_fleet(candidate)
    return None


def load_fleet(name: str) -> Fleet:
    """Return the fleet of that name; UserError if there is none or its state is damaged."""
    return load_state("fleet", name, STATE_FILE, Fleet.model_validate_json)


def _save(fleet: Fleet) -> Fleet:
    return save_state(fleet.directory / STATE_FILE, fleet)


def _wire_socket(directory: Path) -> Path:
    return directory / "wire.control"
