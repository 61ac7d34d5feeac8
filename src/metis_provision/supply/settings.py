"""A host's settings with what its release and pins stand for filled in, and contradictions between them refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metis_provision.catalog.releases import PayloadKind, unknown_release
from metis_provision.model.errors import UserError
from metis_provision.model.settings import PREFIX, VERSION, DriverSource, RuntimeSource, Settings, settings_from
from metis_provision.supply.pins import Pin, pins_path, read_pins
from metis_provision.supply.versions import find_release, pair_mistakes, release_mistakes, versions

_KINDS: Mapping[str, Mapping[str, PayloadKind]] = {
    "driver": {DriverSource.DKMS: PayloadKind.DRIVER_SOURCE, DriverSource.VENDOR: PayloadKind.DRIVER_DEB},
    "runtime": {RuntimeSource.DEB: PayloadKind.RUNTIME_DEB},
}
"""The payload that each way to install a driver or a runtime needs on the controller; none for the others."""


@dataclass(slots=True)
class _Resolution:
    """A host's data on their way to settings."""

    data: dict[str, Any]
    mistakes: list[str] = field(default_factory=list)
    pinned: list[Pin] = field(default_factory=list)
    """Payloads that come from the cache rather than from a path of the operator's."""

    def text(self, key: str) -> str | None:
        """A setting if it is text; what is of the wrong type is left for the settings' own sentence."""
        value = self.data.get(PREFIX + key)
        return value if isinstance(value, str) else None

    def fill(self, key: str, value: str) -> None:
        """Set what the operator left open."""
        if self.data.get(PREFIX + key) is None:
            self.data[PREFIX + key] = value


def resolved_settings(data: Mapping[str, Any], where: str) -> Settings:
    """Typed settings from a host's merged data, ``where`` naming the host. Raises UserError with a line per mistake."""
    found = _resolve(data)
    if found.mistakes:
        raise UserError("\n".join(f"{where}: {mistake}" for mistake in found.mistakes))
    return settings_from(found.data, where)


def pinned_payloads(data: Mapping[str, Any]) -> tuple[Pin, ...]:
    """The payloads that a host with these data needs in the controller's cache before it can be provisioned."""
    return tuple(_resolve(data).pinned)


def _resolve(data: Mapping[str, Any]) -> _Resolution:
    found = _Resolution(dict(data))
    driver, runtime = found.text("driver_version"), found.text("runtime_version")
    name = found.text("release")
    if name is None:
        found.mistakes += pair_mistakes(driver, runtime)
        return found
    release = find_release(name)
    path = pins_path(found.text("pins") or Settings.model_fields["pins"].default, name)
    if release is None and not (VERSION.fullmatch(name) and path.is_file()):
        known = unknown_release(name)
        found.mistakes.append(f"{PREFIX}release: {known}, or pin another one (metis-provision pin --help)")
        return found
    if release is not None:
        found.mistakes += release_mistakes(name, release, driver, runtime)
    if not found.mistakes:
        found.mistakes += _apply_pins(found, path)
    for part, version in versions(name, release).items() if release else ():
        found.fill(f"{part}_version", version)
    return found


def _apply_pins(found: _Resolution, path: Path) -> Iterator[str]:
    try:
        pins = read_pins(path)
    except UserError as error:
        yield str(error)
        return
    for part, kinds in _KINDS.items():
        choice = found.data.get(f"{PREFIX}{part}") or Settings.model_fields[part].default
        kind = kinds.get(choice) if isinstance(choice, str) else None
        if kind is not None and kind in pins:
            yield from _apply_pin(found, part, pins[kind], path)


def _apply_pin(found: _Resolution, part: str, pin: Pin, path: Path) -> Iterator[str]:
    for key, pinned in ((f"{part}_version", pin.version), (f"{part}_sha256", pin.sha256)):
        named = found.text(key)
        if named is not None and named.lower() not in (pinned.lower(), "skip"):
            yield f"{PREFIX}{key} is {named}, and {path} pins {pinned}: drop one of the two, or pin anew"
        found.fill(key, pinned)
    if found.data.get(f"{PREFIX}{part}_source") is None:
        found.fill(f"{part}_source", str(pin.path))
        found.pinned.append(pin)
