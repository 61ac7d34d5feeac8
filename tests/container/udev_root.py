"""Debian roots with their real udev, for tests that ask udev itself about rules and made-up devices."""

from __future__ import annotations

import os
import shutil
import subprocess
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


def udev_root(release: str = RELEASE) -> Path:
    """The root of a Debian release, from the cache or built by mmdebstrap."""
    recipe = {"release": release, "packages": PACKAGES, "layout": 1}
    return obtain("roots", recipe, lambda directory: _build(release, directory)) / "root"


def _build(release: str, directory: Path) -> None:
    setup = read_apt_setup()
    command = mmdebstrap_command(
        release,
        directory / "root",
        variant="essential",
        packages=PACKAGES,
        sources=setup.sources(release),
        apt_options=setup.options,
    )
    bootstrap(command, f"the udev root of {release}")


# Everything is written to an overlay, so the cached root stays as it was built.
_INSIDE = r"""
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/merged"
merged=$2/merged
shift 2
exec chroot "$merged" "$@"
"""


class MadeUpHost:
    """A root of its own with devices made of files below its /sys; ``run`` works inside it."""

    def __init__(self, base: Path, release: str = RELEASE) -> None:
        self.base = base
        self.root = udev_root(release)
        for name in ("upper", "work", "merged"):
            (base / name).mkdir(parents=True)

    def file(self, path: str, content: str | bytes = "", mode: int = 0o644) -> Path:
        """Write a file of the host."""
        target = self.base / "upper" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        target.chmod(mode)
        return target

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link of the host."""
        link = self.base / "upper" / path.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the host; udev takes its made-up /sys for a real one."""
        return subprocess.run(
            ["unshare", "-m", "sh", "-ec", _INSIDE, "sh", str(self.root), str(self.base), *command],
            env={"PATH": "/usr/bin:/usr/sbin:/bin:/sbin", "SYSTEMD_DEVICE_VERIFY_SYSFS": "0", "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def pci(self, bdf: str, vendor: str, device: str, class_code: str = "0x120000") -> str:
        """Add a PCI function below a root port; returns its path in /sys."""
        path = f"/sys/devices/pci0000:00/0000:00:1c.0/{bdf}"
        for name, value in (("vendor", vendor), ("device", device), ("class", class_code)):
            self.file(f"{path}/{name}", f"{value}\n")
        self.file(f"{path}/uevent", f"PCI_SLOT_NAME={bdf}\n")
        self.link(f"{path}/subsystem", "/sys/bus/pci")
        self.link(f"/sys/bus/pci/devices/{bdf}", path)
        return path

    def node(self, parent: str, device_class: str, name: str, devname: str | None = None, number: int = 0) -> str:
        """Add a character device of a class; returns its path in /sys."""
        path = f"{parent}/{device_class}/{name}"
        devname = name if devname is None else devname
        self.file(f"{path}/dev", f"240:{number}\n")
        self.file(f"{path}/uevent", f"MAJOR=240\nMINOR={number}\nDEVNAME={devname}\n")
        self.link(f"{path}/subsystem", f"/sys/class/{device_class}")
        self.link(f"/sys/class/{device_class}/{name}", path)
        self.link(f"/sys/dev/char/240:{number}", path)
        return path
