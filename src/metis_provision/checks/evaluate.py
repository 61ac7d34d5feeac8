"""Turns the evidence about a host into its verdict: runs every check and puts the answers into words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from metis_provision.checks import (
    access,
    boot,
    bus,
    device,
    driver,
    files,
    host,
    images,
    link,
    load,
    lockstep,
    next_boot,
    node,
    pipeline,
    runtime,
    self_test,
    services,
    signature,
    thermal,
)
from metis_provision.checks.catalogue import Code, catalogue
from metis_provision.checks.evidence import CannotLook, Evidence
from metis_provision.checks.inference import inferences
from metis_provision.checks.levels import seconds_allowed
from metis_provision.checks.outcome import CheckFunction, Outcome, skipped, unknown
from metis_provision.checks.waivers import settled, waived
from metis_provision.model.errors import UserError
from metis_provision.model.verdict import Answer, Finding, Verdict

_AREAS = (
    *(host, boot, bus, link, driver, next_boot, signature, node, access, device, self_test),
    *(lockstep, pipeline, thermal, load, runtime, files, services, images),
)
_CORRECT_IT = "Correct it in the inventory and verify again."
_REPORT_IT = "This is a mistake in the check itself: please report it with this text and the survey."


def check_functions() -> Mapping[str, CheckFunction]:
    """Every check function by code; ValueError if two modules claim one code."""
    functions: dict[str, CheckFunction] = {}
    for area in _AREAS:
        for code, function in area.checks.functions.items():
            if code in functions:
                raise ValueError(f"{code} has two functions")
            functions[code] = function
    return functions


def evaluate(host: str, evidence: Evidence, today: date | None = None) -> Verdict:
    """Judge one host; never raises, because a check that breaks is itself an answer (unknown).

    ``today`` is the day on which waivers must still count; without it none does.
    """
    functions = check_functions()
    findings = [
        _finding(code, outcome)
        for code in catalogue().values()
        for outcome in _outcomes(code, functions[code.code], evidence)
    ]
    accepted = evidence.settings.waivers if today else {}
    findings = waived(findings, accepted, today or date.max)
    waivers = settled(accepted, findings, today or date.max)
    links = tuple(link.links(evidence))
    spent = evidence.survey.spent.values()
    return Verdict(
        host,
        tuple(_consequences_skipped(findings)),
        waivers=waivers,
        links=links,
        inferences=tuple(inferences(evidence)),
        level=evidence.settings.verify_level,
        seconds=round(sum(spent), 2) if spent else None,
        limit=seconds_allowed(evidence.settings),
    )


def _outcomes(code: Code, function: CheckFunction, evidence: Evidence) -> list[Outcome]:
    if code.card and evidence.settings.cards == 0:
        return [skipped("no card is expected here (metis_cards = 0)")]
    level = evidence.settings.verify_level
    if not level.takes_in(code.level):
        return [skipped(f"not looked at by level {level}: verify with --level {code.level}")]
    outcomes: list[Outcome] = []
    try:
        outcomes.extend(function(evidence))
    except CannotLook as missing:
        outcomes.append(unknown(str(missing), missing.next_step, power_cycle=missing.power_cycle))
    except UserError as mistake:
        outcomes.append(unknown(str(mistake), _CORRECT_IT))
    except Exception as error:  # one broken check must not hide what the others found
        outcomes.append(_broken(error))
    return outcomes or [unknown("the check gave no answer", _REPORT_IT)]


def _broken(error: Exception) -> Outcome:
    return unknown(f"the check broke off: {type(error).__name__}: {error}", _REPORT_IT)


def _finding(code: Code, outcome: Outcome) -> Finding:
    seen, next_step = outcome.text, outcome.next_step
    if outcome.answer in {Answer.WARN, Answer.FAIL}:
        try:
            seen = code.message.format_map(dict(outcome.values))
            next_step = code.next_step.format_map(dict(outcome.values))
        except (KeyError, IndexError, ValueError) as error:
            return _finding(code, _broken(error))
    return Finding(
        code=code.code,
        title=code.title,
        answer=outcome.answer,
        seen=seen,
        next_step=next_step,
        subject=outcome.subject,
        required=code.required if outcome.required is None else outcome.required,
        area=code.area,
        brief=outcome.brief,
        power_cycle=_needs_power_cycle(code, outcome),
        when=code.when,
    )


def _needs_power_cycle(code: Code, outcome: Outcome) -> bool:
    return outcome.power_cycle or (code.power_cycle and outcome.answer is Answer.FAIL)


def _consequences_skipped(findings: list[Finding]) -> Iterable[Finding]:
    """Replace what another failure explains by a skip that names the cause; the cause keeps the host from being ok."""
    for finding in findings:
        cause = None if finding.answer in {Answer.PASS, Answer.SKIP} else _cause(finding, findings)
        yield finding if cause is None else _skip_after(finding, cause)


def _cause(finding: Finding, findings: list[Finding]) -> Finding | None:
    """Return the first failed finding among those that ``finding`` follows, looking behind consequences too.

    One that is waived explains nothing: it no longer fails the host, and must not hide what does.
    """
    for code in catalogue()[finding.code].follows:
        candidates = [other for other in findings if other.code == code]
        subjects = {other.subject for other in candidates}
        for other in candidates:
            same = other.subject in ("", finding.subject) or finding.subject not in subjects
            if same and other.answer is Answer.FAIL and other.required and not other.waived:
                return _cause(other, findings) or other
    return None


def _skip_after(finding: Finding, cause: Finding) -> Finding:
    return Finding(
        code=finding.code,
        title=finding.title,
        answer=Answer.SKIP,
        seen=f"follows from {cause.code} ({cause.title[0].lower() + cause.title[1:]}): {finding.seen}",
        subject=finding.subject,
        required=finding.required,
        area=finding.area,
        when=finding.when,
    )
