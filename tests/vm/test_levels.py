"""Levels of verification on the machine: each within its time by its own report, and its numbers are the card's."""

from __future__ import annotations

from typing import Any

import pytest
from guest import fault, reported, said

from metis_provision.lab.card.control import CardControl
from metis_provision.lab.machine import Machine
from metis_provision.lab.standin.source import INFERENCE_PATH, MODEL_PATH

pytestmark = [pytest.mark.vm, pytest.mark.full]

OPERATIONS = 8192
"""Of one inference of the stand-in's model, as its file says."""
FRAMES = 20
SDK: dict[str, object] = {
    "inference": INFERENCE_PATH,
    "inference_model": "standin-mvm",
    "inference_source": MODEL_PATH,
    "inference_frames": FRAMES,
}
LONG = {"long_seconds": 15, "verify_level": "long"}


def answers(host: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Findings by code; of several about one code the worst."""
    order = ["skip", "pass", "warn", "unknown", "fail"]
    return {found["code"]: found for found in sorted(host["findings"], key=lambda it: order.index(it["answer"]))}


def tools_running(machine: Machine) -> str:
    """Processes on the machine that talk to the card."""
    return said(machine, "sh", "-c", "pgrep -a 'axrunmodel|axdevice' || true")


@pytest.mark.parametrize("level", ["quick", "medium"])
def test_a_level_keeps_its_time_and_is_green(provisioned: Machine, level: str) -> None:
    status, host = reported(provisioned, "verify", "--level", level)
    assert (status, host["standing"], host["level"]) == (0, "green", level)
    assert 0 < host["seconds"] <= host["seconds_allowed"]
    asked = {code for code, found in answers(host).items() if found["answer"] != "skip"}
    assert ("METIS-401" in asked) == (level == "medium")
    assert ("METIS-405" in asked) == (level == "medium")
    assert bool(host["inferences"]) == (level == "medium")


def test_numbers_come_from_the_card(provisioned: Machine) -> None:
    _, host = reported(provisioned, "verify", model_operations=OPERATIONS)
    (healthy,) = host["inferences"]
    assert healthy["tops"] == pytest.approx(healthy["fps"] * OPERATIONS / 1e12)
    assert healthy["utilisation"] == pytest.approx(healthy["tops"] / healthy["peak_tops"])
    with fault(provisioned, "slow"):
        _, host = reported(provisioned, "verify", model_operations=OPERATIONS, min_fps=healthy["fps"] / 2)
    (slow,) = host["inferences"]
    assert slow["fps"] < healthy["fps"] / 2
    assert answers(host)["METIS-503"]["answer"] == "fail"


def test_the_sdks_inference_runs_in_place_of_axrunmodel(provisioned: Machine) -> None:
    control = CardControl(provisioned.card().control)
    before = control.status()["counters"]["products"]
    status, host = reported(provisioned, "verify", model_operations=OPERATIONS, **SDK)
    assert (status, host["standing"]) == (0, "green")
    assert control.status()["counters"]["products"] == before + FRAMES
    found = answers(host)
    assert found["METIS-501"]["seen"].startswith(f"{INFERENCE_PATH} standin-mvm {MODEL_PATH} --no-display --frames")
    assert (found["METIS-501"]["answer"], found["METIS-502"]["answer"]) == ("pass", "unknown")
    (healthy,) = host["inferences"]
    with fault(provisioned, "slow"):
        status, host = reported(provisioned, "verify", min_fps=healthy["fps"] / 2, **SDK)
    assert (status, answers(host)["METIS-503"]["answer"]) == (1, "fail")


def test_the_plan_of_the_cores_is_what_runs(provisioned: Machine) -> None:
    _, host = reported(provisioned, "verify", self_test_memory=300 << 20, self_test_for="latency", card_memory=1)
    (inference,) = host["inferences"]
    assert inference["cores"] == 3
    assert inference["peak_tops"] == pytest.approx(160.5)
    assert "--aipu-cores 3 " in answers(host)["METIS-501"]["seen"]


def test_a_hang_in_the_card_ends_in_a_verdict_and_leaves_nothing_running(provisioned: Machine) -> None:
    with fault(provisioned, "hang"):
        status, host = reported(provisioned, "verify", verify_seconds=90)
    assert (status, host["ok"]) == (1, False)
    assert host["seconds"] <= host["seconds_allowed"] == 90
    assert answers(host)["METIS-501"]["answer"] in {"fail", "unknown"}
    assert tools_running(provisioned) == ""
    assert reported(provisioned, "verify")[0] == 0


def test_a_tool_that_hangs_is_ended_with_what_it_started(provisioned: Machine) -> None:
    hung = "#!/bin/sh\ntrap '' TERM\nsetsid axrunmodel-child 600 &\nsleep 600\nsleep 600\n"
    place = "/usr/local/bin"
    try:
        provisioned.run("ln", "-s", "/bin/sleep", f"{place}/axrunmodel-child")
        provisioned.run(
            "sh", "-c", f"printf '%s' \"$1\" >{place}/axrunmodel && chmod 755 {place}/axrunmodel", "-", hung
        )
        status, host = reported(provisioned, "verify", verify_seconds=60)
        assert status == 1
        assert host["standing"] == "unproven"
        assert answers(host)["METIS-501"]["answer"] == "unknown"
        assert "did not end in time" in answers(host)["METIS-501"]["seen"]
        assert host["seconds"] <= host["seconds_allowed"]
        assert tools_running(provisioned) == ""
    finally:
        provisioned.run("rm", "-f", f"{place}/axrunmodel", f"{place}/axrunmodel-child")


def test_the_long_level_is_green_and_counts(provisioned: Machine) -> None:
    status, host = reported(provisioned, "verify", **LONG)
    found = answers(host)
    assert (status, host["level"]) == (0, "long"), found
    assert host["seconds"] <= host["seconds_allowed"]
    assert [inference["sustained"] for inference in host["inferences"]] == [False, True]
    assert {found[code]["answer"] for code in ("METIS-510", "METIS-511", "METIS-513")} == {"pass"}
    assert found["METIS-505"]["answer"] == "pass"


def test_the_long_level_sees_a_link_that_flaps(provisioned: Machine) -> None:
    with fault(provisioned, "flapping-link"):
        status, host = reported(provisioned, "verify", **LONG)
    assert status == 1
    changed = {f["subject"]: f["seen"] for f in host["findings"] if (f["code"], f["answer"]) == ("METIS-511", "fail")}
    # The port above shows what the card says of their link, so that it may have changed there, too.
    assert "0000:01:00.0" in changed, changed
    assert "GT/s x1" in changed["0000:01:00.0"]
    assert reported(provisioned, "verify")[0] == 0
