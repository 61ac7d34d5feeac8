"""Reads the output of ``script.sh``: frames it into sections and hands each to its reader. Pure; never raises."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from metis_provision.model.survey import PASSIVE, Section, Survey, SurveyRequest
from metis_provision.survey.formats import parse_dkms_status, parse_os_release
from metis_provision.survey.sections import READERS, Row, Rows

__all__ = ["SurveyIncomplete", "parse_dkms_status", "parse_os_release", "parse_survey", "read_survey"]

FORMAT = "1"
_LONGEST_COMPLAINT = 500
_SECONDS = re.compile(r"[0-9]{1,7}(\.[0-9]{1,3})?", re.ASCII)
_BY_NAME = {section.value: section for section in Section}


class SurveyIncomplete(ValueError):
    """The output ends early or lacks a section that was asked for: nothing may be concluded from it."""


@dataclass(slots=True)
class _Frame:
    """The output taken apart: rows of each section that arrived whole, and what did not fit."""

    asked: tuple[Section, ...] = ()
    complete: bool = False
    sections: dict[Section, list[Row]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    late: set[Section] = field(default_factory=set)
    spent: dict[str, float] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    def complain(self, line: str) -> None:
        self.complaints.append(line[:_LONGEST_COMPLAINT])

    def note_time(self, name: str, took: list[str]) -> None:
        if took and _SECONDS.fullmatch(took[0]):
            self.spent[name] = float(took[0])


def parse_survey(output: str | Iterable[str]) -> Survey:
    """Return what the output of a survey says; sections that are cut off or failed are missing in ``sections``.

    Lines that begin with ``#`` are skipped: recorded surveys say there where they come from.
    """
    return _survey(_frame(_lines(output)))


def read_survey(output: str | Iterable[str], request: SurveyRequest | None = None) -> Survey:
    """Return what the output says, or raise ``SurveyIncomplete`` if it says less than was asked for.

    Without ``request`` the output's own first line tells which sections were asked. An active section may fail
    without the rest being in doubt, and one that the time allowed did not suffice for is named in ``late``.
    """
    frame = _frame(_lines(output))
    asked = frame.asked if request is None else request.sections
    there = frame.sections.keys() | frame.late
    missing = [section for section in asked if section in PASSIVE and section not in there]
    if missing:
        reasons = ", ".join(_reason(section, frame) for section in missing)
        raise SurveyIncomplete(f"the look at the host came back without {reasons}")
    if not frame.complete or not asked:
        raise SurveyIncomplete("the look at the host was cut off before its end")
    return _survey(frame)


def _reason(section: Section, frame: _Frame) -> str:
    why = frame.failures.get(section.value)
    return f"{section.value} ({why})" if why else section.value


def _lines(output: str | Iterable[str]) -> list[str]:
    lines = output.split("\n") if isinstance(output, str) else output
    return [line.rstrip("\r\n") for line in lines]


def _frame(lines: list[str]) -> _Frame:
    frame = _Frame()
    started = False
    name, rows = "", list[Row]()
    for line in lines:
        if not line or line.startswith("#"):
            continue
        words = line.split()
        if line.startswith(f"@survey {FORMAT} ") and not started:
            started = True
            frame.asked = _known(words[2:], frame)
        elif not started:
            # A login script's greeting, or a format of another time.
            frame.complain(line)
        elif line.startswith("@"):
            name, rows = _mark(frame, words, line, name, rows)
        elif name:
            rows.append(tuple(line.split("\t")))
        else:
            frame.complain(line)
    return frame


def _mark(frame: _Frame, words: list[str], line: str, name: str, rows: list[Row]) -> tuple[str, list[Row]]:
    """Act on a marker line; returns the name and rows of the section that is open after it."""
    match words:
        case ["@begin", opened] if not frame.complete:
            return opened, []
        case ["@end", closed, *took] if closed == name and closed in _BY_NAME:
            frame.sections[_BY_NAME[closed]] = rows
            frame.note_time(closed, took)
        case ["@late", closed, *took] if closed == name and closed in _BY_NAME:
            frame.late.add(_BY_NAME[closed])
            frame.note_time(closed, took)
        case ["@failed", failed, *why] if failed == name:
            frame.failures[failed] = " ".join(why)
            frame.complain(f"{failed}: {' '.join(why)}")
        case ["@complete"] if not name:
            frame.complete = True
        case _:
            frame.complain(line)
    return "", []


def _known(names: list[str], frame: _Frame) -> tuple[Section, ...]:
    for name in names:
        if name not in _BY_NAME:
            frame.complain(f"@survey {name}")
    return tuple(_BY_NAME[name] for name in names if name in _BY_NAME)


def _survey(frame: _Frame) -> Survey:
    fields: dict[str, Any] = {}
    for section, lines in frame.sections.items():
        rows = Rows(lines, frame.complain)
        fields.update(READERS[section](rows))
        rows.end()
    return Survey(
        sections=frozenset(frame.sections),
        late=frozenset(frame.late),
        spent=dict(frame.spent),
        complaints=tuple(frame.complaints),
        **fields,
    )
