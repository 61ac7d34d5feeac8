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
    """The one file of the runtime: package, requirements or archive by its way; None where it has none."""
    if settings.runtime in {RuntimeSource.NONE, RuntimeSource.APT}:
        return None
    return _payload("runtime", settings.runtime_version, settings.runtime_source, settings.runtime_sha256)


def wheels(settings: Settings) -> tuple[Payload, ...]:
    """The wheels that are handed over for pip."""
    version = settings.runtime_version
    if settings.runtime is not RuntimeSource.PIP or version is None:
        return ()
    return tuple(Payload("wheel", version, path, sha256) for path, sha256 in (settings.runtime_wheels or {}).items())


def model(settings: Settings) -> Payload | None:
    """The compiled model of the self-test, None where it is on the host already or there is none."""
    return _payload("model", settings.model_release, settings.model_source, settings.model_sha256)


def payloads(settings: Settings) -> tuple[Payload, ...]:
    """All of them, driver first."""
    single = (driver(settings), runtime(settings), model(settings))
    return (*(payload for payload in single if payload is not None), *wheels(settings))


def host_path(payload: Payload) -> str:
    """Where the host keeps it: under its digest, so that an equal one is never sent twice."""
    return f"{PAYLOAD_DIR}/{file_digest(payload.sha256)}-{PurePath(payload.source).name}"


def file_digest(sha256: str) -> str:
    """As much of a digest as is in the names of files on the host."""
    return sha256[:16]


def _payload(name: str, version: str | None, source: str | None, sha256: str | None) -> Payload | None:
    if version is None or source is None or sha256 is None:
        return None
    return Payload(name, version, source, sha256)
