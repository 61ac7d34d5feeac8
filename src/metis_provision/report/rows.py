"""What a report is made of: one row for every host of a run, with or without a verdict; or its plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from metis_provision.model.artifact import Concern
from metis_provision.model.verdict import Standing, Verdict

NO_VERDICT = "no verdict"

Plan: TypeAlias = tuple[str, Mapping[Concern, tuple[str, ...]], str]
"""A host, what would be done to it by concern, and why nothing can be done, if so."""


@dataclass(frozen=True, slots=True)
class Row:
    """A host, its verdict if it got one, and why not or what else went wrong (text from outside, never trusted)."""

    host: str
    verdict: Verdict | None
    reason: str = ""


def standings(rows: Iterable[Row]) -> Counter[Standing | None]:
    """How many hosts have which standing; None counts those without a verdict."""
    return Counter(row.verdict.standing if row.verdict else None for row in rows)
