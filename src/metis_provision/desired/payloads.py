"""The pinned payloads a host gets, and where it keeps them."""

from __future__ import annotations

from pathlib import PurePath

from metis_provision.model.artifact import Payload
from metis_provision.model.receipt import PAYLOAD_DIR
from metis_provision.model.settings import DriverSource, RuntimeSource, Settings


def driver(settings: Settings) -> Payload | None:
    """The driver's source, None where no driver is installed by us."""
    if settings.driver is DriverSource.NONE:
        return None
    return _payload("driver", settings.driver_version, settings.driver_source, settings.driver_sha256)


def runtime(settings: Settings) -> Payload | None:
    """The runtime's package, None where no runtime is installed by us."""
    if settings.runtime is RuntimeSource.NONE:
        return None
    return _payload("runtime", settings.runtime_version, settings.runtime_source, settings.runtime_sha256)


def payloads(settings: Settings) -> tuple[Payload, ...]:
    """All of them, driver first."""
    return tuple(payload for payload in (driver(settings), runtime(settings)) if payload is not None)


def host_path(payload: Payload) -> str:
    """Where the host keeps it: under its digest, so that an equal one is never sent twice."""
    return f"{PAYLOAD_DIR}/{payload.sha256[:16]}-{PurePath(payload.source).name}"


def _payload(name: str, version: str | None, source: str | None, sha256: str | None) -> Payload | None:
    if version is None or source is None or sha256 is None:
        return None
    return Payload(name, version, source, sha256)
