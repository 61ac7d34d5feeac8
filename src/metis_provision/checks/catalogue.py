"""Typed view of ``catalog/checks.yml``: every code, what it means and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from metis_provision.model.verdict import Area, Level, When


class Severity(StrEnum):
    """Whether a host can be green without this check."""

    REQUIRED = "required"
    ADVISORY = "advisory"


class Code(BaseModel):
    """One entry of the table; the head of ``checks.yml`` says what each field stands for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = Field(pattern=r"^METIS-[0-6][0-9]{2}$")
    title: str = Field(min_length=1)
    why: str = Field(min_length=1)
    area: Area
    severity: Severity
    level: Level
    card: bool
    follows: tuple[str, ...] = ()
    message: str = Field(min_length=1)
    next_step: str = Field(alias="next", min_length=1)
    power_cycle: bool = False
    when: When = When.NOW
    since: str = Field(pattern=r"^\d+\.\d+\.\d+$")

    @property
    def required(self) -> bool:
        """Whether the host is green only if this passes."""
        return self.severity is Severity.REQUIRED


def read_catalogue(table: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Code]:
    """Codes in order of their numbers.

    ValueError for an entry that breaks its own rules, and for a ``follows`` that names an unknown or advisory
    code or goes in a circle: a consequence may only be skipped when its cause already fails the host.
    """
    codes = {code: Code.model_validate({"code": code, **entry}) for code, entry in sorted(table.items())}
    for entry in codes.values():
        for cause in entry.follows:
            if cause not in codes or not codes[cause].required:
                raise ValueError(f"{entry.code} follows {cause}, which is not a required code of the table")
        if entry.code in causes_of(codes, entry.code):
            raise ValueError(f"{entry.code} follows itself")
    return codes


def causes_of(codes: Mapping[str, Code], code: str) -> frozenset[str]:
    """Every code that ``code`` follows, directly or through another."""
    found: set[str] = set()
    ahead = list(codes[code].follows)
    while ahead:
        cause = ahead.pop()
        if cause not in found:
            found.add(cause)
            ahead.extend(codes[cause].follows)
    return frozenset(found)


@cache
def catalogue() -> Mapping[str, Code]:
    """Return the table, read once."""
    text = files("metis_provision.catalog").joinpath("checks.yml").read_text(encoding="utf-8")
    return read_catalogue(yaml.safe_load(text))
