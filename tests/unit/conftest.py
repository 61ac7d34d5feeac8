"""What holds for every unit test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent.monkey
import pytest


@pytest.fixture(autouse=True)
def _blocking_calls_are_pythons_own() -> Iterator[None]:
    """The command line of pyinfra replaces ``select``, ``os.close`` and more: it belongs into a process of its own."""
    yield
    assert not gevent.monkey.is_module_patched("select"), "this test imported pyinfra_cli into the tests' process"


@pytest.fixture(scope="session")
def shellcheck() -> Callable[..., str]:
    """What shellcheck, of this environment, says of files or of ``text=`` under its options: nothing, or findings."""
    program = Path(sys.executable).with_name("shellcheck")

    def found(*arguments: str | Path, text: str | None = None) -> str:
        command = [program, *arguments, *([] if text is None else ["-"])]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    return found
