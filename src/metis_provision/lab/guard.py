"""Clears up after a run of tests that was killed: its processes, mounts and containers, and its hosts of the lab.

``python -m metis_provision.lab.guard DIRECTORY OWNER`` waits until the process OWNER has ended, and clears then.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from metis_provision.lab.containers import abandoned_containers, remove_containers
from metis_provision.lab.lifecycle import down
from metis_provision.lab.places import names
from metis_provision.lab.process import (
    ProcessRecord,
    current_process,
    kill_while_found,
    last_line,
    parse_record,
    start_recorded,
)
from metis_provision.model.errors import ExitCode, UserError

logger = logging.getLogger(__name__)

RUN = "METIS_LAB_RUN"
"""The environment variable by which a process is known to be of a run; it holds the run's directory."""


@contextmanager
def guarded(directory: Path) -> Iterator[ProcessRecord]:
    """Have the run in ``directory`` cleared if this process ends before it leaves the context; yield who does that.

    The guard has a session of its own, so that a signal to this one's process group does not end it, too. State
    directories of the lab are looked for in the directories of ``directory``.
    """
    command = [sys.executable, "-m", "metis_provision.lab.guard", str(directory), current_process().as_text()]
    guard = start_recorded(command, directory / "guard.pid", directory / "guard.log")
    before = os.environ.get(RUN)
    # Only now: the guard is not of the run.
    os.environ[RUN] = str(directory)
    try:
        yield guard
    finally:
        del os.environ[RUN]
        if before is not None:
            os.environ[RUN] = before
        guard.terminate()


def clear(directory: Path) -> None:
    """End whoever is of the run in ``directory``, then take away what is left of it; what fails is logged."""
    # First those that could still bring something up.
    _try(kill_while_found, partial(_members, directory), partial(_is_member, directory), "the run")
    for lab in sorted(directory.glob("*/metis-provision/lab")):
        os.environ["XDG_STATE_HOME"] = str(lab.parents[1])
        for name in names():
            _try(down, name)
    if shutil.which("podman"):
        _try(_remove_abandoned)
    for point in reversed(mount_points(Path("/proc/self/mountinfo").read_text(), directory)):
        _try(_unmount, point)


def _try(step: Callable[..., None], *arguments: object) -> None:
    try:
        step(*arguments)
    except (OSError, UserError) as error:
        logger.warning("%s", error)


def _members(directory: Path) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _is_member(directory, int(entry.name)):
            yield int(entry.name)


def _is_member(directory: Path, pid: int) -> bool:
    # The environment of a process that has ended, or is a kernel's, cannot be read or is empty.
    with suppress(OSError):
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return f"{RUN}={directory}".encode() in environment
    return False


def _remove_abandoned() -> None:
    remove_containers(abandoned_containers())


def mount_points(mountinfo: str, directory: Path) -> list[str]:
    """Return what proc_pid_mountinfo(5) shows as mounted below ``directory``, as it was mounted one after another."""
    # Blanks and backslashes are written as three octal digits.
    points = [line.split()[4].encode().decode("unicode_escape") for line in mountinfo.splitlines()]
    return [point for point in points if point.startswith(f"{directory}/")]


def _unmount(point: str) -> None:
    result = subprocess.run(["umount", point], capture_output=True, text=True, check=False)
    if result.returncode:
        raise UserError(last_line(result), ExitCode.FAILED)


def main(arguments: list[str]) -> None:
    """Wait for the owner's end, then clear."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    directory, owner = arguments
    process = parse_record(owner)
    if process is None:
        sys.exit(f"{owner!r} is not a process id, a start time and a boot id.")
    process.wait()
    clear(Path(directory))
    logger.info("cleared")


if __name__ == "__main__":
    main(sys.argv[1:])
