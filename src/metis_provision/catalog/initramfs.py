"""Typed view of ``initramfs.yml``: what early user space may need for a card."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from importlib.resources import files

import yaml
from pydantic import BaseModel, ConfigDict


class InitramfsSource(StrEnum):
    """Where an entry comes from; the head of ``initramfs.yml`` says what each stands for."""

    SEED = "seed"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Named(_Part):
    """A name with its source."""

    name: str
    source: InitramfsSource


class InitramfsCatalogue(_Part):
    """The whole file."""

    modules: tuple[Named, ...]
    architectures: tuple[Named, ...]


@cache
def initramfs_catalogue() -> InitramfsCatalogue:
    """Return the catalogue, read once."""
    text = files("metis_provision.catalog").joinpath("initramfs.yml").read_text(encoding="utf-8")
    return InitramfsCatalogue.model_validate(yaml.safe_load(text))
