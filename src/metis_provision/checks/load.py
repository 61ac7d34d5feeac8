"""Checks of the long level: the card at work for minutes, and what was seen of it and its link meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from metis_provision.checks.device import SELF_TEST_OFF, held_by
from metis_provision.checks.evidence import CannotLook, Evidence
from metis_provision.checks.inference import need_end
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, skipped, unknown, warned
from metis_provision.model.survey import CommandResult, LinkSeen, Load, Section
from metis_provision.model.verdict import LINK_SPEEDS
from metis_provision.survey.tools import AnswerCheck, parse_devices, parse_self_test, trouble

checks = Checks()

_DID_NOT_RUN = "the card was not kept at work (METIS-510)"
_RETRAINED = 0xC000
"""Link Bandwidth Management and Autonomous Bandwidth Status (PCI Express Base, Link Status register)."""
_SPEEDS = dict(enumerate(LINK_SPEEDS, start=1))
_WORST = ("fatal", "nonfatal")


@checks.answers("METIS-510")
def endured(evidence: Evidence) -> Iterator[Outcome]:
    """The inference went on to its end with right answers."""
    reason = _left_out(evidence)
    if reason is not None:
        yield reason
        return
    result = _result(evidence)
    if result is None:
        raise CannotLook("the card was not kept at work: no model is set for the self-test, or the card was held")
    need_end(evidence, result)
    output = parse_self_test(result.output)
    if result.status != 0 or output.answer is AnswerCheck.WRONG:
        words = output.answer_line if output.answer is AnswerCheck.WRONG else trouble(result.output)
        yield failed(short="broke off", command=result.command, status=result.status, detail=words.rstrip("."))
    elif output.throughput is None or output.throughput[1] <= 0:
        raise CannotLook("the inference ended well but reported no throughput")
    else:
        where, fps = output.throughput
        yield passed(f"{result.command}: {where} {fps:g} FPS.", brief=f"{fps:g} FPS")


@checks.answers("METIS-511")
def link_stayed(evidence: Evidence) -> Iterator[Outcome]:
    """Every link on the way to a card was the same at each look, and did not train again in between."""
    load = _load(evidence)
    if isinstance(load, Outcome):
        yield load
        return
    if not load.links:
        raise CannotLook("no link could be looked at while the card was at work")
    for bdf in dict.fromkeys(seen.bdf for seen in load.links):
        changes = _changes([seen for seen in load.links if seen.bdf == bdf])
        if changes:
            yield failed(about=bdf, short="link changed", where=bdf, changes="; ".join(changes[:4]), looks=load.looks)
        else:
            yield passed(f"The link of {bdf} was the same at {load.looks} looks.", subject=bdf)


@checks.answers("METIS-512")
def no_errors_counted(evidence: Evidence) -> Iterator[Outcome]:
    """What the ports above the cards count did not grow."""
    load = _load(evidence)
    if isinstance(load, Outcome):
        yield load
        return
    if not load.errors:
        yield unknown(
            "no port on the way to a card counts errors (AER)",
            "Nothing to repair: this machine, or its kernel, does not report errors of PCI Express.",
            required=False,
        )
    for bdf in dict.fromkeys(count.bdf for count in load.errors):
        grown = {it.kind: it.after - it.before for it in load.errors if it.bdf == bdf and it.after > it.before}
        told = ", ".join(f"{number} {kind}" for kind, number in grown.items())
        if not grown:
            yield passed(f"{bdf} counted no error.", subject=bdf)
        else:
            answer = failed if set(_WORST) & grown.keys() else warned
            yield answer(about=bdf, short="link errors", where=bdf, errors=told)


@checks.answers("METIS-513")
def clock_kept(evidence: Evidence) -> Iterator[Outcome]:
    """No card runs slower after the work than before it."""
    load = _load(evidence)
    if isinstance(load, Outcome):
        yield load
        return
    before, after = (
        {device.node: device.clock_mhz for device in parse_devices(load.clocks.get(when, ()))}
        for when in ("before", "after")
    )
    pairs = [(node, clock, after.get(node)) for node, clock in before.items() if clock is not None]
    if not any(now is not None for _, _, now in pairs):
        raise CannotLook("axdevice did not tell a clock before and after the work")
    for node, clock, now in pairs:
        if now is not None and now < clock:
            yield warned(about=node, short=f"{now} MHz", node=node, before=clock, after=now)
        elif now is not None:
            yield passed(f"{node} ran at {clock} MHz before and at {now} MHz after.", subject=node)


def _left_out(evidence: Evidence) -> Outcome | None:
    if not evidence.settings.self_test:
        return skipped(SELF_TEST_OFF)
    if _result(evidence) is None and evidence.holders:
        return skipped(held_by(evidence), brief="busy")
    evidence.need(Section.LOAD)
    return None


def _result(evidence: Evidence) -> CommandResult | None:
    return evidence.survey.sustained if Section.LOAD in evidence.survey.sections else None


def _load(evidence: Evidence) -> Load | Outcome:
    reason = _left_out(evidence)
    if reason is not None:
        return reason
    return evidence.survey.load or skipped(_DID_NOT_RUN)


def _changes(seen: list[LinkSeen]) -> list[str]:
    """What became of one link from look to look, in words."""
    told = [
        f"{_words(one.speed, one.width)} and {_words(*_at(one.status))} within the look after {one.seconds} s"
        for one in seen
        if None not in {one.speed, one.width, *_at(one.status)} and (one.speed, one.width) != _at(one.status)
    ]
    for earlier, later in pairwise(seen):
        when = f"after {later.seconds} s"
        if (earlier.speed, earlier.width) != (later.speed, later.width):
            told.append(f"{_words(earlier.speed, earlier.width)}, {when} {_words(later.speed, later.width)}")
        elif earlier.status is not None and later.status is not None and ~earlier.status & later.status & _RETRAINED:
            told.append(f"trained again between two looks, {when}")
    return told


def _at(status: int | None) -> tuple[float | None, int | None]:
    """Speed in GT/s and lanes in a Link Status register, each None where it tells none."""
    if status is None:
        return None, None
    return _SPEEDS.get(status & 0xF), status >> 4 & 0x3F or None


def _words(speed: float | None, width: int | None) -> str:
    return "unreadable" if speed is None or width is None else f"{speed:g} GT/s x{width}"
