"""Faults against checks without a machine: what a host of the lab said under each, judged by the checks of today."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from metis_provision.checks.evaluate import evaluate
from metis_provision.checks.evidence import Evidence
from metis_provision.desired.state import desired_state
from metis_provision.lab.faults import Fault, faults
from metis_provision.model.verdict import Answer, Standing, Verdict
from metis_provision.support.recording import read_recording

RECORDINGS = Path(__file__).parents[2] / "fixtures" / "faults"
WITHOUT_A_FAULT = "healthy"
ASKABLE = {name: fault for name, fault in faults().items() if not fault.cuts_off}


def judged(name: str, fault: Fault) -> Verdict:
    """The verdict over a recorded host, without the deploy's files: those are another version's by now."""
    recording = read_recording((RECORDINGS / f"{name}.txt").read_text(encoding="utf-8"), name)
    settings = recording.settings.model_copy(update=dict(fault.settings))
    desired = replace(desired_state(settings, recording.survey, recording.key), files=())
    return evaluate(name, Evidence(settings, recording.survey, desired), today=recording.day)


def told(verdict: Verdict) -> set[str]:
    return {finding.code for finding in verdict.findings if finding.answer in {Answer.WARN, Answer.FAIL}}


@pytest.mark.parametrize("fault", ASKABLE.values(), ids=ASKABLE)
def test_what_a_host_said_under_a_fault_leads_to_its_checks_and_not_without_it(fault):
    verdict = judged(fault.name, fault)
    assert told(verdict) >= set(fault.codes)
    assert verdict.standing is not Standing.GREEN
    assert told(judged(WITHOUT_A_FAULT, fault)) == set()


def test_every_fault_under_which_a_host_can_be_asked_is_recorded():
    assert {path.stem for path in RECORDINGS.glob("*.txt")} == {*ASKABLE, WITHOUT_A_FAULT}
