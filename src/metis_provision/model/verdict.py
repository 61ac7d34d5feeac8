"""Answers of checks and what they add up to for a host."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    """What a check says. ``unknown`` means it could not look, and is never a pass."""

    PASS = "pass"  # noqa: S105
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"
    UNKNOWN = "unknown"


class Standing(StrEnum):
    """What a host's answers add up to. ``unproven``: a required check could not look."""

    GREEN = "green"
    WARNED = "warned"
    UNPROVEN = "unproven"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's answer on one host, about one card or the host as a whole.

    ``seen`` is the evidence in words, ``next_step`` what to do about anything that is not a pass.
    """

    code: str
    title: str
    answer: Answer
    seen: str
    next_step: str = ""
    subject: str = ""
    required: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings of one host."""

    host: str
    findings: tuple[Finding, ...]

    @property
    def standing(self) -> Standing:
        """Green only if every required check passes; skips do not count, warnings stay visible."""
        required = [finding.answer for finding in self.findings if finding.required]
        if Answer.FAIL in required:
            return Standing.FAILED
        if Answer.UNKNOWN in required or not any(a in {Answer.PASS, Answer.WARN} for a in required):
            return Standing.UNPROVEN
        if any(finding.answer in {Answer.WARN, Answer.FAIL} for finding in self.findings):
            return Standing.WARNED
        return Standing.GREEN

    @property
    def ok(self) -> bool:
        """True when the host is as wanted: green, or green with warnings."""
        return self.standing in {Standing.GREEN, Standing.WARNED}
