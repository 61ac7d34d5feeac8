"""What this machine lacks for the lab and for tests in a browser, a sentence each, said before anything starts."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from metis_provision.controller.directories import cache_dir
from metis_provision.lab.apt import KEYRING, read_apt_setup
from metis_provision.lab.paths import state_dir
from metis_provision.model.errors import UserError

GIB = 1 << 30
CACHE_SPACE = 3 * GIB
"""Bytes free for building: unpacked tools 0.2 GiB, root 0.5 GiB, the disk made from it 0.5 GiB, downloads."""
STATE_SPACE = 3 * GIB
"""Bytes free for a machine: its copy of the disk, and what a deploy puts there."""
_ALREADY_BUILT = ("tools", "images")

MACHINE_TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "apt-get": "apt",
    "mke2fs": "e2fsprogs",
    "cp": "coreutils",
    "setsid": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "gcc": "gcc",
    "dpkg-deb": "dpkg",
}
"""Programs of the machine tier and the Debian packages they are in; QEMU is not among them, it comes by itself."""

TWIN_TOOLS = {
    **MACHINE_TOOLS,
    "arch-test": "arch-test",
    "busybox": "busybox",
    "qemu-aarch64-static": "qemu-user-static",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "dtc": "device-tree-compiler",
    "fdtput": "device-tree-compiler",
    "fdtoverlay": "device-tree-compiler",
    "mcopy": "mtools",
    "mkfs.vfat": "dosfstools",
    "sfdisk": "fdisk",
}
"""Programs of a Raspberry Pi twin and the Debian packages they are in."""
_CROSS_HEADER = Path("/usr/aarch64-linux-gnu/include/stdlib.h")

BROWSER_TOOLS = {"chromium": "chromium", "chromedriver": "chromium-driver"}
"""Programs of the browser tier and the Debian packages they are in."""


def missing_browser_requirements() -> list[str]:
    """Return why no page can be shown to a browser here; empty if one can."""
    return missing_tools(BROWSER_TOOLS)


def missing_requirements() -> list[str]:
    """Return why ``lab up`` cannot work here; empty if it can."""
    return [
        *missing_platform(),
        *missing_tools(MACHINE_TOOLS),
        *missing_files({KEYRING: "debian-archive-keyring", Path("/usr/include/stdlib.h"): "libc6-dev"}),
        *missing_mirror(),
        *missing_space(),
    ]


def missing_twin_requirements() -> list[str]:
    """Return why ``lab up --kind pi5`` cannot work here; empty if it can."""
    return [
        *missing_platform(),
        *missing_tools(TWIN_TOOLS),
        *missing_files({KEYRING: "debian-archive-keyring", _CROSS_HEADER: "libc6-dev-arm64-cross"}),
        *missing_emulation(),
        *missing_mirror(),
        *missing_space(),
    ]


def missing_emulation() -> list[str]:
    """Return why programs for arm64, such as package scripts, do not run here, if they do not."""
    if shutil.which("arch-test") is None or shutil.which("qemu-aarch64-static") is None:
        return []
    if subprocess.run(["arch-test", "arm64"], capture_output=True, check=False).returncode == 0:
        return []
    return [
        "Programs for arm64 do not run here: apt-get install qemu-user-static binfmt-support, "
        "then update-binfmts --enable qemu-aarch64."
    ]


def missing_platform() -> list[str]:
    """Return a sentence for another architecture and one for another user than root."""
    missing = []
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        missing.append(f"This is {platform.system()} on {platform.machine()}: the lab needs Linux on x86_64.")
    if os.geteuid() != 0:
        missing.append("Not root: the lab unpacks Debian roots with their owners; run it as root.")
    return missing


def missing_tools(tools: dict[str, str]) -> list[str]:
    """Return a sentence for each program that is not there; ``tools`` maps programs to Debian packages."""
    return [
        f"{tool} is missing: apt-get install {package}."
        for tool, package in tools.items()
        if shutil.which(tool) is None
    ]


def missing_files(files: dict[Path, str]) -> list[str]:
    """Return a sentence for each file that is not there; ``files`` maps paths to Debian packages."""
    return [f"{path} is missing: apt-get install {package}." for path, package in files.items() if not path.exists()]


def missing_mirror() -> list[str]:
    """Return why Debian's archive cannot be found, if it cannot."""
    try:
        read_apt_setup()
    except UserError as error:
        return [str(error)]
    return []


def missing_space(shelves: Iterable[str] = _ALREADY_BUILT) -> list[str]:
    """Return a sentence for each directory that is too small; one whose contents exist needs no room for building."""
    built = all((cache_dir() / shelf).is_dir() for shelf in shelves)
    wanted = [(state_dir(), STATE_SPACE)] + ([] if built else [(cache_dir(), CACHE_SPACE)])
    missing = []
    for directory, needed in wanted:
        free = shutil.disk_usage(_existing(directory)).free
        if free < needed:
            missing.append(
                f"{directory} has {free / GIB:.1f} GiB free, {needed / GIB:.0f} GiB are needed: make room there."
            )
    return missing


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def require(missing: list[str]) -> None:
    """Raise UserError with all of ``missing``, one line each, if there is anything."""
    if missing:
        raise UserError("\n".join(missing))
