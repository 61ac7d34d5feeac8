"""Typed view of ``cards.yml``: the cards there are, with memory, cores, clock and peak."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

CORES = 4
"""Cores of an AIPU (the vendor's hardware overview)."""


class CardSource(StrEnum):
    """Where a card's figures come from; the head of ``cards.yml`` says what each stands for."""

    FIELD = "field"
    SEED = "seed"
    DOCS = "docs"


class Card(BaseModel):
    """A card; memory (GiB), cores, clock (MHz) and peak (INT8 TOPS) are those of one AIPU."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    board: str | None
    aipus: int = Field(gt=0)
    memory_gib: tuple[int, ...]
    cores: int = Field(gt=0)
    clock_mhz: int = Field(gt=0)
    peak_tops: float = Field(gt=0)
    notes: str
    source: CardSource


@cache
def cards() -> Mapping[str, Card]:
    """Return every card by name."""
    text = files("metis_provision.catalog").joinpath("cards.yml").read_text(encoding="utf-8")
    return TypeAdapter(dict[str, Card]).validate_python(yaml.safe_load(text))
