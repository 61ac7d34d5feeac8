"""The pinned tarball that a package is made of: hashed against its pin, and looked into before anything is written."""

from __future__ import annotations

import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from metis_provision.model.artifact import Payload
from metis_provision.model.errors import UserError

EARLIEST = 946_684_800
"""2000-01-01 in seconds since 1970; tarballs of no date at all say 0, which archive tools complain about."""

_MUST_HOLD = "driver/Makefile"
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Source:
    """A driver's source as it was pinned: ``top`` is its one directory, ``newest`` its youngest file's time."""

    path: Path
    version: str
    top: str
    size: int
    sha256: str
    sha512: str
    blake2b: str
    newest: int


def read_source(payload: Payload) -> Source:
    """Look into the tarball of a payload. Raises UserError if it is not the pinned one or no driver's source."""
    path = Path(payload.source).expanduser()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{payload.source} cannot be read ({error.strerror}): give a file's path") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != payload.sha256:
        raise UserError(
            f"{payload.source} is not the pinned file: pinned {payload.sha256}, it has {sha256}; "
            "fetch it again, or pin it anew after checking where it came from"
        )
    if not content.startswith(_GZIP):
        raise UserError(f"{payload.source} is not compressed with gzip: give the driver's .tar.gz")
    top, newest = _look(path, payload.source)
    return Source(
        path=path,
        version=payload.version,
        top=top,
        size=len(content),
        sha256=sha256,
        sha512=hashlib.sha512(content).hexdigest(),
        blake2b=hashlib.blake2b(content).hexdigest(),
        newest=max(newest, EARLIEST),
    )


def _look(path: Path, shown: str) -> tuple[str, int]:
    """The tarball's top directory and its youngest member's time."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            members = archive.getmembers()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(f"{shown} cannot be unpacked ({error}): fetch it again") from error
    names = {PurePosixPath(member.name) for member in members}
    outside = [str(name) for name in names if name.is_absolute() or ".." in name.parts]
    if outside:
        raise UserError(f"{shown} would write outside its directory ({outside[0]}): this is no driver's source")
    tops = {name.parts[0] for name in names if name.parts}
    if len(tops) != 1 or PurePosixPath(*tops, _MUST_HOLD) not in names:
        raise UserError(f"{shown} holds no <directory>/{_MUST_HOLD}: it is not the driver's source")
    return tops.pop(), max(int(member.mtime) for member in members)
