"""What a report is made of: one row for every host of a run, with or without a verdict; or its plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from metis_provision.model.artifact import Concern
from metis_provision.model.verdict import Answer, Finding, Level, Standing, Verdict, Waiver, WaiverState

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


def level_words(levels: Iterable[Level]) -> str:
    """How far verification went, given the level of each host with a verdict; empty if there is none."""
    counts = Counter(levels)
    seen = [level for level in Level if counts[level]]
    if len(seen) == 1:
        return f"level {seen[0]}"
    told = [f"{level} ({counts[level]} host{'s' * (counts[level] != 1)})" for level in seen]
    return f"levels {', '.join(told)}" if told else ""


TROUBLE = frozenset({Answer.FAIL, Answer.UNKNOWN, Answer.WARN})
"""Answers that a reader is told in full."""


def waiver_words(verdict: Verdict, finding: Finding) -> str:
    """What there is to say of the waiver for a finding, empty without one."""
    for waiver in verdict.waivers:
        if waiver.code == finding.code and finding.answer in TROUBLE:
            if waiver.state is WaiverState.EXPIRED:
                return f"ended on {waiver.until}, so it no longer counts: {waiver.reason}"
            if finding.waived:
                return f"until {waiver.until}: {waiver.reason}"
            return f"does not count, because nobody could look: {waiver.reason} (until {waiver.until})"
    return ""


def idle_waivers(verdict: Verdict) -> tuple[Waiver, ...]:
    """Waivers that no finding speaks of: there is nothing for them to cover."""
    told = {finding.code for finding in verdict.findings if waiver_words(verdict, finding)}
    return tuple(waiver for waiver in verdict.waivers if waiver.code not in told)
