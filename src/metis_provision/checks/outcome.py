"""What a check function answers, before the catalogue puts it into words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from metis_provision.checks.evidence import CannotLook, Evidence
from metis_provision.model.survey import PciFunction
from metis_provision.model.verdict import Answer


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer about one subject.

    ``text`` says what was seen for pass and skip, and what was missing for unknown, which also brings its own
    ``next_step``; warn and fail bring the ``values`` that fill the catalogue's message. ``required`` overrides the
    catalogue's severity where this host offers no way to look.
    """

    answer: Answer
    subject: str = ""
    brief: str = ""
    text: str = ""
    next_step: str = ""
    values: Mapping[str, object] = field(default_factory=dict)
    required: bool | None = None
    power_cycle: bool = False


def passed(text: str, *, subject: str = "", brief: str = "") -> Outcome:
    """What was looked for is there."""
    return Outcome(Answer.PASS, subject, brief, text)


def skipped(why: str, *, subject: str = "", brief: str = "") -> Outcome:
    """The check does not apply."""
    return Outcome(Answer.SKIP, subject, brief, why)


def unknown(
    missing: str,
    next_step: str,
    *,
    subject: str = "",
    brief: str = "",
    required: bool | None = None,
    power_cycle: bool = False,
) -> Outcome:
    """The check could not look."""
    return Outcome(Answer.UNKNOWN, subject, brief, missing, next_step, required=required, power_cycle=power_cycle)


def warned(*, about: str = "", short: str = "", **values: object) -> Outcome:
    """Something to know; ``values`` fill the catalogue's message and next step."""
    return Outcome(Answer.WARN, about, short, values=values)


def failed(*, about: str = "", short: str = "", **values: object) -> Outcome:
    """Something is wrong; ``values`` fill the catalogue's message and next step."""
    return Outcome(Answer.FAIL, about, short, values=values)


CheckFunction = Callable[[Evidence], Iterator[Outcome]]


class Checks:
    """The check functions of one area, by code."""

    def __init__(self) -> None:
        self._functions: dict[str, CheckFunction] = {}

    @property
    def functions(self) -> Mapping[str, CheckFunction]:
        """Function by code."""
        return dict(self._functions)

    def answers(self, code: str) -> Callable[[CheckFunction], CheckFunction]:
        """Register the function that answers ``code``; ValueError if there is one already."""

        def register(function: CheckFunction) -> CheckFunction:
            if code in self._functions:
                raise ValueError(f"{code} has two functions")
            self._functions[code] = function
            return function

        return register


def per_card(evidence: Evidence, judge: Callable[[Evidence, PciFunction], Outcome]) -> Iterator[Outcome]:
    """Ask ``judge`` about each card; one that cannot be judged is unknown and leaves the others to be judged.

    Without a card there is nothing to judge, and METIS-101 has failed already.
    """
    if not evidence.cards:
        yield skipped("no card on the bus (METIS-101)")
    for card in evidence.cards:
        try:
            yield judge(evidence, card)
        except CannotLook as missing:
            yield unknown(str(missing), missing.next_step, subject=card.bdf)
