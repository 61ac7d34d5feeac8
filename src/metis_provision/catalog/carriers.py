"""Typed view of ``carriers.yml``: the boards a card sits on, the link each can give it, and what each needs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from metis_provision.model.artifact import ImageContent
from metis_provision.model.errors import UserError
from metis_provision.model.survey import Host


class CarrierSource(StrEnum):
    """Where a carrier's figures come from; the head of ``carriers.yml`` says what each stands for."""

    FIELD = "field"
    DOCS = "docs"
    SEED = "seed"
    CONVENTION = "convention"


class Link(BaseModel):
    """Most a carrier's link can be: GT/s and lanes, None where boards of the kind differ."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    speed: float | None = Field(gt=0)
    width: int | None = Field(gt=0)


class OverlayTime(StrEnum):
    """When a device-tree overlay is loaded."""

    BOOT = "boot"
    RUNTIME = "runtime"
    """While the system runs, where the kernel can do that; at boot elsewhere."""


class Overlay(BaseModel):
    """A device-tree overlay: its name, when it is loaded, and whether the card works without it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    at: OverlayTime = OverlayTime.BOOT
    needed: bool = True
    """False: loaded where the host has its file, and not missed elsewhere."""
    notes: str


class BootNeeds(BaseModel):
    """What a carrier needs in a Raspberry Pi's config.txt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lines: tuple[str, ...]
    overlays: tuple[Overlay, ...]


class CarrierImage(BaseModel):
    """What a host with the carrier holds in its initramfs unless told otherwise, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    content: ImageContent
    reason: str


class Carrier(BaseModel):
    """A board a card sits on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    link: Link
    advice: str
    """What to do when the link falls short of this."""
    rescan: bool = False
    """Whether cards come up after the bus was scanned here, so that they must be found again at each boot."""
    max_payload: int | None = None
    """Bytes that card and root port must be held to, None where the kernel's choice is right."""
    machine: str | None = None
    """``uname -m`` of every host it fits, None where they differ."""
    models: tuple[str, ...] = ()
    """How the device-tree model of a host it fits begins; empty where any does."""
    boot: BootNeeds | None = None
    """None: nothing in a config.txt."""
    module_options: Mapping[str, int] = Field(default_factory=dict)
    """Options the driver needs on it."""
    initramfs: CarrierImage
    notes: str
    source: CarrierSource


@cache
def carriers() -> Mapping[str, Carrier]:
    """Return every carrier by name."""
    text = files("metis_provision.catalog").joinpath("carriers.yml").read_text(encoding="utf-8")
    return TypeAdapter(dict[str, Carrier]).validate_python(yaml.safe_load(text))


def carrier(name: str) -> Carrier:
    """Return the carrier called ``name``; UserError with the closest name if there is none."""
    known = carriers()
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
    raise UserError(f"metis_carrier: {name!r} is not a carrier of the catalogue; {hint}")


def misfit(name: str, host: Host) -> str | None:
    """Why a carrier cannot be a host's, in half a sentence; None if it can, or if the host does not say what it is."""
    profile = carrier(name)
    if host.container is not None or not host.architecture:
        return None
    wrong_machine = profile.machine not in (None, host.architecture)
    if wrong_machine or (profile.models and not (host.model or "").startswith(profile.models)):
        wanted = " or ".join(profile.models) or profile.machine
        return f"'{name}' is for {wanted}, and this host is {called(host)}"
    return None


def called(host: Host) -> str:
    """What a host calls itself."""
    return host.model or f"{host.architecture} without a device-tree model"
