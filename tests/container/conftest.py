"""Containers of the lab for tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from metis_provision.lab.containers import Container, Release, missing_container_requirements, start_container
from metis_provision.lab.process import ProcessRecord


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_by_a_kill(guard: ProcessRecord) -> None:
    """Every test of this tier makes something that would stay."""


@pytest.fixture(scope="session")
def containers() -> None:
    """Skips where the lab's containers cannot run, and fails there in CI."""
    if missing := missing_container_requirements():
        reason = "; ".join(missing)
        if os.environ.get("CI"):
            pytest.fail(f"the container tier cannot run here: {reason}")
        pytest.skip(reason)


@pytest.fixture(params=list(Release))
def container(request: pytest.FixtureRequest, containers: None) -> Iterator[Container]:
    """A fresh container of each release, with systemd running."""
    made = start_container(request.param)
    yield made
    made.remove()
