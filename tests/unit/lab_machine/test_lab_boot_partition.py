"""A twin's disk: its partitions, and what its firmware reads off the boot partition."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from metis_provision.lab.boot_partition import BOOT_START, MIB, ROOT_START, copy_out, make_disk, partition_table
from metis_provision.model.errors import UserError


def test_partitions_neither_overlap_nor_leave_the_disk():
    _, boot, root = partition_table(1024).splitlines()
    places = [dict(word.split("=") for word in line.split(", ")) for line in (boot, root)]
    assert int(places[0]["start"]) + int(places[0]["size"]) == int(places[1]["start"])
    assert (int(places[1]["start"]) + int(places[1]["size"])) * 512 == 1024 * MIB


@pytest.fixture
def disk(tmp_path):
    for tool, package in {
        "sfdisk": "fdisk",
        "mkfs.vfat": "dosfstools",
        "mcopy": "mtools",
        "mke2fs": "e2fsprogs",
    }.items():
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} (Debian: {package}) is not installed")
    root, boot = tmp_path / "root", tmp_path / "boot"
    (boot / "overlays").mkdir(parents=True)
    root.mkdir()
    (boot / "config.txt").write_bytes(b"dtparam=pciex1\r\n")
    (boot / "overlays/one.dtbo").write_bytes(b"\0\1")
    path = tmp_path / "disk.raw"
    make_disk(path, root, boot, ROOT_START + 64)
    return path


def test_what_was_put_on_the_boot_partition_comes_off_it(disk, tmp_path):
    copy_out(disk, ["config.txt", "overlays/one.dtbo"], tmp_path)
    assert (tmp_path / "config.txt").read_bytes() == b"dtparam=pciex1\r\n"
    assert (tmp_path / "one.dtbo").read_bytes() == b"\0\1"


def test_other_tools_find_both_file_systems(disk):
    for start, kind, label in ((BOOT_START, "vfat", "bootfs"), (ROOT_START, "ext4", "root")):
        command = ["blkid", "-p", "-O", str(start * MIB), "-o", "export", disk]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        assert {f"TYPE={kind}", f"LABEL={label}"} <= set(told)


def test_a_file_that_the_firmware_misses_is_named(disk, tmp_path):
    with pytest.raises(UserError, match=r"mcopy failed on the twin's disk: .*kernel_2712\.img"):
        copy_out(disk, ["kernel_2712.img"], tmp_path)


def test_a_disk_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    (tmp_path / "sfdisk").write_text("#!/bin/sh\necho 'no room' >&2\nexit 1\n")
    (tmp_path / "sfdisk").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(UserError, match="sfdisk failed on the twin's disk: no room"):
        make_disk(tmp_path / "disk.raw", tmp_path, tmp_path, ROOT_START + 64)
