"""Processes that outlive the command that started them, known by process id, start time and boot.

A process id alone may belong to somebody else by the time it is used; the three together cannot.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from metis_provision.lab.waiting import asked_until
from metis_provision.model.errors import ExitCode, UserError

# The new process writes its own record before it becomes the program, so there is no moment at which it runs
# unrecorded, even if its parent is killed.
RECORD_AND_BECOME = r"""
record=$1; shift
printf '%s %s %s\n' "$$" "$(cut -d ' ' -f 22 "/proc/$$/stat")" \
    "$(cat /proc/sys/kernel/random/boot_id)" > "$record.new"
mv -- "$record.new" "$record"
exec "$@"
"""
START_SECONDS = 10.0
TERM_SECONDS = 5.0
END_SECONDS = 30.0
"""Patience with processes that were killed; a busy machine takes its time to clear a hundred of them away."""


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process of one boot: ``start_ticks`` is field 22 of /proc/<pid>/stat (proc_pid_stat(5))."""

    pid: int
    start_ticks: int
    boot_id: str

    def is_alive(self) -> bool:
        """Return whether exactly this process still runs; a zombie does not."""
        if self.boot_id != _boot_id():
            return False
        try:
            fields = _stat_fields(self.pid)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return fields[0] not in ("Z", "X") and int(fields[19]) == self.start_ticks

    def as_text(self) -> str:
        """Return the record as one line, without its end."""
        return f"{self.pid} {self.start_ticks} {self.boot_id}"

    def wait(self) -> None:
        """Return once the process has ended, however long that takes."""
        with suppress(ProcessLookupError), tied_to(self.pid) as handle:
            if self.is_alive():
                ended(handle, None)

    def terminate(self) -> None:
        """End the process: SIGTERM first, SIGKILL if it takes longer than ``TERM_SECONDS``."""
        with suppress(ProcessLookupError), tied_to(self.pid) as handle:
            if not self.is_alive():
                return
            for number in (signal.SIGTERM, signal.SIGKILL):
                signal.pidfd_send_signal(handle, number)
                if ended(handle, TERM_SECONDS):
                    return


@contextmanager
def tied_to(pid: int) -> Iterator[int]:
    """Open a pidfd: the number is tied to one process from here on, so look whose it is after opening, not before.

    ProcessLookupError if there is no such process.
    """
    handle = os.pidfd_open(pid)
    try:
        yield handle
    finally:
        os.close(handle)


def ended(handle: int, seconds: float | None) -> bool:
    """Return whether the process of a pidfd ends within ``seconds`` (None: as long as it takes)."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def _stat_fields(pid: int) -> list[str]:
    """Return the third and further fields of /proc/<pid>/stat (proc_pid_stat(5))."""
    # The second is the name in parentheses and may itself hold spaces and parentheses.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def parse_record(text: str) -> ProcessRecord | None:
    """Return the process that ``ProcessRecord.as_text`` or a started process wrote down, None if it is not one."""
    try:
        pid, start_ticks, boot_id = text.split()
        return ProcessRecord(int(pid), int(start_ticks), boot_id)
    except ValueError:
        return None


def read_record(path: Path) -> ProcessRecord | None:
    """Return the recorded process, None if there is no record; UserError for one that is damaged."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    record = parse_record(text)
    if record is None:
        raise UserError(
            f"{path} does not hold a process id, a start time and a boot id: end that process by hand, "
            "then remove the file."
        )
    return record


def current_process() -> ProcessRecord:
    """Return the process this is."""
    return ProcessRecord(os.getpid(), int(_stat_fields(os.getpid())[19]), _boot_id())


def start_recorded(
    command: Sequence[str], record: Path, log: Path, environment: Mapping[str, str] | None = None
) -> ProcessRecord:
    """Start ``command`` in a session of its own, its output appended to ``log``; return its record.

    It belongs to init from the start, so this process neither waits for it nor leaves a zombie.
    """
    record.unlink(missing_ok=True)
    with log.open("ab") as output:
        subprocess.run(
            ["setsid", "--fork", "sh", "-c", RECORD_AND_BECOME, "sh", str(record), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=record.parent,
            env={**os.environ, **(environment or {})},
            check=True,
        )
    if (process := asked_until(lambda: read_record(record), START_SECONDS, 0.01)) is not None:
        return process
    raise UserError(f"{command[0]} did not start; its output is in {log}.", ExitCode.FAILED)


def kill_while_found(find: Callable[[], Iterable[int]], is_one: Callable[[int], bool], what: str) -> None:
    """Kill the processes that ``find`` returns until it returns none; UserError if that takes too long.

    ``is_one`` looks again once the number is tied to one process; ``what`` they are goes into the message.
    """

    def killed() -> list[int]:
        found = list(find())
        for pid in found:
            with suppress(ProcessLookupError), tied_to(pid) as handle:
                if is_one(pid):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
        return found

    if not asked_until(lambda: not killed(), END_SECONDS):
        raise UserError(f"Processes of {what} did not end: {list(find())}.", ExitCode.FAILED)


def run_in_namespaces(pid: int, name: str, script: str) -> None:
    """Run a script of POSIX sh as root of this machine inside the container ``name``, whose init is ``pid``.

    UserError with its last words if it fails.
    """
    command = ["nsenter", f"--target={pid}", "--mount", "--pid", "--uts", "sh", "-euc", script]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode:
        raise UserError(
            f"In {name}, a script of the lab failed ({result.returncode}): {last_line(result)}", ExitCode.FAILED
        )


def last_line(result: subprocess.CompletedProcess[str]) -> str:
    """Return the last thing a command said."""
    return (result.stderr.strip() or result.stdout.strip() or "no output").splitlines()[-1]
