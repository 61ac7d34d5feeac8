"""Processes in namespaces of their own: ended together, and found again when nobody wrote down who they are."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from metis_provision.lab.process import END_SECONDS, ProcessRecord, ended, kill_while_found, tied_to
from metis_provision.model.errors import ExitCode, UserError


def kill_hosts(records: Iterable[ProcessRecord]) -> None:
    """Kill each host by the process that keeps its namespaces, and return when its first process is gone, too.

    That one goes last: the kernel first ends whatever else is in its PID namespace.
    """
    with ExitStack() as stack:
        handles = [handle for record in records for handle in _handles(stack, record)]
        for handle in handles:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        _wait(handles)


def first_process(keeper: ProcessRecord) -> int | None:
    """Return the first process of a host by this machine's number; None if the host has ended."""
    try:
        child = min(_children(keeper.pid), key=int, default=None)
    except (ProcessLookupError, FileNotFoundError):
        return None
    # Only after looking it is known whose children they were.
    return int(child) if child is not None and keeper.is_alive() else None


def _handles(stack: ExitStack, record: ProcessRecord) -> Iterator[int]:
    """Open the process and its children; only after opening it is known whose number it was."""
    try:
        keeper = stack.enter_context(tied_to(record.pid))
        if not record.is_alive():
            return
        yield keeper
        opened = {child: stack.enter_context(tied_to(int(child))) for child in _children(record.pid)}
        for child in _children(record.pid) & opened.keys():
            yield opened[child]
    except (ProcessLookupError, FileNotFoundError):
        return


def _children(pid: int) -> set[str]:
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def _wait(handles: list[int]) -> None:
    deadline = time.monotonic() + END_SECONDS
    for handle in handles:
        if not ended(handle, max(0.0, deadline - time.monotonic())):
            raise UserError(f"A process of the fleet did not end within {END_SECONDS:.0f} s.", ExitCode.FAILED)


def kill_strays(directory: Path) -> None:
    """Kill every process that sees an overlay whose changes are below ``directory``: no record says that it is there.

    Such an overlay is mounted in the namespaces of a fleet's hosts and nowhere else.
    """
    kill_while_found(lambda: _strays(directory), lambda pid: _sees(pid, directory), f"the fleet in {directory}")


def _strays(directory: Path) -> Iterator[int]:
    own = Path("/proc/self/ns/mnt").readlink()
    verdicts: dict[Path, bool] = {own: False}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            namespace = (entry / "ns/mnt").readlink()
            if namespace not in verdicts:
                verdicts[namespace] = _sees(int(entry.name), directory)
            if verdicts[namespace]:
                yield int(entry.name)


def _sees(pid: int, directory: Path) -> bool:
    try:
        return has_overlay(Path(f"/proc/{pid}/mountinfo").read_text(), directory)
    except OSError:
        return False


def has_overlay(mountinfo: str, directory: Path) -> bool:
    """Return whether proc_pid_mountinfo(5) shows an overlay whose changes are below ``directory``."""
    upper = f"upperdir={os.fspath(directory)}/"
    return any(
        option.startswith(upper)
        for line in mountinfo.splitlines()
        if " - overlay " in line
        for option in line.rpartition(" ")[2].split(",")
    )
