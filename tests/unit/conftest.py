"""What holds for every unit test."""

from __future__ import annotations

from collections.abc import Iterator

import gevent.monkey
import pytest


@pytest.fixture(autouse=True)
def _blocking_calls_are_pythons_own() -> Iterator[None]:
    """The command line of pyinfra replaces ``select``, ``os.close`` and more: it belongs into a process of its own."""
    yield
    assert not gevent.monkey.is_module_patched("select"), "this test imported pyinfra_cli into the tests' process"
