"""Answers of checks and what they add up to for a host."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class Answer(StrEnum):
    """What a check says. ``unknown`` means it could not look, and is never a pass."""

    PASS = "pass"  # noqa: S105
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"
    UNKNOWN = "unknown"


class Area(StrEnum):
    """What a check is about; reports give each area but the first and the last a column."""

    HOST = "host"
    ENUMERATION = "enumeration"
    LINK = "link"
    DRIVER = "driver"
    NODE = "node"
    ACCESS = "access"
    FIRMWARE = "firmware"
    SELF_TEST = "self-test"
    FILES = "files"


class Standing(StrEnum):
    """What a host's answers add up to. ``unproven``: a required check could not look."""

    GREEN = "green"
    WARNED = "warned"
    UNPROVEN = "unproven"
    FAILED = "failed"


class Level(StrEnum):
    """How much verification asks of a host: seconds, a short inference, minutes of work; each takes in those before."""

    QUICK = "quick"
    MEDIUM = "medium"
    LONG = "long"

    def takes_in(self, other: Level) -> bool:
        """Whether what belongs to ``other`` is looked at."""
        order = list(Level)
        return order.index(other) <= order.index(self)


class When(StrEnum):
    """Whether a check speaks of the host as it runs, or as it will be when it boots the next time."""

    NOW = "now"
    NEXT_BOOT = "next-boot"


class WaiverState(StrEnum):
    """What became of a waiver: it counts, there was nothing to waive, or its day is over."""

    IN_FORCE = "in-force"
    UNUSED = "unused"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Waiver:
    """What an operator accepts of a host for a time: ``until`` is the last day on which it counts."""

    code: str
    reason: str
    until: date
    state: WaiverState


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's answer on one host, about one subject (a card, a user, a kernel) or the host as a whole.

    ``seen`` is the evidence in words, ``next_step`` what to do about anything that is not a pass,
    ``brief`` the few words that stand for the answer in a table. ``waived``: an operator accepts it, so that it
    does not decide. ``power_cycle``: taking the power away may be all that helps.
    """

    code: str
    title: str
    answer: Answer
    seen: str
    next_step: str = ""
    subject: str = ""
    required: bool = True
    area: Area = Area.HOST
    brief: str = ""
    waived: bool = False
    power_cycle: bool = False
    when: When = When.NOW


LINK_SPEEDS = (2.5, 5.0, 8.0, 16.0, 32.0, 64.0)
"""GT/s by generation of PCI Express, the first one first."""


@dataclass(frozen=True, slots=True)
class Link:
    """The slowest link on the way to a card, and what its way allows: GT/s and lanes."""

    card: str
    speed: float
    width: int
    allowed_speed: float
    allowed_width: int


@dataclass(frozen=True, slots=True)
class Inference:
    """What an inference on a host came to.

    ``tops`` is throughput times the model's operations, in units of 10^12 a second; ``peak_tops`` what ``cores`` cores
    at ``clock_mhz`` can do at most; ``utilisation`` their ratio. None where the model's operations are not known.
    """

    sustained: bool
    fps: float
    where: str
    cores: int
    clock_mhz: int
    peak_tops: float
    tops: float | None = None
    utilisation: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings of one host."""

    host: str
    findings: tuple[Finding, ...]
    waivers: tuple[Waiver, ...] = ()
    links: tuple[Link, ...] = ()
    inferences: tuple[Inference, ...] = ()
    level: Level = Level.MEDIUM
    seconds: float | None = None
    """What looking at the host took by the host's own clock; None where it did not say."""
    limit: int | None = None
    """Seconds it was given."""

    @property
    def standing(self) -> Standing:
        """Green only if every required check passes; skips do not count, warnings and what is waived stay visible.

        A host on which nothing required was looked at is unproven, however many checks were skipped. What the next
        boot would take away counts: a host that loses its card at the next reboot is not as wanted.
        """
        return _standing(self.findings)

    @property
    def now(self) -> Standing:
        """The same of the host as it runs, whatever the next boot brings."""
        return _standing(self._about(When.NOW))

    @property
    def next_boot(self) -> Standing | None:
        """The same of the next boot alone; None where nothing was asked about it.

        Unproven also where nobody could know which kernel boots, which does not decide ``standing``.
        """
        asked = [finding for finding in self._about(When.NEXT_BOOT) if finding.answer is not Answer.SKIP]
        if not asked:
            return None
        standing = _standing(asked)
        blind = any(finding.answer is Answer.UNKNOWN for finding in asked)
        return Standing.UNPROVEN if blind and standing is not Standing.FAILED else standing

    def _about(self, when: When) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.when is when)

    @property
    def ok(self) -> bool:
        """True when the host is as wanted: green, or green with warnings."""
        return self.standing in {Standing.GREEN, Standing.WARNED}


def _standing(findings: Iterable[Finding]) -> Standing:
    listed = tuple(findings)
    required = [finding.answer for finding in listed if finding.required and not finding.waived]
    if Answer.FAIL in required:
        return Standing.FAILED
    if Answer.UNKNOWN in required or not {Answer.PASS, Answer.WARN} & set(required):
        return Standing.UNPROVEN
    if any(finding.answer in {Answer.WARN, Answer.FAIL} for finding in listed):
        return Standing.WARNED
    return Standing.GREEN
