"""Debian containers with a real systemd or OpenRC, for everything of a deploy that needs no kernel of its own.

Podman runs them with runc: crun refuses hosts with hybrid cgroups. Each belongs to the process that made it; one
whose owner has ended, however that came about, is removed when the next one is made.
"""

from __future__ import annotations

import json
import resource
import secrets
import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from metis_provision.lab.apt import KEYRING, AptSetup, local_certificates, read_apt_setup
from metis_provision.lab.bootstrap import bootstrap, mmdebstrap_command
from metis_provision.lab.cache import DAY, Recipe, obtain
from metis_provision.lab.image import configure_apt, packages
from metis_provision.lab.process import ProcessRecord, current_process, parse_record
from metis_provision.lab.requirements import (
    MACHINE_TOOLS,
    missing_files,
    missing_mirror,
    missing_platform,
    missing_space,
    missing_tools,
)
from metis_provision.model.errors import ExitCode, UserError

IMAGE_NAME = "localhost/metis-lab"
OWNER_LABEL = "metis-provision.lab.owner"
MAX_AGE = 7 * DAY
"""Seconds; older images are made again, so that packages are what Debian has now."""
START_SECONDS = 120.0
PACKAGES = ("systemd-sysv", "dbus", "udev", "kmod", "procps", "iproute2", "sudo")
OPENRC_PACKAGES = ("openrc", "sysvinit-core", "initscripts", "inetutils-syslogd", "udev", "kmod", "procps", "sudo")
CONTAINER_TOOLS = {
    **{tool: MACHINE_TOOLS[tool] for tool in ("mmdebstrap", "apt-get", "setpriv", "unshare")},
    "podman": "podman",
    "runc": "runc",
}
"""Programs of the container tier and the Debian packages they are in."""

# The container shares the host's network: nothing in it may set that up anew, or hold apt's lock unasked.
MASKED = ("systemd-networkd.service", "systemd-networkd.socket", "apt-daily.timer", "apt-daily-upgrade.timer")
CUSTOMIZE_SCRIPT = rf"""
set -eu
root=$1
chroot "$root" systemctl --quiet mask {" ".join(MASKED)}
: > "$root/etc/machine-id"
"""


class Init(StrEnum):
    """What is process 1 of a container; OpenRC is started by sysvinit, as Debian packages it."""

    SYSTEMD = "systemd"
    OPENRC = "openrc"


class Release(StrEnum):
    """The Debian releases there are containers of."""

    DEBIAN_12 = "bookworm"
    DEBIAN_13 = "trixie"


_PACKAGES = {Init.SYSTEMD: PACKAGES, Init.OPENRC: OPENRC_PACKAGES}
_SCRIPTS = {Init.SYSTEMD: CUSTOMIZE_SCRIPT, Init.OPENRC: ""}
_OPENRC_IS_UP = '[ "$(cat /run/openrc/softlevel)" = default ] && [ ! -e /run/openrc/rc.starting ]'


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
        result = _podman("exec", self.identity, *command)
        if check and result.returncode:
            told = f"In the {self.release} container, {shlex.join(command)} failed ({result.returncode})"
            raise UserError(f"{told}: {_last_line(result)}", ExitCode.FAILED)
        return result

    def restart(self) -> None:
        """Boot it anew and wait until its init system is up; UserError if it does not come up."""
        result = _podman("restart", "--time", "0", self.identity)
        if result.returncode:
            raise UserError(f"podman cannot restart {self.identity}: {_last_line(result)}", ExitCode.FAILED)
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
    """Start a fresh container and return it once its init system is up; UserError if it does not come up."""
    remove_containers(abandoned_containers())
    image = container_image(release, init)
    name = f"metis-lab-{secrets.token_hex(6)}"
    result = _podman(*run_arguments(image, name, current_process(), init))
    if result.returncode:
        # podman keeps a container that it has made and cannot start.
        remove_containers([name])
        raise UserError(f"podman cannot start a {release} container: {_last_line(result)}", ExitCode.FAILED)
    container = Container(result.stdout.strip(), release, init)
    try:
        _wait_for_init(container)
    except BaseException:
        container.remove()
        raise
    return container


def run_arguments(image: str, name: str, owner: ProcessRecord, init: Init = Init.SYSTEMD) -> list[str]:
    """Return podman's arguments that boot ``image`` on behalf of ``owner``."""
    # What OpenRC notes in /run must not outlive a restart; podman sees to that itself for systemd.
    booted = ["--systemd=always"] if init is Init.SYSTEMD else ["--systemd=false", "--tmpfs=/run"]
    return [
        "run",
        "--detach",
        *booted,
        "--network=host",
        *limit_arguments(),
        f"--name={name}",
        f"--label={OWNER_LABEL}={owner.as_text()}",
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
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if container.run("sh", "-c", _OPENRC_IS_UP, check=False).returncode == 0:
            return
        time.sleep(0.3)
    raise UserError(f"OpenRC in the {container.release} container did not reach its default runlevel", ExitCode.FAILED)


def _wait_for_systemd(container: Container) -> None:
    deadline = time.monotonic() + START_SECONDS
    state = ""
    while time.monotonic() < deadline:
        state = container.run("systemctl", "is-system-running", check=False).stdout.strip()
        if state == "running":
            return
        if state in ("degraded", "maintenance"):
            break
        time.sleep(0.3)
    raise UserError(
        f"systemd in the {container.release} container is {state or 'not up'}: {_failed(container)}", ExitCode.FAILED
    )


def _failed(container: Container) -> str:
    listed = container.run("systemctl", "list-units", "--failed", "--plain", "--no-legend", check=False).stdout
    units = [line.split()[0] for line in listed.splitlines() if line.strip()]
    return f"{', '.join(units)} failed" if units else "no unit failed"


def abandoned_containers() -> list[str]:
    """Return the ids of lab containers whose owner no longer lives."""
    result = _podman("ps", "--all", "--filter", f"label={OWNER_LABEL}", "--format", "json")
    if result.returncode:
        raise UserError(f"podman does not answer: {_last_line(result)}", ExitCode.FAILED)
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
        result = _podman("rm", "--force", "--ignore", "--time", "0", identity)
        if result.returncode:
            raise UserError(f"podman cannot remove {identity}: {_last_line(result)}", ExitCode.FAILED)


def container_recipe(
    release: Release, setup: AptSetup, certificates: dict[str, str], init: Init = Init.SYSTEMD
) -> Recipe:
    """Return everything the image depends on but the archive's state; ``certificates`` maps names to PEM texts."""
    return {
        "release": release.value,
        "packages": packages(_PACKAGES[init], setup),
        "sources": setup.sources(release.value),
        "options": setup.options,
        "certificates": certificates if setup.uses_tls else {},
        "scripts": [_SCRIPTS[init]],
        "layout": 1,
    }


def container_image(release: Release, init: Init = Init.SYSTEMD) -> str:
    """Return the name of the image in podman's store, built and imported if need be."""
    setup = read_apt_setup()
    certificates = {path.name: path.read_text() for path in local_certificates()}
    recipe = container_recipe(release, setup, certificates, init)
    entry = obtain(
        "containers", recipe, lambda directory: _build(directory, release, init, setup, certificates), max_age=MAX_AGE
    )
    kind = release.value if init is Init.SYSTEMD else f"{init}-{release}"
    # An entry that was made again has the same key and another moment.
    image = f"{IMAGE_NAME}:{kind}-{entry.name}-{int((entry / 'made').stat().st_mtime)}"
    if _podman("image", "exists", image).returncode == 0:
        return image
    result = _podman("import", "--change", 'CMD ["/sbin/init"]', str(entry / "root.tar"), image)
    if result.returncode:
        raise UserError(f"podman cannot import the {release} image: {_last_line(result)}", ExitCode.FAILED)
    _forget_predecessors(kind, image)
    return image


def _build(directory: Path, release: Release, init: Init, setup: AptSetup, certificates: dict[str, str]) -> None:
    root = directory / "root"
    command = mmdebstrap_command(
        release.value,
        root,
        variant="minbase",
        packages=packages(_PACKAGES[init], setup),
        sources=setup.sources(release.value),
        apt_options=setup.options,
        customize=_SCRIPTS[init],
    )
    bootstrap(command, f"the {release} container image with {init}")
    configure_apt(root, setup.options, certificates if setup.uses_tls else {})
    archive = ["tar", "--create", "--numeric-owner", "--xattrs", "--file", str(directory / "root.tar")]
    result = subprocess.run([*archive, "--directory", str(root), "."], capture_output=True, text=True, check=False)
    if result.returncode:
        raise UserError(f"tar cannot pack the {release} image: {_last_line(result)}", ExitCode.FAILED)
    shutil.rmtree(root)


def _forget_predecessors(kind: str, image: str) -> None:
    """Remove earlier images of a kind; one that a container still uses stays until next time."""
    for name in _podman("images", "--format", "{{.Repository}}:{{.Tag}}", IMAGE_NAME).stdout.split():
        if name.startswith(f"{IMAGE_NAME}:{kind}-") and name != image:
            _podman("image", "rm", name)


def _podman(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["podman", "--runtime", "runc", *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def _last_line(result: subprocess.CompletedProcess[str]) -> str:
    return (result.stderr.strip() or result.stdout.strip() or "no output").splitlines()[-1]
