"""What a deploy is given: packed the same way every time, pinned, with a version."""

from __future__ import annotations

import hashlib
import os
import tarfile

import pytest

from metis_provision.lab.payload import check_driver, driver_payload, pack, runtime_payload
from metis_provision.lab.standin.source import DRIVER_VERSION
from metis_provision.model.errors import UserError
from metis_provision.supply.versions import pair_mistakes


@pytest.fixture
def source(tmp_path):
    directory = tmp_path / "axl-driver-2.3.4"
    (directory / "driver").mkdir(parents=True)
    (directory / "driver" / "Makefile").write_text("obj-m += metis.o\n")
    (directory / "driver" / "build.sh").write_text("#!/bin/sh\n")
    (directory / "driver" / "build.sh").chmod(0o700)
    (directory / ".git").mkdir()
    (directory / ".git" / "HEAD").write_text("ref\n")
    return directory


def test_the_stand_in_is_the_default(tmp_path):
    payload = driver_payload(tmp_path / "payload", None, None)
    assert payload.version == DRIVER_VERSION
    assert payload.sha256 == hashlib.sha256(payload.source.read_bytes()).hexdigest()


def test_a_directory_is_packed_without_its_history(tmp_path, source):
    payload = driver_payload(tmp_path / "payload", source, None)
    assert payload.version == "2.3.4"
    with tarfile.open(payload.source) as archive:
        members = {member.name: member for member in archive.getmembers()}
    top = "axelera-driver-2.3.4"
    assert set(members) == {top, f"{top}/driver", f"{top}/driver/Makefile", f"{top}/driver/build.sh"}
    assert members[f"{top}/driver/Makefile"].mode == 0o644
    assert members[f"{top}/driver/build.sh"].mode == 0o755
    assert {(member.uid, member.mtime) for member in members.values()} == {(0, 0)}


def test_the_same_contents_are_the_same_bytes(source):
    before = pack(source, "top")
    os.utime(source / "driver" / "Makefile", (1, 1))
    (source / "driver" / "Makefile").chmod(0o600)
    assert pack(source, "top") == before


def test_a_tarball_is_taken_as_it_is(tmp_path, source):
    tarball = tmp_path / "vendor-2.3.4.tar.gz"
    tarball.write_bytes(pack(source, "vendor-2.3.4"))
    payload = driver_payload(tmp_path / "payload", tarball, None)
    assert payload.source != tarball
    assert payload.source.read_bytes() == tarball.read_bytes()


def test_a_version_can_be_given(tmp_path, source):
    assert driver_payload(tmp_path / "payload", source, "9.9.9").version == "9.9.9"


@pytest.mark.parametrize("name", ["driver", "driver-1.2", "driver-1.2.3-for-4.5.6"])
def test_a_name_that_tells_no_version(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match="--driver-version"):
        check_driver(tmp_path / name, None)


def test_no_such_source(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        check_driver(tmp_path / "absent-1.2.3", None)


def test_a_file_that_is_no_tarball(tmp_path):
    path = tmp_path / "driver-1.2.3.txt"
    path.write_text("text")
    with pytest.raises(UserError, match="neither a directory nor a tarball"):
        driver_payload(tmp_path / "payload", path, None)


def test_no_compiler_for_the_runtime(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UserError, match="gcc"):
        runtime_payload(tmp_path, "1.6.2")


@pytest.mark.parametrize(
    ("driver", "runtime"),
    [("1.6.2", "1.8.0"), ("1.6.3", "1.8.0"), ("1.4.4", "1.5.3"), ("1.4.17", "1.6"), ("1.5.6", "1.5.6")],
)
def test_the_runtime_is_one_that_belongs_to_the_driver(tmp_path, monkeypatch, driver, runtime):
    def build(directory, version, platform):
        (directory / "runtime.deb").write_bytes(b"")
        return directory / "runtime.deb"

    monkeypatch.setattr("metis_provision.lab.payload.runtime_deb", build)
    assert runtime_payload(tmp_path, driver).version == runtime
    assert pair_mistakes(driver, runtime) == []
