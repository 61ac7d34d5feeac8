"""Files that are whole or as they were: written under another name, flushed to the disk, renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PARTIAL_PREFIX = ".partial-"
"""What a file is called while it is written; one that is left over belongs to a process that was killed."""


@contextmanager
def partial_file(directory: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file in ``directory`` and its path, gone afterwards unless it was renamed by ``put_in_place``."""
    descriptor, name = tempfile.mkstemp(prefix=PARTIAL_PREFIX, dir=directory)
    path = Path(name)
    stream = os.fdopen(descriptor, "wb")
    try:
        yield stream, path
    finally:
        # Closing writes what is still buffered, which a full disk refuses once more; the file is given up anyway.
        with suppress(OSError):
            stream.close()
        path.unlink(missing_ok=True)


def put_in_place(stream: BinaryIO, partial: Path, target: Path, mode: int) -> None:
    """Give ``partial`` its final name once everything of it is on the disk; OSError if the disk refuses."""
    stream.flush()
    os.fchmod(stream.fileno(), mode)
    os.fsync(stream.fileno())
    partial.rename(target)
    _sync_directory(target.parent)


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write ``path`` anew, its directory being there; OSError leaves what was there before."""
    with partial_file(path.parent) as (stream, partial):
        stream.write(content)
        put_in_place(stream, partial, path, mode)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
