"""Checks that a payload on the controller is the one that was pinned."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from metis_provision.desired.payloads import payloads
from metis_provision.model.artifact import Payload
from metis_provision.model.settings import Settings


def payload_mistakes(settings: Settings) -> list[str]:
    """Every reason why the payloads named in ``settings`` cannot be handed to a host, one sentence each."""
    return [mistake for payload in payloads(settings) if (mistake := _mistake(payload))]


def _mistake(payload: Payload) -> str | None:
    path = Path(payload.source).expanduser()
    try:
        seen = path.stat()
        actual = _sha256(os.fspath(path), seen.st_mtime_ns, seen.st_size)
    except OSError as error:
        return f"metis_{payload.name}_source: {payload.source} cannot be read ({error.strerror}); give a file's path"
    if actual != payload.sha256:
        return (
            f"metis_{payload.name}_sha256 does not match {payload.source}: pinned {payload.sha256}, "
            f"the file has {actual}; fetch it again, or pin it anew after checking where it came from"
        )
    return None


@lru_cache(maxsize=64)
def _sha256(path: str, _mtime_ns: int, _size: int) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
