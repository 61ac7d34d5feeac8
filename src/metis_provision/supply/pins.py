"""Pins files: for one release, what each payload must hash to, where it comes from, and who said so."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from metis_provision.catalog.releases import FILE_NAME, PayloadKind
from metis_provision.controller.durable import write_whole
from metis_provision.controller.locking import locked
from metis_provision.model.errors import ExitCode, UserError
from metis_provision.model.settings import Sha256, Version
from metis_provision.supply import store
from metis_provision.supply.transfer import Progress

_HEAD = """\
# Payloads of release {release}, by `metis-provision pin`: a run installs these bytes and no others.
# Comments stay. To pin something else, remove its entry and pin again; then look at the difference.
"""


class PinnedBy(StrEnum):
    """Who vouches for a pin's sha256."""

    CATALOGUE = "catalogue"
    """The release catalogue has it."""
    OPERATOR = "operator"
    """It was given on the command line."""
    FIRST_USE = "first-use"
    """Nobody: it is what the source sent on the day it was pinned."""


class Pin(BaseModel):
    """A pinned payload; size in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Version
    file: Annotated[str, StringConstraints(pattern=FILE_NAME)]
    size: int = Field(gt=0)
    sha256: Sha256
    place: str = Field(validation_alias=AliasChoices("from", "place"), serialization_alias="from", min_length=1)
    """A URL, or a path on the controller."""
    pinned_by: PinnedBy

    @property
    def path(self) -> Path:
        """Where the controller's cache keeps it."""
        return store.stored_path(self.sha256, self.file)


_PINS = TypeAdapter(dict[PayloadKind, Pin])


def pins_path(directory: str, release: str) -> Path:
    """The pins file of a release in the operator's directory of pins."""
    return Path(directory).expanduser() / f"{release}.yml"


def read_pins(path: Path) -> Mapping[PayloadKind, Pin]:
    """The pins of a file by kind, none if there is no such file. Raises UserError for one that is not right."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a pins file (it is not UTF-8)") from error
    return _parse(text, path)


def add_pins(path: Path, release: str, wanted: Mapping[PayloadKind, Pin]) -> None:
    """Append to a pins file what it does not have yet; what is there, comments too, is left as it is.

    Raises UserError if another process pinned something else meanwhile, or the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent):
            known = read_pins(path)
            added = {kind: pin for kind, pin in wanted.items() if known.get(kind) != pin}
            for kind in added.keys() & known.keys():
                raise UserError(f"{path} pins another {kind} by now: look at it, and pin again", ExitCode.FAILED)
            if added:
                text = path.read_text(encoding="utf-8") if path.exists() else _HEAD.format(release=release)
                write_whole(path, "\n".join([text.rstrip("\n"), *map(_block, added, added.values())]).encode())
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror})", ExitCode.FAILED) from error


def provide(pin: Pin, progress: Progress = lambda _done, _total: None) -> Path:
    """The pinned file on the controller: from the cache, or fetched once. Raises UserError if it cannot be had."""
    found = store.find(pin.sha256, pin.file)
    if found is None:
        found = store.fetch(pin.place, pin.file, sha256=pin.sha256, size=pin.size, progress=progress)
    return found.path


def _block(kind: PayloadKind, pin: Pin) -> str:
    entry = {kind.value: pin.model_dump(mode="json", by_alias=True)}
    return "\n" + yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, width=1000).rstrip("\n") + "\n"


def _parse(text: str, path: Path) -> Mapping[PayloadKind, Pin]:
    try:
        found = yaml.load(text, _UniqueKeys)  # noqa: S506 - a safe loader that refuses a key given twice
        return _PINS.validate_python(found or {})
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(part) for part in detail["loc"] if part != "[key]")
        raise UserError(f"{path}: {where}: {str(detail['msg']).removeprefix('Value error, ')}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not a pins file: {' '.join(str(error).split())}") from error


class _UniqueKeys(yaml.SafeLoader):
    """Two branches that pin the same payload merge into a file with both; the last one must not win silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)
