"""Typed view of ``releases.yml``: SDK releases, the versions and payloads that belong together, and signing keys."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from metis_provision.model.settings import Sha256, Version

FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._+~-]*$"
"""What a payload's file may be called: nothing that means something to a shell or leads to another directory."""
_SERIES = re.compile(r"[0-9]+\.[0-9]+")


class ReleaseSource(StrEnum):
    """Where a release's data come from; the head of ``releases.yml`` says what each stands for."""

    DOCS = "docs"
    FIELD = "field"
    CODE = "code"
    SEED = "seed"


class PayloadKind(StrEnum):
    """What a payload is, in the catalogue, in pins and on the command line."""

    DRIVER_SOURCE = "driver-source"
    """The driver's source as a tarball, for DKMS and for packages of ours."""
    DRIVER_DEB = "driver-deb"
    """The vendor's package of the driver."""
    RUNTIME_DEB = "runtime-deb"
    """The vendor's package of the runtime."""

    @property
    def component(self) -> str:
        """The word its settings begin with: driver or runtime."""
        return self.value.partition("-")[0]


class ReleasePayload(BaseModel):
    """A file of a release: name, address, size in bytes and sha256, each None where nobody published it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Version
    file: Annotated[str, StringConstraints(pattern=FILE_NAME)] | None
    url: Annotated[str, StringConstraints(pattern=r"^https://")] | None
    size: int | None = Field(gt=0)
    sha256: Sha256 | None
    source: ReleaseSource


class Release(BaseModel):
    """Versions that belong together; ``runtime`` and the rest may be a series of two numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    drivers: tuple[Version, ...] = Field(min_length=1)
    """Newest first."""
    runtime: Version
    firmware: Version
    """The runtime firmware, as ``axelera-device-<version>`` carries it."""
    model_format: Version
    """The release whose compiler makes models for it."""
    source: ReleaseSource
    payloads: Mapping[PayloadKind, ReleasePayload]

    @model_validator(mode="after")
    def _payloads_are_of_these_versions(self) -> Self:
        for kind, payload in self.payloads.items():
            wanted = self.drivers[0] if kind.component == "driver" else self.runtime
            if payload.version != wanted:
                raise ValueError(f"{kind} is {payload.version}, the release has {wanted}")
        return self


class SigningKey(BaseModel):
    """An OpenPGP key; ``fingerprint`` is None where its owner published none, so that the setting must give it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    url: str
    fingerprint: Annotated[str, StringConstraints(pattern=r"^([0-9A-F]{40}|[0-9A-F]{64})$")] | None
    notes: str
    source: ReleaseSource


class _Catalogue(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    releases: Mapping[Version, Release]
    keys: Mapping[str, SigningKey]


def releases() -> Mapping[str, Release]:
    """Every release by its SDK version, newest first."""
    return _catalogue().releases


def signing_keys() -> Mapping[str, SigningKey]:
    """Every signing key by name."""
    return _catalogue().keys


def unknown_release(name: str) -> str:
    """What to say of a release that the catalogue does not have."""
    close = difflib.get_close_matches(name, releases(), n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(releases())}"
    return f"{name!r} is not a release of the catalogue; {hint}"


def covers(stated: str, version: str) -> bool:
    """Whether ``version`` is what a release states: the same, a packaging of the same, or one of the stated series."""
    rest = version.removeprefix(stated)
    if rest == version:
        return False
    if _SERIES.fullmatch(stated) and re.match(r"\.[0-9]", rest):
        rest = re.sub(r"^(\.[0-9]+)+", "", rest)
    return bool(re.fullmatch(r"(-[0-9][0-9A-Za-z.+~]*|\+.*)?", rest))


def series(version: str) -> str:
    """The first two numbers of a version."""
    return ".".join(version.split(".")[:2])


@cache
def _catalogue() -> _Catalogue:
    text = files("metis_provision.catalog").joinpath("releases.yml").read_text(encoding="utf-8")
    return _Catalogue.model_validate(yaml.safe_load(text))
