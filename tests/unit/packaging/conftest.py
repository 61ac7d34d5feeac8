"""Pinned driver sources to make packages from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from metis_provision.lab.standin.source import driver_tarball
from metis_provision.model.artifact import Payload


@pytest.fixture
def pinned(tmp_path: Path) -> Callable[..., Payload]:
    """Make the stand-in's source of a version and pin it."""

    def make(version: str = "1.6.2") -> Payload:
        path = driver_tarball(tmp_path / "sources", version)
        return Payload("driver", version, str(path), hashlib.sha256(path.read_bytes()).hexdigest())

    return make
