"""What an operator accepts of a host for a time: which findings it covers, and what becomes of each waiver."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date

from metis_provision.checks.catalogue import catalogue
from metis_provision.model.settings import PREFIX, Accepted, Settings
from metis_provision.model.verdict import Answer, Finding, Waiver, WaiverState


def waiver_mistakes(settings: Settings) -> list[str]:
    """Codes in ``metis_waivers`` that there are none of, one sentence each."""
    return [
        f"{PREFIX}waivers: {code} is not the code of a check: {close_codes(code)}"
        for code in settings.waivers
        if code not in catalogue()
    ]


def close_codes(code: str) -> str:
    """Return what to try instead of a code that there is not: those that may have been meant, and the whole list."""
    begin = [known for known in catalogue() if known.startswith(code.upper())]
    meant = [*begin, *difflib.get_close_matches(code.upper(), list(catalogue()), cutoff=0.8)]
    question = f"did you mean {' or '.join(list(dict.fromkeys(meant))[:3])}? " if meant else ""
    return f"{question}metis-provision checks lists all"


def waived(findings: Iterable[Finding], accepted: Mapping[str, Accepted], today: date) -> list[Finding]:
    """Mark every warning and failure that is accepted on ``today``.

    What nobody could look at stays unknown: a waiver accepts what was seen, and nothing was.
    """
    covered = {code for code, waiver in accepted.items() if today <= waiver.until}
    return [
        replace(finding, waived=finding.code in covered and finding.answer in {Answer.WARN, Answer.FAIL})
        for finding in findings
    ]


def settled(accepted: Mapping[str, Accepted], findings: Iterable[Finding], today: date) -> tuple[Waiver, ...]:
    """Say of every waiver what became of it, in order of codes."""
    used = {finding.code for finding in findings if finding.waived}
    return tuple(
        Waiver(code, waiver.reason, waiver.until, _state(code in used, today > waiver.until))
        for code, waiver in sorted(accepted.items())
    )


def _state(used: bool, over: bool) -> WaiverState:
    if over:
        return WaiverState.EXPIRED
    return WaiverState.IN_FORCE if used else WaiverState.UNUSED
