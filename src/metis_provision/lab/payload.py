"""What a deploy installs on a lab machine: driver source and runtime package, with their checksums."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import shutil
import tarfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from metis_provision.lab.platforms import PC, Platform
from metis_provision.lab.standin.source import DRIVER_VERSION, RUNTIME_VERSION, driver_tarball, runtime_deb
from metis_provision.model.errors import UserError
from metis_provision.supply.versions import pair_mistakes, runtime_of

_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
_NOT_SOURCE = frozenset({".git", ".svn", ".hg", "__pycache__"})


class Payload(BaseModel):
    """One file on this machine, pinned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    source: Path
    sha256: str


def pinned(path: Path, version: str) -> Payload:
    """Return ``path`` with the checksum it has now."""
    with path.open("rb") as stream:
        return Payload(version=version, source=path, sha256=hashlib.file_digest(stream, "sha256").hexdigest())


def runtime_payload(directory: Path, driver_version: str, platform: Platform = PC) -> Payload:
    """Return the stand-in runtime of a platform, built into ``directory`` as a version that belongs to that driver."""
    version = RUNTIME_VERSION
    if pair_mistakes(driver_version, version):
        version = runtime_of(driver_version) or driver_version
    return pinned(runtime_deb(directory, version=version, platform=platform), version)


def driver_payload(directory: Path, source: Path | None, version: str | None) -> Payload:
    """Return the driver in ``directory``: the stand-in, or ``source`` (a tarball, or a directory to pack).

    Without ``version`` it is read off the name of ``source``; UserError if there is none in it.
    """
    check_driver(source, version)
    if source is None:
        version = version or DRIVER_VERSION
        return pinned(driver_tarball(directory, version=version), version)
    version = version or _version_in(source)
    directory.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        path = directory / f"axelera-driver-{version}.tar.gz"
        path.write_bytes(pack(source, f"axelera-driver-{version}"))
    else:
        path = directory / source.name
        shutil.copyfile(source, path)
    return pinned(path, version)


def check_driver(source: Path | None, version: str | None) -> None:
    """Raise UserError if ``driver_payload`` would refuse ``source``; costs nothing."""
    if source is None:
        return
    if not source.exists():
        raise UserError(f"{source} does not exist: name a directory or a tarball with the driver's source.")
    if not source.is_dir() and not tarfile.is_tarfile(source):
        raise UserError(f"{source} is neither a directory nor a tarball: name the driver's source.")
    if version is None:
        _version_in(source)


def _version_in(source: Path) -> str:
    found = _VERSION.findall(source.resolve().name)
    if len(found) != 1:
        raise UserError(f"No version can be read off the name {source.resolve().name}: give --driver-version.")
    return str(found[0])


def pack(source: Path, top: str) -> bytes:
    """Return the tree ``source`` as a gzipped tar below ``top``: the same bytes for the same contents."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(source, top, filter=_neutral)
    return gzip.compress(packed.getvalue(), mtime=0)


def _neutral(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Drop what differs from checkout to checkout: owners, times, umask, version control."""
    if Path(member.name).name in _NOT_SOURCE:
        return None
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = "root"
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member
