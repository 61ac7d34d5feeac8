"""What holds for every unit test."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import gevent.monkey
import pytest


@pytest.fixture(autouse=True)
def _blocking_calls_are_pythons_own() -> Iterator[None]:
    """The command line of pyinfra replaces ``select``, ``os.close`` and more: it belongs into a process of its own."""
    yield
    assert not gevent.monkey.is_module_patched("select"), "this test imported pyinfra_cli into the tests' process"


@pytest.fixture
def shellcheck() -> str:
    """The program, of this environment or of the machine; skips where there is neither."""
    beside = Path(sys.executable).with_name("shellcheck")
    found = str(beside) if beside.exists() else shutil.which("shellcheck")
    if found is None:
        pytest.skip("shellcheck is not installed")
    return found
