"""One worker at a time in a directory: flock(2) on the directory itself, so that no lock file stays behind."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Busy(Exception):
    """Another process works in the directory."""


@contextmanager
def locked(directory: Path, *, patience: float | None = None) -> Iterator[None]:
    """Hold ``directory`` alone; the kernel lets go when the process ends, however it ends.

    Raises Busy if another process still holds it after ``patience`` seconds (None: as long as it takes),
    FileNotFoundError if there is no such directory, or no longer is because the previous holder removed it.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _acquire(descriptor, directory, patience)
        if not os.path.samestat(os.fstat(descriptor), directory.stat()):
            raise FileNotFoundError(directory)
        yield
    finally:
        _let_go(descriptor)


def _acquire(descriptor: int, directory: Path, patience: float | None) -> None:
    deadline = None if patience is None else time.monotonic() + patience
    while True:
        # Never waiting in the kernel: under gevent the holder may be a greenlet of this very thread.
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if deadline is not None and time.monotonic() >= deadline:
                raise Busy(str(directory)) from error
            time.sleep(0.05)
        else:
            return


def _let_go(descriptor: int) -> None:
    # gevent puts closing off until its loop runs, and the lock would last as long.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def is_locked(directory: Path) -> bool:
    """Return whether somebody holds ``directory``; FileNotFoundError if there is no such directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        _let_go(descriptor)
    return False
