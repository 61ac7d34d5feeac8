"""A waiver covers one code until its day is over, is always shown, and hides nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from builders import CARD, card, evidence, port, settings, survey

from metis_provision.checks.catalogue import catalogue
from metis_provision.checks.evaluate import evaluate
from metis_provision.checks.waivers import close_codes, waiver_mistakes
from metis_provision.model.errors import UserError
from metis_provision.model.settings import settings_from
from metis_provision.model.survey import CommandResult, Driver
from metis_provision.model.verdict import Answer, Standing, WaiverState
from metis_provision.report.rows import Row
from metis_provision.report.terminal import render_report

LAST_DAY = date(2026, 12, 31)
NO_CLOCK = {"host": replace(survey().host, epoch=86_400)}
DRIVER_AWAY = {"driver": Driver(), "pci": (port(), card(driver=None))}


def accepted(*codes: str, reason: str = "waits for a battery") -> dict[str, object]:
    return {code: {"reason": reason, "until": "2026-12-31"} for code in codes}


def verdict(*codes: str, today: date | None = LAST_DAY, **changes):
    return evaluate("pi", evidence(asked=settings(waivers=accepted(*codes)), **changes), today)


def test_a_waived_failure_is_shown_and_does_not_fail_the_host():
    assert verdict(**NO_CLOCK).standing is Standing.FAILED
    found = verdict("METIS-010", **NO_CLOCK)
    assert found.standing is Standing.WARNED
    assert found.ok
    clock = next(f for f in found.findings if f.code == "METIS-010")
    assert (clock.answer, clock.waived) == (Answer.FAIL, True)
    assert [w.state for w in found.waivers] == [WaiverState.IN_FORCE]


def test_the_day_after_the_last_it_no_longer_counts():
    found = verdict("METIS-010", today=date(2027, 1, 1), **NO_CLOCK)
    assert found.standing is Standing.FAILED
    assert [w.state for w in found.waivers] == [WaiverState.EXPIRED]
    text = render_report([Row("pi", found)], width=None, colour=False, plain=True)
    assert "  waiver: ended on 2026-12-31, so it no longer counts: waits for a battery" in text
    assert "\nfail METIS-010" in text


def test_the_table_says_waived_why_and_until_when():
    text = render_report([Row("pi", verdict("METIS-010", **NO_CLOCK))], width=None, colour=False, plain=True)
    assert "\nwaived METIS-010 Clock is sane\n" in text
    assert "  waiver: until 2026-12-31: waits for a battery\n" in text


def test_a_waiver_that_covers_nothing_is_named():
    found = verdict("METIS-010")
    assert found.standing is Standing.GREEN
    assert [w.state for w in found.waivers] == [WaiverState.UNUSED]
    text = render_report([Row("pi", found)], width=None, colour=False, plain=True)
    assert "waiver METIS-010 (unused, until 2026-12-31): nothing to waive\n  hosts:  pi\n" in text


def test_what_nobody_could_look_at_is_not_waived():
    hung = {"devices": CommandResult("axdevice", 124, ())}
    found = verdict("METIS-401", **hung)
    assert found.standing is Standing.UNPROVEN
    text = render_report([Row("pi", found)], width=None, colour=False, plain=True)
    assert "waiver: does not count, because nobody could look: waits for a battery (until 2026-12-31)" in text


def test_a_waiver_hides_nothing_that_follows():
    plain, waived = verdict(**DRIVER_AWAY), verdict("METIS-201", **DRIVER_AWAY)
    assert {f.code for f in plain.findings if f.answer is Answer.FAIL} == {"METIS-201"}
    assert {f.code for f in waived.findings if f.answer is Answer.FAIL and not f.waived} == {"METIS-202"}
    assert waived.standing is Standing.FAILED


def test_a_consequence_that_is_waived_besides_its_cause_is_no_unused_waiver():
    found = verdict("METIS-202", **DRIVER_AWAY)
    assert found.standing is Standing.FAILED
    assert [w.state for w in found.waivers] == [WaiverState.IN_FORCE]


def test_a_warning_can_be_waived_and_stays_visible():
    narrow = {"pci": (port(), card(current_width=1))}
    found = verdict("METIS-120", **narrow)
    assert found.standing is Standing.WARNED
    assert [(f.subject, f.waived) for f in found.findings if f.code == "METIS-120"] == [(CARD, True)]


def test_without_a_date_no_waiver_counts():
    found = verdict("METIS-010", today=None, **NO_CLOCK)
    assert found.standing is Standing.FAILED
    assert found.waivers == ()


def test_a_finding_that_is_waived_does_not_prove_a_host():
    found = verdict("METIS-010", **NO_CLOCK)
    only = replace(found, findings=tuple(f for f in found.findings if f.waived))
    assert only.standing is Standing.UNPROVEN


def test_an_unknown_code_is_named_with_those_that_are_close():
    said = waiver_mistakes(settings(waivers=accepted("METIS-12", "METIS-120")))
    assert said == [
        "metis_waivers: METIS-12 is not the code of a check: did you mean METIS-120 or METIS-121 or METIS-612? "
        "metis-provision checks lists all"
    ]


@pytest.mark.parametrize(
    ("waiver", "sentence"),
    [
        (
            {"until": "2026-12-31"},
            "metis_waivers.METIS-010.reason is missing: a waiver needs a reason and the last day",
        ),
        ({"reason": "x"}, "metis_waivers.METIS-010.until is missing"),
        ({"reason": "  ", "until": "2026-12-31"}, "metis_waivers.METIS-010.reason is empty: say why"),
        ({"reason": "x", "until": "31.12.2026"}, "metis_waivers.METIS-010.until is not a day such as 2026-12-31"),
        ({"reason": "x", "until": "2026-02-30"}, "metis_waivers.METIS-010.until"),
        ({"reason": "x", "until": 20261231}, "until is not a day such as 2026-12-31"),
        ({"reason": "x", "until": "2026-12-31", "who": "me"}, "METIS-010.who is not part of a waiver"),
        ("because", "metis_waivers.METIS-010"),
    ],
)
def test_a_waiver_without_reason_or_end_is_refused(waiver, sentence):
    with pytest.raises(UserError) as refused:
        settings_from({"metis_driver": "none", "metis_waivers": {"METIS-010": waiver}}, where="pi")
    assert sentence in str(refused.value)
    assert str(refused.value).startswith("pi: ")
    assert len(str(refused.value).splitlines()) == 1


def test_a_day_may_be_a_date():
    data = {"metis_driver": "none", "metis_waivers": {"METIS-010": {"reason": "x", "until": LAST_DAY}}}
    assert settings_from(data, where="pi").waivers["METIS-010"].until == LAST_DAY


def test_at_most_three_codes_are_asked_about():
    begun = [code for code in catalogue() if code.startswith("METIS-1")]
    assert len(begun) > 3
    assert close_codes("metis-1") == f"did you mean {' or '.join(begun[:3])}? metis-provision checks lists all"
