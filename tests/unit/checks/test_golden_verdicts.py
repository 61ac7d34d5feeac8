"""Recorded hosts and what is said of each, word for word.

After a change that is meant to change verdicts, write them anew with ``make golden`` and read the difference
before it is committed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import desired, settings

from metis_provision.checks.evaluate import evaluate
from metis_provision.checks.evidence import Evidence
from metis_provision.desired.state import desired_state
from metis_provision.model.artifact import File
from metis_provision.model.verdict import Verdict
from metis_provision.support.recording import read_recording
from metis_provision.survey.parser import parse_survey

SURVEYS = Path(__file__).parents[2] / "fixtures" / "surveys"
GOLDEN = Path(__file__).parent / "golden"

# What the owner of each host asks for whose recording does not say so itself; else what ``builders.settings`` says.
ASKED: dict[str, dict[str, Any]] = {
    "no-modules-no-heap": {"cards": 0, "driver": "none", "driver_version": None},
    "debian12-container": {"cards": 0, "driver": "none", "driver_version": None},
    "raspberry-pi-5": {"carrier": "rpi5-m2-hat-plus"},
}

# Stands for the files of a deploy: the recorded hosts were asked for it, and the provisioned ones have it.
MODULES_LOAD = File(
    "/etc/modules-load.d/metis.conf",
    b"# Managed by metis-provision: changes made here are replaced by the next run.\nmetis\n",
)


def judged(name: str) -> Verdict:
    """Return the verdict over a recorded host.

    Of the files of a deploy one is looked at: the others change with every version, and no recording is of today's.
    """
    text = (SURVEYS / f"{name}.txt").read_text(encoding="utf-8")
    if "\n# Settings: " in text:
        recording = read_recording(text, name)
        whole = desired_state(recording.settings, recording.survey)
        files = tuple(MODULES_LOAD for file in whole.files if file.path == MODULES_LOAD.path)
        return evaluate(name, Evidence(recording.settings, recording.survey, replace(whole, files=files)))
    asked = settings(**ASKED.get(name, {}))
    wanted = desired(files=(MODULES_LOAD,), **({} if asked.driver == "dkms" else {"dkms": None, "module": None}))
    return evaluate(name, Evidence(asked, parse_survey(text), wanted))


def verdict_text(name: str) -> str:
    """Return the verdict over a recorded host, a finding a line."""
    verdict = judged(name)
    lines = [f"{name}: {verdict.standing} (now {verdict.now}, next boot {verdict.next_boot or 'not asked about'})"]
    for finding in verdict.findings:
        about = f" [{finding.subject}]" if finding.subject else ""
        lines.append(f"{finding.code} {finding.answer}{about} {finding.seen}")
    return "\n".join(lines) + "\n"


RECORDED = sorted(path.stem for path in SURVEYS.glob("*.txt"))


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_host(name):
    assert (GOLDEN / f"{name}.txt").is_file(), f"no golden verdict for {name}: see the head of this file"
    assert verdict_text(name) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "standing"),
    [("debian13-provisioned", "green"), ("debian13-narrow-link", "warned"), ("debian13-busy", "warned")]
    + [
        (name, "failed") for name in ("debian13-bare", "debian13-card-bare", "debian13-card-absent", "card-off-the-bus")
    ],
)
def test_a_fault_of_the_lab_is_never_green(name, standing):
    assert verdict_text(name).startswith(f"{name}: {standing} (")


@pytest.mark.parametrize(
    ("name", "now", "following"),
    [
        ("debian13-provisioned", "green", "green"),
        ("next-boot-no-headers", "green", "failed"),
        ("next-boot-build-failed", "green", "failed"),
        ("secure-boot-enrolled", "green", "green"),
        ("secure-boot-unsigned", "failed", "failed"),
        ("secure-boot-not-enrolled", "failed", "failed"),
        ("secure-boot-staged", "failed", "failed"),
        ("sig-enforce-without-efi", "failed", "failed"),
    ],
)
def test_now_and_the_next_boot_are_told_apart(name, now, following):
    assert verdict_text(name).splitlines()[0].endswith(f"(now {now}, next boot {following})")


def test_there_are_recorded_hosts_and_no_verdict_is_left_over():
    assert RECORDED
    assert sorted(path.stem for path in GOLDEN.glob("*.txt")) == RECORDED


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for recorded in RECORDED:
        (GOLDEN / f"{recorded}.txt").write_text(verdict_text(recorded), encoding="utf-8")
