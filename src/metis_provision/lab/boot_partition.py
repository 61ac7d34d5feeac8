"""A twin's disk as its boot firmware sees it: a partition table, a FAT partition with config.txt, and the root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from metis_provision.lab.process import last_line
from metis_provision.model.errors import ExitCode, UserError

MIB = 1 << 20
BOOT_START, BOOT_SIZE = 4, 512
"""MiB; Raspberry Pi OS gives its boot partition as much."""
ROOT_START = BOOT_START + BOOT_SIZE
_SECTORS_IN_MIB = MIB // 512


def partition_table(size: int) -> str:
    """Return the input of sfdisk(8) for a disk of ``size`` MiB; Linux's image starts where the boot partition ends."""
    return (
        "label: dos\n"
        f"start={BOOT_START * _SECTORS_IN_MIB}, size={BOOT_SIZE * _SECTORS_IN_MIB}, type=c\n"
        f"start={ROOT_START * _SECTORS_IN_MIB}, size={(size - ROOT_START) * _SECTORS_IN_MIB}, type=83\n"
    )


def make_disk(disk: Path, root: Path, boot: Path, size: int) -> None:
    """Write a disk of ``size`` MiB whose partitions hold the trees ``root`` and ``boot``; UserError if that fails."""
    with disk.open("wb") as stream:
        stream.truncate(size * MIB)
    _run(["sfdisk", "--quiet", str(disk)], stdin=partition_table(size))
    fat = ["mkfs.vfat", "-F", "32", "-n", "bootfs", f"--offset={BOOT_START * _SECTORS_IN_MIB}"]
    _run([*fat, str(disk), str(BOOT_SIZE * 1024)])
    _run(["mcopy", "-s", "-i", _image(disk), *map(str, sorted(boot.iterdir())), "::"])
    ext4 = ["mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-E", f"offset={ROOT_START * MIB}", "-d", str(root)]
    _run([*ext4, str(disk), f"{size - ROOT_START}M"])


def copy_out(disk: Path, names: Iterable[str], directory: Path) -> None:
    """Copy files of the boot partition into ``directory``; UserError naming one that is not there."""
    for name in names:
        _run(["mcopy", "-n", "-o", "-i", _image(disk), f"::{name}", str(directory / Path(name).name)])


def _image(disk: Path) -> str:
    return f"{disk}@@{BOOT_START * MIB}"


def _run(command: list[str], stdin: str = "") -> None:
    # What a power cut left of a file system is for the guest to judge, not for mtools.
    environment = os.environ | {"MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C"}
    done = subprocess.run(command, input=stdin, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{Path(command[0]).name} failed on the twin's disk: {last_line(done)}", ExitCode.FAILED)
