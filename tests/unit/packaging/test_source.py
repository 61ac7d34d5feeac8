"""What is no pinned driver source is refused, in one sentence, before anything is written."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from metis_provision.lab.standin.source import TIMESTAMP
from metis_provision.model.artifact import Payload
from metis_provision.model.errors import UserError
from metis_provision.packaging.source import EARLIEST, read_source

Pinned = Callable[..., Payload]


def packed(path: Path, *names: str, mtime: int = 1_800_000_000) -> Payload:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.mtime = mtime
            archive.addfile(member)
    return pin(path, gzip.compress(buffer.getvalue()))


def pin(path: Path, content: bytes) -> Payload:
    path.write_bytes(content)
    return Payload("driver", "1.6.2", str(path), hashlib.sha256(content).hexdigest())


def test_a_pinned_source_is_looked_into(pinned: Pinned) -> None:
    payload = pinned("1.5.6")
    source = read_source(payload)
    assert (source.top, source.version, source.newest) == ("axelera-driver-1.5.6", "1.5.6", TIMESTAMP)
    assert source.sha256 == payload.sha256
    assert source.size == Path(payload.source).stat().st_size


def test_files_of_no_date_get_one_that_archives_accept(tmp_path: Path) -> None:
    assert read_source(packed(tmp_path / "a.tar.gz", "d/driver/Makefile", mtime=0)).newest == EARLIEST


def test_a_missing_file_is_named(pinned: Pinned) -> None:
    with pytest.raises(UserError, match=r"gone\.tar\.gz cannot be read \(No such file or directory\)"):
        read_source(replace(pinned(), source="gone.tar.gz"))


def test_another_file_than_the_pinned_one_is_refused(pinned: Pinned) -> None:
    with pytest.raises(UserError, match="is not the pinned file: pinned 0000"):
        read_source(replace(pinned(), sha256="0" * 64))


def test_a_truncated_file_is_refused_even_if_pinned(pinned: Pinned, tmp_path: Path) -> None:
    whole = Path(pinned().source).read_bytes()
    with pytest.raises(UserError, match="cannot be unpacked"):
        read_source(pin(tmp_path / "half.tar.gz", whole[: len(whole) // 2]))


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("d/driver/main.c",), "holds no <directory>/driver/Makefile"),
        (("driver/Makefile",), "holds no <directory>/driver/Makefile"),
        (("d/driver/Makefile", "e/readme"), "holds no <directory>/driver/Makefile"),
        (("d/driver/Makefile", "d/../../etc/passwd"), "would write outside its directory"),
        (("/d/driver/Makefile",), "would write outside its directory"),
        ((), "holds no <directory>/driver/Makefile"),
    ],
)
def test_what_is_no_driver_is_refused(names: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        read_source(packed(tmp_path / "other.tar.gz", *names))


def test_another_compression_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not compressed with gzip"):
        read_source(pin(tmp_path / "driver.tar.xz", b"\xfd7zXZ\x00"))
