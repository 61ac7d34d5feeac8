"""One worker at a time in a directory: flock(2) on the directory itself, so that no lock file stays behind."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Busy(Exception):
    """Another process works in the directory."""


@contextmanager
def locked(directory: Path, *, wait: bool) -> Iterator[None]:
    """Hold ``directory`` alone; the kernel lets go when the process ends, however it ends.

    Raises Busy if another process holds it and ``wait`` is false, FileNotFoundError if there is no such directory
    (or no longer is, when the previous holder removed it).
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise Busy(str(directory)) from error
        if not os.path.samestat(os.fstat(descriptor), directory.stat()):
            raise FileNotFoundError(directory)
        yield
    finally:
        os.close(descriptor)
