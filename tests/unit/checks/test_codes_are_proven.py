"""No code without a host on which it passes and a host on which it says no."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cache

import pytest
from test_check_codes import CASES
from test_golden_verdicts import RECORDED, judged

from metis_provision.checks.catalogue import catalogue
from metis_provision.model.verdict import Answer

# A code that once was seen both ways on whole hosts stays so; new ones are added when a recording of theirs is.
SEEN_ON_WHOLE_HOSTS = (
    "010 020 021 022 023 024 101 102 103 104 105 110 120 121 201 202 203 204 205 210 211 220 230 231 232 233 234 235 "
    "240 301 302 303 304 310 311 312 320 330 331 401 402 403 501 502 503 504 601 602 603 604 610 611 620 621 622 "
    "623 630"
)

Said = tuple[str, Answer]


def unproven(codes: Collection[str], said: Iterable[Said]) -> tuple[str, ...]:
    """Return a line for each code that was not seen to pass, or not seen to say no; skip and unknown prove nothing."""
    seen = set(said)
    missing = []
    for code in codes:
        if (code, Answer.PASS) not in seen:
            missing.append(f"{code} is never seen to pass")
        if not seen & {(code, Answer.WARN), (code, Answer.FAIL)}:
            missing.append(f"{code} is never seen to say no")
    return tuple(missing)


def of_cases() -> Iterator[Said]:
    """Return what the cases expect, which ``test_code`` holds the checks to."""
    return ((case.code, case.answer) for case in CASES)


@cache
def of_recorded_hosts() -> frozenset[Said]:
    """Return what is said of the recorded hosts."""
    return frozenset((finding.code, finding.answer) for name in RECORDED for finding in judged(name).findings)


def test_every_code_passes_and_says_no_somewhere():
    assert unproven(catalogue(), (*of_cases(), *of_recorded_hosts())) == ()


def test_codes_seen_on_whole_hosts_stay_so():
    assert unproven([f"METIS-{number}" for number in SEEN_ON_WHOLE_HOSTS.split()], of_recorded_hosts()) == ()


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ([], ("METIS-001 is never seen to pass", "METIS-001 is never seen to say no")),
        ([("METIS-001", Answer.PASS)], ("METIS-001 is never seen to say no",)),
        ([("METIS-001", Answer.FAIL)], ("METIS-001 is never seen to pass",)),
        ([("METIS-001", Answer.PASS), ("METIS-001", Answer.UNKNOWN)], ("METIS-001 is never seen to say no",)),
        ([("METIS-001", Answer.PASS), ("METIS-001", Answer.SKIP)], ("METIS-001 is never seen to say no",)),
        ([("METIS-001", Answer.PASS), ("METIS-002", Answer.FAIL)], ("METIS-001 is never seen to say no",)),
        ([("METIS-001", Answer.PASS), ("METIS-001", Answer.WARN)], ()),
        ([("METIS-001", Answer.PASS), ("METIS-001", Answer.FAIL)], ()),
    ],
)
def test_a_code_without_both_is_refused(said, missing):
    assert unproven(["METIS-001"], said) == missing


def test_a_code_that_loses_its_hosts_is_missed():
    said = of_recorded_hosts()
    without = {(code, answer) for code, answer in said if (code, answer) != ("METIS-023", Answer.WARN)}
    assert unproven(["METIS-023"], without) == ("METIS-023 is never seen to say no",)
