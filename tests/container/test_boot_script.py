"""The script that replaces config.txt, run for real under dash and busybox on FAT where this kernel mounts it.

Without FAT in the kernel the same tests run on a tmpfs: everything but the file system's own ways is then tested.
The machine tier runs it on FAT in any case.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
from pathlib import Path

import pytest
from test_scripts import Target, target

from metis_provision.desired.difference import BootChange
from metis_provision.model.artifact import BootConfig
from metis_provision.operations import commands

__all__ = ["target"]

pytestmark = pytest.mark.container

BEFORE = b"# \xe9t\xe9\r\ndtparam=audio=on\r\n[all]"
AFTER = BEFORE + b"\r\n# metis-provision begin\r\n[all]\r\ndtparam=pciex1\r\n# metis-provision end\r\n"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def partition(target: Target) -> Path:
    """A boot partition with a config.txt; an image that each command mounts in a mount namespace of its own."""
    (target.base / "boot").mkdir()
    image = target.base / "boot.img"
    if "\tvfat\n" in Path("/proc/filesystems").read_text():
        image.write_bytes(b"\0" * 4_000_000)
        subprocess.run(["busybox", "mkdosfs", str(image)], check=True, capture_output=True)
    else:
        (target.base / "kept").mkdir()
        (target.base / "kept" / "config.txt").write_bytes(BEFORE)
    return target.base / "boot"


def on(target: Target, command: str, stdin: str = "", options: str = "rw") -> subprocess.CompletedProcess[str]:
    """Run ``command`` with the partition mounted; its files are afterwards in ``kept`` to be looked at."""
    base = target.base
    image = base / "boot.img"
    if image.exists():
        mount = f"mount -t vfat -o loop,rw {image} {base}/boot"
    else:
        mount = f"mount -t tmpfs -o size=64k tmpfs {base}/boot && cp {base}/kept/* {base}/boot/"
    first = f"mkdir {base}/kept && printf '{_octal(BEFORE)}' >{base}/boot/config.txt"
    first = "" if (base / "kept").exists() else first
    script = (
        f"{mount} || exit 99\n{first}\n[ {options} = rw ] || mount -o remount,{options} {base}/boot\n"
        f"(\n{command}\n)\nstatus=$?\nrm -f {base}/kept/*\ncp {base}/boot/* {base}/kept/\nexit $status"
    )
    return target.run(script, stdin)


def _octal(content: bytes) -> str:
    return "".join(f"\\{octet:03o}" for octet in content)


def replace(
    target: Target,
    now: bytes,
    content: bytes,
    *,
    was: bytes | None = None,
    stdin: str | None = None,
    options: str = "rw",
) -> subprocess.CompletedProcess[str]:
    config = BootConfig(f"{target.base}/boot/config.txt", (), was if was is not None else now, content)
    change = BootChange(config)
    text = commands.boot_input(change) if stdin is None else stdin
    return on(target, commands.boot_command(change), text, options)


def kept(target: Target) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (target.base / "kept").iterdir()}


def test_every_byte_arrives_and_the_earlier_file_stays_in_two_places(target: Target, partition: Path) -> None:
    done = replace(target, BEFORE, AFTER)
    assert (done.returncode, done.stderr) == (0, "")
    assert kept(target) == {"config.txt": AFTER, "config.txt.metis-previous": BEFORE}
    assert (target.base / "state" / "previous" / sha256(BEFORE)).read_bytes() == BEFORE
    note = (target.base / "run" / "booted-with").read_text()
    assert note == f"{BOOT_ID.read_text().strip()} {sha256(BEFORE)} {partition}/config.txt\n"


def test_a_second_change_keeps_what_the_host_booted_with(target: Target, partition: Path) -> None:
    assert replace(target, BEFORE, AFTER).returncode == 0
    note = (target.base / "run" / "booted-with").read_text()
    later = AFTER.replace(b"pciex1", b"pciex1_gen=3")
    assert replace(target, AFTER, later).returncode == 0
    assert kept(target) == {"config.txt": later, "config.txt.metis-previous": AFTER}
    assert (target.base / "run" / "booted-with").read_text() == note


def test_taking_back_leaves_nothing_beside_the_file(target: Target, partition: Path) -> None:
    assert replace(target, BEFORE, AFTER).returncode == 0
    assert replace(target, AFTER, BEFORE).returncode == 0
    assert kept(target) == {"config.txt": BEFORE}
    assert (target.base / "state" / "previous" / sha256(AFTER)).read_bytes() == AFTER


def test_an_empty_file_can_be_given_back(target: Target, partition: Path) -> None:
    assert replace(target, BEFORE, b"").returncode == 0
    assert kept(target) == {"config.txt": b""}


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"was": b"another"}, "changed after it was looked at: run again"),
        ({"stdin": "ZHRwYXJhbQ=="}, "the transfer was cut off"),
        ({"stdin": "ZHRwYXJhbQ==\nend"}, "did not arrive whole"),
        ({"stdin": "!!!\nend"}, "nothing can be written beside"),
        ({"options": "ro"}, "mounted read-only, or full?"),
        ({"content": AFTER * 60_000}, "mounted read-only, or full?"),
    ],
    ids=["changed", "cut off", "damaged", "no base64", "read-only", "full"],
)
def test_what_goes_wrong_leaves_the_file_as_it_was(target: Target, partition: Path, how: dict, words: str) -> None:
    done = replace(target, BEFORE, **{"content": AFTER, **how})
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.startswith("metis-provision: ")
    assert done.stderr.count("\n") == 1
    assert kept(target) == {"config.txt": BEFORE}
    assert not (target.base / "run" / "booted-with").exists()


def test_two_runs_do_not_work_on_one_host(target: Target, partition: Path) -> None:
    with (target.base / "run" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = replace(target, BEFORE, AFTER)
    assert done.returncode == 1
    assert "another run is changing this host" in done.stderr
    assert kept(target) == {"config.txt": BEFORE}
