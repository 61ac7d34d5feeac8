"""Hosts made of files: a tree with its own /sys, /proc, /dev and /etc that the survey's script looks at."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from metis_provision.model.survey import Survey, SurveyRequest
from metis_provision.survey.parser import parse_survey
from metis_provision.survey.script import survey_command

SHELLS = {
    "dash": ["dash"],
    "bash": ["bash", "--posix"],
    # The shell and every tool from busybox, as on Alpine.
    "busybox": ["busybox", "sh"],
}

# /dev/full: opens for reading and writing without doing anything, and no other process is likely to have it open.
FULL = os.makedev(1, 7)


def config_space(*, max_payload: int = 0, max_read: int = 2, length: int = 256) -> bytes:
    """Bytes of a function with a power-management and, behind it, a PCI Express capability; sizes as encoded."""
    data = bytearray(256)
    data[0:4] = bytes.fromhex("9d1f0011")
    data[0x06] = 0x10
    data[0x34] = 0x40
    data[0x40:0x42] = bytes([0x01, 0x70])
    data[0x70:0x72] = bytes([0x10, 0x00])
    data[0x78:0x7A] = (max_payload << 5 | max_read << 12).to_bytes(2, "little")
    return bytes(data[:length])


@dataclass
class HostTree:
    """A made-up host under ``root``; stubs of commands lie in ``bin``, in front of those in ``path``."""

    root: Path
    bin: Path
    shell: str
    path: str

    def file(self, path: str, content: str | bytes = "", mode: int = 0o644) -> Path:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        target.chmod(mode)
        return target

    def link(self, path: str, target: Path | str) -> Path:
        link = self.root / path.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
        return link

    def stub(self, name: str, body: str) -> None:
        target = self.bin / name
        target.unlink(missing_ok=True)
        target.write_text(f"#!/bin/sh\n{body}\n")
        target.chmod(0o755)

    def pci(
        self,
        *hops: str,
        ids: tuple[str, str, str] = ("0x1f9d", "0x1100", "0x120000"),
        config: bytes | None = None,
        bars: Sequence[str] = (),
        driver: str | None = None,
        **attributes: str,
    ) -> Path:
        """Add the last of ``hops`` (BDFs from the root port down) with sysfs files as the kernel makes them."""
        domain = hops[0].rpartition(":")[0]
        path = "/sys/devices/pci" + "/".join((domain, *hops))
        for name, value in zip(("vendor", "device", "class"), ids, strict=True):
            self.file(f"{path}/{name}", f"{value}\n")
        for name, value in attributes.items():
            self.file(f"{path}/{name}", f"{value}\n")
        self.file(f"{path}/resource", "".join(f"{line}\n" for line in bars))
        if config is not None:
            self.file(f"{path}/config", config)
        directory = self.root / path.lstrip("/")
        self.link(f"/sys/bus/pci/devices/{hops[-1]}", directory)
        if driver:
            driver_directory = self.root / f"sys/bus/pci/drivers/{driver}"
            driver_directory.mkdir(parents=True, exist_ok=True)
            (driver_directory / hops[-1]).symlink_to(directory)
            (directory / "driver").symlink_to(driver_directory)
        return directory

    def card(self, **attributes: str) -> Path:
        """Add a root port and a Metis behind it, both with a link of Gen3 x4."""
        link = {"current_link_speed": "8.0 GT/s PCIe", "current_link_width": "4"}
        link |= {"max_link_speed": "8.0 GT/s PCIe", "max_link_width": "4"}
        self.pci("0000:00:01.0", ids=("0x1b36", "0x000c", "0x060400"), driver="pcieport", **link)
        return self.pci(
            "0000:00:01.0",
            "0000:01:00.0",
            config=config_space(),
            driver="axl",
            bars=[
                "0x00000000fe200000 0x00000000fe200fff 0x0000000000040200",
                "0x0000000000000000 0x0000000000000000 0x0000000000000000",
                "0x00000000fc000000 0x00000000fdffffff 0x0000000000040200",
            ],
            **(link | {"revision": "0x02"} | attributes),
        )

    def node(
        self, name: str, device: Path | None, *, device_class: str = "metis", mode: int = 0o660, present: bool = True
    ) -> Path:
        """Add a class device and, if ``present``, a real character device under the tree's /dev; needs root."""
        base = f"/sys/class/{device_class}/{name.rpartition('/')[2]}"
        self.file(f"{base}/dev", "1:7\n")
        self.file(f"{base}/uevent", f"MAJOR=1\nMINOR=7\nDEVNAME={name}\n")
        if device is not None:
            self.link(f"{base}/device", device)
        node = self.root / "dev" / name
        node.parent.mkdir(parents=True, exist_ok=True)
        if present:
            os.mknod(node, stat.S_IFCHR | 0o600, FULL)
            node.chmod(mode)
        return node

    def without(self, name: str) -> None:
        """Take a command away; only where every command comes from busybox."""
        if self.shell != "busybox":
            pytest.skip(f"the host's own {name} cannot be hidden from this shell")
        applets = Path(self.path)
        for applet in applets.iterdir():
            if applet.name != name:
                (self.bin / applet.name).symlink_to(applet.readlink())
        self.path = str(self.bin)

    def command(self, text: str) -> list[str]:
        program, *options = SHELLS[self.shell]
        return [shutil.which(program) or program, *options, "-c", text]

    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.bin}:{self.path}", "METIS_ROOT": str(self.root)}

    def output(self, request: SurveyRequest, identity: Sequence[str] = ()) -> str:
        """Run the script on the tree; standard error must stay empty."""
        done = subprocess.run(
            [*identity, *self.command(survey_command(request))],
            env=self.environment(),
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.stderr == b""
        assert done.returncode == 0
        return done.stdout.decode("ascii")

    def survey(self, *sections: str, identity: Sequence[str] = (), **names: object) -> Survey:
        request = SurveyRequest(sections=sections, **names)  # type: ignore[arg-type]
        survey = parse_survey(self.output(request, identity))
        assert survey.sections == frozenset(sections)
        return survey


@pytest.fixture(params=list(SHELLS))
def host(request: pytest.FixtureRequest) -> Iterator[HostTree]:
    """An empty made-up host, looked at with each shell this machine has."""
    shell = request.param
    if shutil.which(SHELLS[shell][0]) is None:
        pytest.skip(f"{SHELLS[shell][0]} is not installed")
    path = str(request.getfixturevalue("applets")) if shell == "busybox" else "/usr/bin:/bin"
    # Not tmp_path: every start of pytest closes the directory above it to the other identities that walk here.
    with tempfile.TemporaryDirectory(prefix="metis-host-") as directory:
        place = Path(directory)
        place.chmod(0o711)
        tree = HostTree(place / "host", place / "bin", shell, path)
        tree.root.mkdir()
        tree.bin.mkdir()
        yield tree


@pytest.fixture(scope="session")
def applets() -> Iterator[Path]:
    """A directory of busybox's commands and nothing else; flock is the system's where busybox has none (Debian)."""
    with tempfile.TemporaryDirectory(prefix="metis-applets-") as place:
        directory = Path(place)
        directory.chmod(0o711)
        subprocess.run(["busybox", "--install", "-s", str(directory)], check=True)
        if not (directory / "flock").exists():
            (directory / "flock").symlink_to(shutil.which("flock") or "/usr/bin/flock")
        yield directory


@pytest.fixture
def rooted(host: HostTree) -> HostTree:
    """A made-up host on a machine where device nodes can be made and other identities be taken."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make device nodes and become other users")
    return host
