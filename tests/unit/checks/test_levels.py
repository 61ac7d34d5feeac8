"""Levels of verification: what each looks at, what it may take, and what becomes of a check that had no time."""

from __future__ import annotations

import pytest
from builders import evidence, settings, survey

from metis_provision.checks import inference as checked
from metis_provision.checks.catalogue import catalogue
from metis_provision.checks.evaluate import evaluate
from metis_provision.checks.levels import seconds_allowed, sections_of, without_load
from metis_provision.desired.state import survey_request
from metis_provision.model.settings import settings_mistakes
from metis_provision.model.survey import CommandResult, Section
from metis_provision.model.verdict import Answer, Inference, Level, Standing, Verdict


@pytest.mark.parametrize(
    ("level", "left_out"),
    [
        (Level.QUICK, {Section.DEVICES, Section.SELF_TEST, Section.LOAD}),
        (Level.MEDIUM, {Section.LOAD}),
        (Level.LONG, set()),
    ],
)
def test_a_level_asks_for_its_sections(level, left_out):
    assert set(Section) - set(sections_of(level)) == left_out


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"verify_level": "quick"}, 120),
        ({}, 302),
        ({"self_test_seconds": 30}, 330),
        ({"verify_level": "long"}, 422),
        ({"verify_level": "long", "long_seconds": 600}, 902),
        ({"verify_level": "quick", "verify_seconds": 9}, 9),
    ],
)
def test_a_level_may_take_its_time(changes, seconds):
    assert seconds_allowed(settings(**changes)) == seconds


@pytest.mark.parametrize(("asked", "looked"), [("quick", "quick"), ("medium", "medium"), ("long", "medium")])
def test_who_wants_evidence_alone_keeps_no_card_at_work(asked, looked):
    assert without_load(settings(verify_level=asked, cards=2)) == settings(verify_level=looked, cards=2)


@pytest.mark.parametrize("level", list(Level))
def test_what_a_level_does_not_look_at_is_skipped_and_says_how_to_ask(level):
    quiet = survey(sections=frozenset(sections_of(level)), devices=None, self_test=None, sustained=None, load=None)
    verdict = evaluate("host", evidence(quiet, asked=settings(verify_level=level)))
    for finding in verdict.findings:
        if not level.takes_in(catalogue()[finding.code].level):
            assert finding.answer is Answer.SKIP
            assert f"--level {catalogue()[finding.code].level}" in finding.seen
    assert verdict.level is level
    assert (verdict.standing is Standing.GREEN) == (level is Level.QUICK)


@pytest.mark.parametrize(
    ("section", "code"), [(Section.DEVICES, "METIS-401"), (Section.PCI, "METIS-101"), (Section.SELF_TEST, "METIS-501")]
)
def test_a_check_without_time_is_unknown_and_the_host_unproven(section, code):
    late = survey(sections=frozenset(Section) - {section}, late=frozenset({section}), devices=None, self_test=None)
    verdict = evaluate("host", evidence(late))
    (finding,) = (finding for finding in verdict.findings if finding.code == code)
    assert finding.answer is Answer.UNKNOWN
    assert f"the time allowed (302 s) was over before '{section}' was done" in finding.seen
    assert "metis_verify_seconds" in finding.next_step
    assert verdict.standing is Standing.UNPROVEN


def test_a_verdict_tells_what_it_took():
    verdict = evaluate("host", evidence(spent={"host": 0.254, "pci": 1.5}))
    assert (verdict.seconds, verdict.limit) == (1.75, 302)
    assert evaluate("host", evidence()).seconds is None


def test_an_inference_that_does_not_fit_into_the_time_is_refused():
    usual = {"metis_driver": "none", "metis_verify_seconds": 60}
    assert settings_mistakes(usual) == []
    (mistake,) = settings_mistakes(usual | {"metis_verify_level": "long"})
    assert "metis_verify_seconds = 60 leaves no room for 122 seconds of inference" in mistake
    assert settings_mistakes(usual | {"metis_verify_level": "long", "metis_long_seconds": 20}) == []
    assert settings_mistakes({"metis_driver": "none", "metis_verify_seconds": 5, "metis_verify_level": "quick"}) == []


INFERENCE = {"inference": "/opt/sdk/inference.py", "inference_model": "yolov8n-coco", "inference_source": "media/a.mp4"}


def test_inference_is_asked_for_with_its_statistics():
    asked = settings(**INFERENCE, self_test_model=None)
    command = survey_request(asked).inference
    assert " ".join(command) == (
        "/opt/sdk/inference.py yolov8n-coco media/a.mp4 --no-display --frames 200 --show-stats"
    )
    assert survey_request(settings(**INFERENCE, self_test=False)).inference == ()
    statistics = ("Element  Latency(us)  Effective FPS", "End-to-end average measurement   3,632.1   275.3")
    verdict = evaluate("host", evidence(asked=asked, self_test=CommandResult(" ".join(command), 0, statistics)))
    found = {finding.code: finding for finding in verdict.findings}
    assert found["METIS-501"].answer is Answer.PASS
    assert "end-to-end 275.3 FPS" in found["METIS-501"].seen
    assert found["METIS-502"].answer is Answer.UNKNOWN
    assert verdict.standing is Standing.GREEN
    absent = evaluate("host", evidence(asked=asked, self_test=CommandResult(" ".join(command), 127)))
    assert absent.standing is Standing.UNPROVEN
    assert "/opt/sdk/inference.py is not on this host" in seen(absent, "METIS-501")


def test_inference_runs_where_the_runtime_is():
    image = {"runtime": "container", "runtime_version": "1.8.0", "runtime_image": f"voyager@sha256:{'a' * 64}"}
    asked = settings(**INFERENCE, **image, self_test_model=None)
    command = survey_request(asked).inference
    assert command[:2] == ("/usr/lib/metis-provision/in-container", "/opt/sdk/inference.py")
    absent = evaluate("host", evidence(asked=asked, self_test=CommandResult(" ".join(command), 127)))
    assert "/opt/sdk/inference.py is not in the runtime's image" in seen(absent, "METIS-501")


def seen(verdict: Verdict, code: str) -> str:
    """What was seen by the one finding of a check."""
    (found,) = [finding for finding in verdict.findings if finding.code == code]
    return found.seen


@pytest.mark.parametrize("missing", list(INFERENCE))
def test_half_an_inference_is_refused(missing):
    given = {f"metis_{key}": value for key, value in INFERENCE.items() if key != missing}
    (mistake,) = settings_mistakes({"metis_driver": "none", **given})
    assert mistake.startswith(f"metis_{missing} is missing")


def test_a_word_that_no_command_can_bear_is_refused():
    given = {f"metis_{key}": value for key, value in INFERENCE.items()} | {"metis_inference_source": "a\nb"}
    (mistake,) = settings_mistakes({"metis_driver": "none", **given})
    assert mistake.startswith("metis_inference_source holds control characters")


@pytest.mark.parametrize("level", ["deep", "", 3])
def test_a_level_that_there_is_not_is_refused(level):
    (mistake,) = settings_mistakes({"metis_driver": "none", "metis_verify_level": level})
    assert mistake.startswith("metis_verify_level input should be 'quick', 'medium' or 'long'")


def test_utilisation_is_that_of_the_cores_and_the_clock():
    asked = settings(model_operations=80_000_000_000)
    (found,) = evaluate("host", evidence(asked=asked)).inferences
    assert found == Inference(False, 405.2, "system", 4, 800, 214.0, 32.416, 32.416 / 214.0)
    found_less = evaluate(
        "host",
        evidence(
            asked=asked,
            self_test=CommandResult("axrunmodel /m --aipu-cores 2 --seconds 2", 0, ("System throughput: 10 FPS",)),
            devices=CommandResult("axdevice", 0, ("Device 0: metis-0:1:0 1GiB m2 clock=400MHz",)),
        ),
    ).inferences
    assert (found_less[0].cores, found_less[0].clock_mhz, found_less[0].peak_tops) == (2, 400, 53.5)


def test_without_operations_there_is_a_throughput_and_no_utilisation():
    (found,) = evaluate("host", evidence()).inferences
    assert (found.fps, found.tops, found.utilisation) == (405.2, None, None)


def inference(*output, status=0, command="axrunmodel /m", listed=(), **asked):
    """What is said of one self-test, on a host whose axdevice printed ``listed``."""
    found = evidence(
        asked=settings(**asked),
        self_test=CommandResult(command, status, output or ("System throughput: 10 FPS",)),
        devices=CommandResult("axdevice", 0, listed) if listed else None,
    )
    return evaluate("host", found).inferences


def test_what_did_not_end_well_or_told_no_throughput_is_no_inference():
    assert inference(status=1) == ()
    assert inference("Answer check: ok") == ()


def test_the_long_level_tells_of_both():
    asked = settings(verify_level="long")
    sustained = CommandResult("axrunmodel /m --seconds 120", 0, ("System throughput: 401.5 FPS",))
    found = evaluate("host", evidence(asked=asked, sustained=sustained)).inferences
    assert [(one.sustained, one.fps) for one in found] == [(False, 405.2), (True, 401.5)]


@pytest.mark.parametrize(
    ("listed", "asked", "clock"),
    [
        ((), {}, 800),
        ((), {"clock_mhz": 400}, 400),
        (("Device 0: metis-0:1:0 1GiB m2",), {"clock_mhz": 600}, 600),
        (("Device 0: metis-0:1:0 1GiB m2 clock=700MHz", "Device 1: metis-0:2:0 1GiB m2 clock=800MHz"), {}, 700),
        (
            ("Device 0: metis-0:1:0 board_type=m2 clock=100MHz (not responding)", "Device 1: metis-0:2:0 clock=800MHz"),
            {},
            800,
        ),
    ],
)
def test_the_clock_is_that_of_the_slowest_card_that_answers(listed, asked, clock):
    assert [one.clock_mhz for one in inference(listed=listed, **asked)] == [clock]


def test_the_peak_is_that_of_the_card_by_its_cores_and_clock(monkeypatch):
    (found,) = inference(command="axrunmodel /m --aipu-cores 3", listed=("Device 0: metis-0:1:0 1GiB m2 clock=700MHz",))
    assert (found.cores, found.peak_tops) == (3, 140.44)
    m2 = checked.cards()["m2"]
    larger = m2.model_copy(update={"board": "pcie", "peak_tops": 428})
    monkeypatch.setattr(checked, "cards", lambda: {"m2": m2, "larger": larger})
    for board, peak in (("pcie", 428.0), ("m2", 214.0), ("of another kind", 214.0)):
        (found,) = inference(listed=(f"Device 0: metis-0:1:0 4GiB {board.split()[0]} clock=800MHz",))
        assert found.peak_tops == peak, board
