"""Payload files that an operator named, against their pinned sha256."""

from __future__ import annotations

from pathlib import Path

from metis_provision.desired.payloads import payloads
from metis_provision.model.artifact import Payload
from metis_provision.model.settings import Settings
from metis_provision.supply import store
from metis_provision.supply.transfer import is_address

_SETTINGS = {"wheel": ("metis_runtime_wheels", "metis_runtime_wheels")}
"""The keys that name a payload and its sha256, where they are not called after it."""


def payload_mistakes(settings: Settings) -> list[str]:
    """Every reason why the payloads named in ``settings`` cannot be handed to a host, one sentence each.

    What comes from the cache is checked when it is taken out of it, so that a plan needs a pin and no payload.
    """
    return [mistake for payload in payloads(settings) if (mistake := _mistake(payload))]


def _mistake(payload: Payload) -> str | None:
    source_key, sha256_key = _SETTINGS.get(
        payload.name, (f"metis_{payload.name}_source", f"metis_{payload.name}_sha256")
    )
    path = Path(payload.source).expanduser()
    if path.is_relative_to(store.store_dir()):
        return None
    if is_address(payload.source):
        return (
            f"{source_key}: {payload.source} is an address; a file's path goes there, and "
            "metis-provision pin fetches from addresses"
        )
    try:
        actual = store.digest(path)
    except OSError as error:
        return f"{source_key}: {payload.source} cannot be read ({error.strerror}); give a file's path"
    if actual != payload.sha256:
        return (
            f"{sha256_key} does not match {payload.source}: pinned {payload.sha256}, "
            f"the file has {actual}; fetch it again, or pin it anew after checking where it came from"
        )
    return None
