"""Pinning a release: each payload is found, fetched, held against what is known of it, and its pin is written down."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote, urlsplit

from metis_provision.catalog.releases import FILE_NAME, PayloadKind, Release, ReleasePayload, unknown_release
from metis_provision.model.errors import ExitCode, UserError
from metis_provision.supply import store
from metis_provision.supply.pins import Pin, PinnedBy, add_pins, pins_path, read_pins
from metis_provision.supply.transfer import NotThere, Progress, is_address
from metis_provision.supply.versions import find_release, release_mistakes, versions

_NAMES = {
    PayloadKind.DRIVER_SOURCE: "axelera-driver-{version}.tar.gz",
    PayloadKind.DRIVER_DEB: "metis-dkms_{version}_all.deb",
}
"""What the payloads of a version that the catalogue does not list are called, after those that it does."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look instead of the published address: a directory or its address; with ``kind`` that payload itself."""

    where: str
    kind: PayloadKind | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator asks for."""

    release: str
    pins: str = "pins"
    only: tuple[PayloadKind, ...] = ()
    places: tuple[Place, ...] = ()
    sha256: Mapping[PayloadKind, str] = field(default_factory=dict)
    driver_version: str | None = None
    runtime_version: str | None = None
    trust: bool = False


class Standing(StrEnum):
    """What became of a payload."""

    PINNED = "pinned"
    ALREADY = "already-pinned"
    UNTRUSTED = "untrusted"
    """It was fetched, and nobody but its source says that it is the right one."""
    NOT_FOUND = "not-found"


@dataclass(frozen=True, slots=True)
class Row:
    """A payload of the release, and why it was not found if so."""

    kind: PayloadKind
    standing: Standing
    pin: Pin | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a pinning came to; ``written`` says whether the pins file holds all that was found."""

    release: str
    file: Path
    rows: tuple[Row, ...]
    written: bool


@dataclass(frozen=True, slots=True)
class _Target:
    kind: PayloadKind
    version: str
    file: str | None
    sha256: str | None
    size: int | None
    known_from: PinnedBy
    places: tuple[str, ...]


def pin_release(wish: Wish, progress_of: Callable[[str], Progress]) -> Result:
    """Pin the payloads of a release; ``progress_of`` gives the progress to tell for a file's name.

    Nothing is written unless every payload that was found is vouched for or trusted. Raises UserError.
    """
    release = _release(wish)
    path = pins_path(wish.pins, wish.release)
    known = read_pins(path)
    rows = [_row(target, known.get(target.kind), path, progress_of) for target in _targets(wish, release)]
    _refuse_what_was_asked_for_and_not_found(wish, rows)
    if not wish.trust and any(row.standing is Standing.UNTRUSTED for row in rows):
        return Result(wish.release, path, tuple(rows), written=False)
    found = {row.kind: row.pin for row in rows if row.pin is not None}
    add_pins(path, wish.release, found)
    return Result(wish.release, path, tuple(rows), written=True)


def _release(wish: Wish) -> Release | None:
    """The catalogue's release, None for one it does not have whose versions the operator gives."""
    release = find_release(wish.release)
    if release is None:
        if wish.driver_version or wish.runtime_version:
            return None
        raise UserError(
            f"{unknown_release(wish.release)}; for a newer one name its versions: --driver-version, --runtime-version"
        )
    mistakes = release_mistakes(wish.release, release, wish.driver_version, wish.runtime_version)
    if mistakes:
        raise UserError("\n".join(mistakes))
    return release


def _targets(wish: Wish, release: Release | None) -> Iterator[_Target]:
    chosen = versions(wish.release, release) if release else {}
    named = {"driver": wish.driver_version, "runtime": wish.runtime_version}
    for kind in wish.only or tuple(PayloadKind):
        version = named[kind.component] or chosen.get(kind.component)
        if version is None:
            if kind in wish.only or any(place.kind is kind for place in wish.places):
                raise UserError(f"which {kind} of {wish.release} is not known: name it with --{kind.component}-version")
            continue
        listed = release.payloads.get(kind) if release else None
        yield _target(wish, kind, version, listed if listed and listed.version == version else None)


def _target(wish: Wish, kind: PayloadKind, version: str, listed: ReleasePayload | None) -> _Target:
    file = listed.file if listed else _NAMES[kind].format(version=version) if kind in _NAMES else None
    itself = [place.where for place in wish.places if place.kind is kind]
    around = [place.where for place in wish.places if place.kind is None]
    published = [listed.url] if listed and listed.url else []
    given, catalogued = wish.sha256.get(kind), listed.sha256 if listed else None
    if given and catalogued and given != catalogued:
        raise UserError(f"--sha256 {kind}={given}: the catalogue has {catalogued} for it: find out which one is right")
    if itself:
        file = _file_name(itself[0])
    return _Target(
        kind=kind,
        version=version,
        file=file,
        sha256=catalogued or given,
        size=listed.size if listed else None,
        known_from=PinnedBy.CATALOGUE if catalogued else PinnedBy.OPERATOR,
        places=tuple(itself or ([_inside(where, file) for where in around] if around and file else published)),
    )


def _inside(where: str, file: str) -> str:
    if is_address(where):
        return where if _last_name(where) == file else f"{where.rstrip('/')}/{file}"
    path = Path(where).expanduser()
    return where if path.name == file and not path.is_dir() else str(Path(where) / file)


def _file_name(where: str) -> str:
    name = _last_name(where)
    if not re.fullmatch(FILE_NAME, name):
        raise UserError(
            f"--from: a payload cannot be called {name!r}: letters, digits and . _ + ~ -, a letter or digit first"
        )
    return name


def _last_name(where: str) -> str:
    path = urlsplit(where).path if is_address(where) else where
    return Path(unquote(path)).name


def _row(target: _Target, known: Pin | None, path: Path, progress_of: Callable[[str], Progress]) -> Row:
    if known is not None:
        _refuse_another(target, known, path)
        if store.find(known.sha256, known.file) is not None:
            return Row(target.kind, Standing.ALREADY, known)
        target = replace(
            target, file=known.file, sha256=known.sha256, size=known.size, places=(*target.places, known.place)
        )
    reasons = []
    for place in target.places if target.file else ():
        try:
            stored = store.fetch(
                place, str(target.file), sha256=target.sha256, size=target.size, progress=progress_of(str(target.file))
            )
        except NotThere as error:
            reasons.append(str(error))
        else:
            return Row(target.kind, Standing.ALREADY, known) if known else _new_row(target, place, stored)
    reason = "; ".join(reasons) or f"nobody has published where it is: give --from {target.kind}=FILE, or leave it out"
    return Row(target.kind, Standing.NOT_FOUND, None, reason)


def _new_row(target: _Target, place: str, stored: store.Stored) -> Row:
    pin = Pin(
        version=target.version,
        file=stored.path.name,
        size=stored.size,
        sha256=stored.sha256,
        place=place,
        pinned_by=target.known_from if target.sha256 else PinnedBy.FIRST_USE,
    )
    return Row(target.kind, Standing.PINNED if target.sha256 else Standing.UNTRUSTED, pin)


def _refuse_another(target: _Target, known: Pin, path: Path) -> None:
    """What is pinned already must be what is asked for now."""
    for word, pinned, asked in (("version", known.version, target.version), ("sha256", known.sha256, target.sha256)):
        if asked is not None and pinned != asked:
            raise UserError(
                f"{path} pins {word} {pinned} of {target.kind}, and {asked} is asked for: if that is right, remove "
                f"{target.kind} from {path} and pin again",
                ExitCode.FAILED,
            )


def _refuse_what_was_asked_for_and_not_found(wish: Wish, rows: list[Row]) -> None:
    asked = {*wish.only, *(place.kind for place in wish.places), *wish.sha256}
    missing = [row for row in rows if row.pin is None]
    if any(row.kind in asked for row in missing) or len(missing) == len(rows):
        told = [f"{row.kind} of {wish.release} was not found: {row.reason}" for row in missing]
        raise UserError("\n".join(told) or f"{wish.release} has no payload to pin", ExitCode.FAILED)
