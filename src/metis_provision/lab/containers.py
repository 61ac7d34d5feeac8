"""Debian containers with a real systemd or OpenRC, for everything of a deploy that needs no kernel of its own.

Podman runs them with runc: crun refuses hosts with hybrid cgroups. Each belongs to the process that made it; one
whose owner has ended, however that came about, is removed when the next one is made.
"""

from __future__ import annotations

import json
import resource
import secrets
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metis_provision.lab.apt import KEYRING
from metis_provision.lab.container_images import USER, Init, Release, container_image
from metis_provision.lab.podman import podman
from metis_provision.lab.process import current_process, last_line, parse_record
from metis_provision.lab.requirements import (
    MACHINE_TOOLS,
    missing_files,
    missing_mirror,
    missing_platform,
    missing_space,
    missing_tools,
)
from metis_provision.lab.ssh import SshTarget, free_port, make_key
from metis_provision.lab.waiting import asked_until
from metis_provision.model.errors import ExitCode, UserError

OWNER_LABEL = "metis-provision.lab.owner"
START_SECONDS = 120.0
_SSHD_CONFIG, _HOST_KEY = "/etc/ssh/lab_config", "/etc/ssh/lab_host_key"
CONTAINER_TOOLS = {
    **{tool: MACHINE_TOOLS[tool] for tool in ("mmdebstrap", "apt-get", "setpriv", "unshare")},
    "ssh": MACHINE_TOOLS["ssh"],
    "ssh-keygen": MACHINE_TOOLS["ssh-keygen"],
    "podman": "podman",
    "runc": "runc",
}
"""Programs of the container tier and the Debian packages they are in."""

_OPENRC_IS_UP = '[ "$(cat /run/openrc/softlevel)" = default ] && [ ! -e /run/openrc/rc.starting ]'

_SETTLED = ("running", "degraded", "maintenance")
"""What systemctl is-system-running says once nothing more will come."""


@dataclass(frozen=True, slots=True)
class Container:
    """A running container; ``identity`` is podman's id of it."""

    identity: str
    release: Release
    init: Init = Init.SYSTEMD

    @property
    def pyinfra_name(self) -> str:
        """Return what pyinfra calls it in an inventory."""
        return f"@podman/{self.identity}"

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``command``, one word per argument, as root inside; with ``check``, UserError if it fails."""
        result = podman("exec", self.identity, *command)
        if check and result.returncode:
            told = f"In the {self.release} container, {shlex.join(command)} failed ({result.returncode})"
            raise UserError(f"{told}: {last_line(result)}", ExitCode.FAILED)
        return result

    def write(self, path: str, content: str, *, mode: str = "0644", owner: str = "root") -> None:
        """Write a file inside; UserError if that fails."""
        script = 'install -D -m "$2" -o "$3" /dev/stdin "$1"'
        arguments = ("exec", "--interactive", self.identity, "sh", "-c", script, "sh", path, mode, owner)
        result = podman(*arguments, stdin=content)
        if result.returncode:
            told = f"In the {self.release} container, {path} cannot be written"
            raise UserError(f"{told}: {last_line(result)}", ExitCode.FAILED)

    def restart(self) -> None:
        """Boot it anew and wait until its init system is up; UserError if it does not come up."""
        result = podman("restart", "--time", "0", self.identity)
        if result.returncode:
            raise UserError(f"podman cannot restart {self.identity}: {last_line(result)}", ExitCode.FAILED)
        _wait_for_init(self)

    def remove(self) -> None:
        """End everything inside and remove the container; nothing happens if it is gone already."""
        remove_containers([self.identity])


def missing_container_requirements() -> list[str]:
    """Return why no container can be made here, one sentence each; empty if one can."""
    return [
        *missing_platform(),
        *missing_tools(CONTAINER_TOOLS),
        *missing_files({KEYRING: "debian-archive-keyring"}),
        *missing_mirror(),
        *missing_space(["containers"]),
    ]


def start_container(release: Release, init: Init = Init.SYSTEMD) -> Container:
    """Start a fresh container of this process and return it once its init system is up; UserError if it does not."""
    remove_containers(abandoned_containers())
    label = f"--label={OWNER_LABEL}={current_process().as_text()}"
    return start_named(f"metis-lab-{secrets.token_hex(6)}", release, init, label)


def start_named(name: str, release: Release, init: Init, *more: str) -> Container:
    """Start a container under a name, with ``more`` arguments of podman's; UserError if it does not come up."""
    result = podman(*run_arguments(container_image(release, init), name, init, *more))
    if result.returncode:
        # podman keeps a container that it has made and cannot start.
        remove_containers([name])
        raise UserError(f"podman cannot start a {release} container: {last_line(result)}", ExitCode.FAILED)
    container = Container(result.stdout.strip(), release, init)
    try:
        _wait_for_init(container)
    except BaseException:
        container.remove()
        raise
    return container


def run_arguments(image: str, name: str, init: Init, *more: str) -> list[str]:
    """Return podman's arguments that boot ``image``."""
    # What OpenRC notes in /run must not outlive a restart; podman sees to that itself for systemd.
    booted = ["--systemd=always"] if init is Init.SYSTEMD else ["--systemd=false", "--tmpfs=/run"]
    return [
        "run",
        "--detach",
        *booted,
        "--network=host",
        *limit_arguments(),
        f"--name={name}",
        *more,
        image,
        "/sbin/init",
    ]


def limit_arguments() -> list[str]:
    """Return podman's arguments for limits that any root may set: podman's defaults are above what some may."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # podman lowers its own limit to as many processes as there can be, and cannot pass on more than it has.
    highest = int(Path("/proc/sys/kernel/pid_max").read_text())
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    if processes == resource.RLIM_INFINITY or processes > highest:
        processes = highest
    return [f"--ulimit=nofile={files}:{files}", f"--ulimit=nproc={processes}:{processes}"]


def _wait_for_init(container: Container) -> None:
    if container.init is Init.SYSTEMD:
        _wait_for_systemd(container)
        return
    if asked_until(lambda: container.run("sh", "-c", _OPENRC_IS_UP, check=False).returncode == 0, START_SECONDS, 0.3):
        return
    raise UserError(f"OpenRC in the {container.release} container did not reach its default runlevel", ExitCode.FAILED)


def _wait_for_systemd(container: Container) -> None:
    def settled() -> str | None:
        state = container.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state if state in _SETTLED else None

    state = asked_until(settled, START_SECONDS, 0.3)
    if state == "running":
        return
    raise UserError(
        f"systemd in the {container.release} container is {state or 'not up'}: {_failed(container)}", ExitCode.FAILED
    )


def _failed(container: Container) -> str:
    listed = container.run("systemctl", "list-units", "--failed", "--plain", "--no-legend", check=False).stdout
    units = [line.split()[0] for line in listed.splitlines() if line.strip()]
    return f"{', '.join(units)} failed" if units else "no unit failed"


def abandoned_containers() -> list[str]:
    """Return the ids of lab containers whose owner no longer lives."""
    result = podman("ps", "--all", "--filter", f"label={OWNER_LABEL}", "--format", "json")
    if result.returncode:
        raise UserError(f"podman does not answer: {last_line(result)}", ExitCode.FAILED)
    return parse_abandoned(result.stdout)


def parse_abandoned(text: str) -> list[str]:
    """Return the ids of those containers in ``podman ps --format json`` whose owner no longer lives."""
    return [
        str(row["Id"])
        for row in json.loads(text or "[]")
        if (owner := parse_record(row["Labels"][OWNER_LABEL])) is None or not owner.is_alive()
    ]


def remove_containers(identities: Sequence[str]) -> None:
    """Remove containers by id, running or not; those that are gone already are no mistake."""
    for identity in identities:
        result = podman("rm", "--force", "--ignore", "--time", "0", identity)
        if result.returncode:
            raise UserError(f"podman cannot remove {identity}: {last_line(result)}", ExitCode.FAILED)


def open_ssh(container: Container, directory: Path) -> SshTarget:
    """Start sshd in a container and return how its root gets in; ``directory`` keeps the keys made for it.

    It listens on a port of its own, because the container has the host's network. The target's ``user`` may be
    replaced by ``USER``. A restart of the container ends it.
    """
    key, host_key, known_hosts = (directory / name for name in ("id_ed25519", "ssh_host_ed25519_key", "known_hosts"))
    login, public = (make_key(path, f"metis lab {container.identity[:12]}") for path in (key, host_key))
    container.write(_HOST_KEY, host_key.read_text(), mode="0600")
    for user, home in (("root", "/root"), (USER, f"/home/{USER}")):
        container.run("install", "-d", "-m", "0700", "-o", user, f"{home}/.ssh")
        container.write(f"{home}/.ssh/authorized_keys", login, mode="0600", owner=user)
    port = free_port()
    known_hosts.write_text(f"[127.0.0.1]:{port} {public}")
    container.write(_SSHD_CONFIG, _sshd_config(container.release, port))
    container.run("mkdir", "-p", "/run/sshd")
    container.run("/usr/sbin/sshd", "-f", _SSHD_CONFIG)
    target = SshTarget(container.identity[:12], "127.0.0.1", port, "root", key, known_hosts)
    if asked_until(target.greets, START_SECONDS, 0.1):
        return target
    raise UserError(f"sshd in the {container.release} container does not answer on port {port}", ExitCode.FAILED)


def _sshd_config(release: Release, port: int) -> str:
    lines = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {_HOST_KEY}",
        "PidFile /run/lab-sshd.pid",
        "PasswordAuthentication no",
        # An account without a password is a locked one, unless PAM says otherwise.
        "UsePAM yes",
        "Subsystem sftp /usr/lib/openssh/sftp-server",
    ]
    if release is not Release.DEBIAN_12:
        # All clients share one address; the option came with OpenSSH 9.8.
        lines.append("PerSourcePenalties no")
    return "".join(f"{line}\n" for line in lines)
