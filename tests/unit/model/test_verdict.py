"""What a host's findings add up to: as it runs, at its next boot, and both together."""

from __future__ import annotations

import pytest

from metis_provision.model.verdict import Answer, Finding, Standing, Verdict, When

NOW, NEXT = When.NOW, When.NEXT_BOOT


def verdict(*findings: tuple[When, Answer, bool]) -> Verdict:
    return Verdict("h", tuple(Finding("C", "T", answer, "", required=req, when=when) for when, answer, req in findings))


@pytest.mark.parametrize(
    ("findings", "now", "following", "together"),
    [
        (((NOW, Answer.PASS, True), (NEXT, Answer.PASS, True)), "green", "green", "green"),
        (((NOW, Answer.PASS, True), (NEXT, Answer.FAIL, True)), "green", "failed", "failed"),
        (((NOW, Answer.FAIL, True), (NEXT, Answer.PASS, True)), "failed", "green", "failed"),
        (
            ((NOW, Answer.PASS, True), (NEXT, Answer.WARN, False), (NEXT, Answer.PASS, True)),
            "green",
            "warned",
            "warned",
        ),
        (((NOW, Answer.PASS, True), (NEXT, Answer.UNKNOWN, True)), "green", "unproven", "unproven"),
        # Nobody could know which kernel boots: shown, and does not decide.
        (((NOW, Answer.PASS, True), (NEXT, Answer.UNKNOWN, False)), "green", "unproven", "green"),
        (((NOW, Answer.PASS, True), (NEXT, Answer.SKIP, True)), "green", None, "green"),
        (((NOW, Answer.PASS, True),), "green", None, "green"),
        (((NEXT, Answer.PASS, True),), "unproven", "green", "green"),
    ],
)
def test_standings(
    findings: tuple[tuple[When, Answer, bool], ...], now: str, following: str | None, together: str
) -> None:
    host = verdict(*findings)
    assert (host.now, host.next_boot, host.standing) == (now, following, together)
    assert host.ok is (host.standing in {Standing.GREEN, Standing.WARNED})
