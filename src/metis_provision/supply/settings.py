"""A host's settings with what its release stands for filled in, and versions that do not belong together refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metis_provision.catalog.releases import unknown_release
from metis_provision.model.errors import UserError
from metis_provision.model.settings import PREFIX, Settings, settings_from
from metis_provision.supply.versions import find_release, pair_mistakes, release_mistakes, versions

_PARTS = ("driver", "runtime")


def resolved_settings(data: Mapping[str, Any], where: str) -> Settings:
    """Typed settings from a host's merged data, ``where`` naming the host. Raises UserError with a line per mistake."""
    completed = dict(data)
    mistakes = _complete(completed)
    if mistakes:
        raise UserError("\n".join(f"{where}: {mistake}" for mistake in mistakes))
    return settings_from(completed, where)


def _complete(data: dict[str, Any]) -> list[str]:
    """Fill ``data`` from its release; what is of the wrong type is left for the settings' own sentence."""
    named = {part: _text(data, f"{part}_version") for part in _PARTS}
    name = _text(data, "release")
    if name is None:
        return pair_mistakes(**named)
    release = find_release(name)
    if release is None:
        return [f"{PREFIX}release: {unknown_release(name)}, or name {PREFIX}driver_version and {PREFIX}runtime_version"]
    mistakes = release_mistakes(name, release, **named)
    for part, version in versions(name, release).items():
        _fill(data, f"{part}_version", version)
    return mistakes


def _text(data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(PREFIX + key)
    return value if isinstance(value, str) else None


def _fill(data: dict[str, Any], key: str, value: str) -> None:
    if data.get(PREFIX + key) is None:
        data[PREFIX + key] = value
