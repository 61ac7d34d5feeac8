"""A Debian 13 root with its real udev, for tests that ask udev itself about rules and made-up devices."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from metis_provision.lab.apt import read_apt_setup
from metis_provision.lab.bootstrap import bootstrap, mmdebstrap_command
from metis_provision.lab.cache import obtain

RELEASE = "trixie"
PACKAGES = ("acl", "udev")


def missing() -> list[str]:
    """What this machine lacks for such a root."""
    tools = [tool for tool in ("mmdebstrap", "unshare", "chroot") if shutil.which(tool) is None]
    return tools if os.geteuid() == 0 else ["root", *tools]


def udev_root() -> Path:
    """The root, from the cache or built by mmdebstrap."""
    return obtain("roots", {"release": RELEASE, "packages": PACKAGES, "layout": 1}, _build) / "root"


def _build(directory: Path) -> None:
    setup = read_apt_setup()
    command = mmdebstrap_command(
        RELEASE,
        directory / "root",
        variant="essential",
        packages=PACKAGES,
        sources=setup.sources(RELEASE),
        apt_options=setup.options,
    )
    bootstrap(command, "the udev root")


def run_inside(root: Path, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command in ``root``; made-up devices are taken for sysfs."""
    return subprocess.run(
        ["unshare", "-m", "chroot", str(root), *command],
        input=stdin,
        env={"PATH": "/usr/bin:/usr/sbin:/bin:/sbin", "SYSTEMD_DEVICE_VERIFY_SYSFS": "0", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def copy_of(root: Path, target: Path, names: Sequence[str] = ()) -> Path:
    """A copy of ``root`` made of hard links, so that a test may put files into it."""
    subprocess.run(["cp", "-al", str(root), str(target)], check=True)
    for name in names:
        (target / name).mkdir(parents=True, exist_ok=True)
    return target
