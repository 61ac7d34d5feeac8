"""The cache of payloads on the controller, by sha256: a file is whole and the right one, or not there."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from metis_provision.controller.directories import cache_dir
from metis_provision.controller.durable import PARTIAL_PREFIX, partial_file, put_in_place
from metis_provision.controller.locking import Busy, locked
from metis_provision.model.errors import ExitCode, UserError
from metis_provision.supply.transfer import PATIENCE, Progress, TransferFailed, transfer, writing

logger = logging.getLogger(__name__)


class WrongPayload(UserError):
    """What arrived is not what was wanted; it was not kept."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.FAILED)


@dataclass(frozen=True, slots=True)
class Stored:
    """A payload in the cache."""

    path: Path
    size: int
    sha256: str


def store_dir() -> Path:
    """Where payloads are kept."""
    return cache_dir() / "payloads"


def stored_path(sha256: str, file: str) -> Path:
    """Where a payload is, or would be."""
    return store_dir() / sha256 / file


def find(sha256: str, file: str) -> Stored | None:
    """The payload if it is in the cache, its contents checked; a copy that was damaged is thrown away."""
    path = stored_path(sha256, file)
    try:
        if digest(path) == sha256:
            return Stored(path, path.stat().st_size, sha256)
        logger.warning("%s is damaged and thrown away", path)
        path.unlink(missing_ok=True)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from error
    return None


def fetch(
    place: str,
    file: str,
    *,
    sha256: str | None,
    size: int | None,
    progress: Progress = lambda _done, _total: None,
    patience: float = PATIENCE,
) -> Stored:
    """Copy the file at ``place`` into the cache under the name ``file``, if it is what is wanted.

    ``sha256`` and ``size`` (bytes) are what it must have, None where that is not known. Nothing is left in the cache
    when it raises NotThere, TransferFailed or WrongPayload.
    """
    with _working(), partial_file(store_dir()) as (out, partial):
        if sha256 is not None and (found := find(sha256, file)) is not None:
            return found
        hashed = hashlib.sha256()

        def write(chunk: bytes) -> None:
            hashed.update(chunk)
            out.write(chunk)

        arrived = transfer(place, write, progress, patience)
        actual = hashed.hexdigest()
        if size is not None and arrived.size != size:
            raise WrongPayload(f"{place} has {arrived.size} bytes, and {file} should have {size}: it was not kept")
        if sha256 is not None and actual != sha256:
            raise WrongPayload(
                f"{place} is not the {file} that is wanted: its sha256 is {actual}, wanted {sha256}; it was not kept"
            )
        if size is None and sha256 is None and not arrived.whole:
            raise WrongPayload(
                f"{place}: the server does not say how long the file is, so that nobody would notice if it was cut "
                "short: give its sha256, or a file that you fetched by hand"
            )
        target = stored_path(actual, file)
        with writing():
            target.parent.mkdir(exist_ok=True)
            put_in_place(out, partial, target, 0o644)
    return Stored(target, arrived.size, actual)


def digest(path: Path) -> str:
    """The sha256 of a file; computed once for a file that does not change. Raises OSError."""
    seen = path.stat()
    return _sha256(os.fspath(path), seen.st_mtime_ns, seen.st_size, seen.st_ino)


@contextmanager
def _working() -> Iterator[None]:
    """Hold the cache alone, so that of two that want a payload one fetches it; what a killed process left goes."""
    try:
        store_dir().mkdir(parents=True, exist_ok=True)
        with _alone(store_dir()):
            for left in store_dir().glob(f"{PARTIAL_PREFIX}*"):
                left.unlink(missing_ok=True)
            yield
    except OSError as error:
        raise _unusable(store_dir(), error) from error


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(directory, patience=0))
        except Busy:
            logger.info("waiting for another process that fetches payloads")
            stack.enter_context(locked(directory))
        yield


def _unusable(path: Path, error: OSError) -> TransferFailed:
    return TransferFailed(f"the cache {path} cannot be used ({error.strerror}): mend it, or set XDG_CACHE_HOME")


@lru_cache(maxsize=256)
def _sha256(path: str, _mtime_ns: int, _size: int, _inode: int) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
