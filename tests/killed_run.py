"""Runs of tests that are killed by a test, and this machine's own eyes for what they leave."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from metis_provision.lab.process import read_record

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def run_of(directory: Path, test: str) -> Iterator[subprocess.Popen[str]]:
    """Run a test as somebody would by hand, in a process group of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "", f"--basetemp={directory}", test]
    with subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        try:
            yield run
        finally:
            run.kill()


def wait_for(reached: Callable[[], object], run: subprocess.Popen[str]) -> None:
    while not reached():
        assert run.poll() is None, run.communicate()
        time.sleep(0.05)


def ended(directory: Path) -> str:
    """Wait until a run's guard has done what it does and return what it said."""
    guard = read_record(directory / "guard.pid")
    assert guard is not None
    guard.wait()
    return (directory / "guard.log").read_text()


def members(directory: Path) -> list[str]:
    """The processes that name a run's directory in their command, environment or mounts."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        for file in ("cmdline", "environ", "mountinfo"):
            try:
                text = (process / file).read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(directory) in text and process.name != str(os.getpid()):
                found.append(f"{process.name}: {text[:200]}")
    return found
