"""The images of the lab's containers: Debian with systemd or with OpenRC, from Debian's packages."""

from __future__ import annotations

import shutil
import subprocess
from enum import StrEnum
from pathlib import Path

from metis_provision.lab.apt import AptSetup, local_certificates, read_apt_setup
from metis_provision.lab.bootstrap import bootstrap, mmdebstrap_command
from metis_provision.lab.cache import DAY, Recipe, obtain
from metis_provision.lab.image import configure_apt, packages
from metis_provision.lab.podman import podman
from metis_provision.lab.process import last_line
from metis_provision.model.errors import ExitCode, UserError

IMAGE_NAME = "localhost/metis-lab"
MAX_AGE = 7 * DAY
"""Seconds; older images are made again, so that packages are what Debian has now."""
USER = "operator"
"""An account that may become root by sudo; Debian has a group of that name."""
BASE_PACKAGES = ("udev", "kmod", "procps", "sudo", "openssh-server")
SYSTEMD_PACKAGES = ("systemd-sysv", "dbus", "iproute2", *BASE_PACKAGES)
OPENRC_PACKAGES = ("openrc", "sysvinit-core", "initscripts", "inetutils-syslogd", *BASE_PACKAGES)

# The container shares the host's network: nothing in it may set that up anew, hold apt's lock unasked, or take the
# port of the host's own sshd.
MASKED = (
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "ssh.service",
    "ssh.socket",
    "sshd-keygen.service",
)
CUSTOMIZE_SCRIPT = rf"""
set -eu
root=$1
rm -f "$root"/etc/ssh/ssh_host_*
chroot "$root" useradd --create-home --shell /bin/bash --gid {USER} {USER}
echo '{USER} ALL=(ALL) NOPASSWD: ALL' > "$root/etc/sudoers.d/{USER}"
chmod 0440 "$root/etc/sudoers.d/{USER}"
"""
SYSTEMD_SCRIPT = rf"""
chroot "$root" systemctl --quiet mask {" ".join(MASKED)}
: > "$root/etc/machine-id"
"""
OPENRC_SCRIPT = r"""
rm -f "$root"/etc/runlevels/*/ssh
"""


class Init(StrEnum):
    """What is process 1 of a container; OpenRC is started by sysvinit, as Debian packages it."""

    SYSTEMD = "systemd"
    OPENRC = "openrc"


class Release(StrEnum):
    """The Debian releases there are containers of."""

    DEBIAN_12 = "bookworm"
    DEBIAN_13 = "trixie"


_PACKAGES = {Init.SYSTEMD: SYSTEMD_PACKAGES, Init.OPENRC: OPENRC_PACKAGES}
_SCRIPTS = {Init.SYSTEMD: CUSTOMIZE_SCRIPT + SYSTEMD_SCRIPT, Init.OPENRC: CUSTOMIZE_SCRIPT + OPENRC_SCRIPT}


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


def container_archive(release: Release, init: Init = Init.SYSTEMD) -> Path:
    """Return the root of such a container as a tar in the cache, built if need be."""
    setup = read_apt_setup()
    certificates = {path.name: path.read_text() for path in local_certificates()}
    recipe = container_recipe(release, setup, certificates, init)
    entry = obtain(
        "containers", recipe, lambda directory: _build(directory, release, init, setup, certificates), max_age=MAX_AGE
    )
    return entry / "root.tar"


def container_image(release: Release, init: Init = Init.SYSTEMD) -> str:
    """Return the name of the image in podman's store, built and imported if need be."""
    archive = container_archive(release, init)
    entry = archive.parent
    kind = release.value if init is Init.SYSTEMD else f"{init}-{release}"
    # An entry that was made again has the same key and another moment.
    image = f"{IMAGE_NAME}:{kind}-{entry.name}-{int((entry / 'made').stat().st_mtime)}"
    if podman("image", "exists", image).returncode == 0:
        return image
    result = podman("import", "--change", 'CMD ["/sbin/init"]', str(archive), image)
    if result.returncode:
        raise UserError(f"podman cannot import the {release} image: {last_line(result)}", ExitCode.FAILED)
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
        raise UserError(f"tar cannot pack the {release} image: {last_line(result)}", ExitCode.FAILED)
    shutil.rmtree(root)


def _forget_predecessors(kind: str, image: str) -> None:
    """Remove earlier images of a kind; one that a container still uses stays until next time."""
    for name in podman("images", "--format", "{{.Repository}}:{{.Tag}}", IMAGE_NAME).stdout.split():
        if name.startswith(f"{IMAGE_NAME}:{kind}-") and name != image:
            podman("image", "rm", name)
