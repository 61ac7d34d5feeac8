"""Every form of the tools' output that has been seen is understood, and no other is misread."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis_provision.catalog.contract import contract
from metis_provision.model.survey import Temperatures
from metis_provision.survey.tools import (
    AnswerCheck,
    Device,
    parse_devices,
    parse_self_test,
    parse_temperatures,
    says_busy,
    trouble,
)


@pytest.mark.parametrize(
    ("line", "device"),
    [
        (
            "Device 0: metis-0:1:0 board_type=pcie fwver=v1.0.0-a6-15-g9d681b7bcfe9 clock=800MHz",
            Device(0, "metis-0:1:0", True, None, "pcie", "v1.0.0-a6-15-g9d681b7bcfe9", None, 800),
        ),
        (
            "Device 0: metis-0:6c:0 board_type=pcie fwver='1.3.2' clock=800MHz(0-3:800MHz) mvm=0-3:100%",
            Device(0, "metis-0:6c:0", True, None, "pcie", "1.3.2", None, 800),
        ),
        (
            "Device 0: metis-0:1:0 4GiB pcie flver=1.3.0 bcver=1.4 clock=800MHz(0-3:800MHz) mvm=0-3:100%",
            Device(0, "metis-0:1:0", True, 4, "pcie", "1.3.0", "1.4", 800),
        ),
        (
            "Device 3: metis-1:c6:0 1GiB m2 flver=1.2.0-rc2 bcver=1.4 clock=400MHz(0-3:400MHz) mvm=0-3:50%",
            Device(3, "metis-1:c6:0", True, 1, "m2", "1.2.0-rc2", "1.4", 400),
        ),
        (
            "Device 0: metis-0:1:0 4GiB metis-compute-board flver=1.5.0 bcver=7.1 clock=800MHz(0-3:800MHz)",
            Device(0, "metis-0:1:0", True, 4, "metis-compute-board", "1.5.0", "7.1", 800),
        ),
        (
            "Device 0: metis-0-1-0 16GiB pcie flver=2.0.0 power=11W",
            Device(0, "metis-0-1-0", True, 16, "pcie", "2.0.0", None, None),
        ),
        ("Device 0: metis-0:1:0", Device(0, "metis-0:1:0", True)),
        ("Device 0: metis-0:1:0 flver='' bcver='' board_type=''", Device(0, "metis-0:1:0", True)),
        ("Device 0: metis-0:1:0 16 GiB (passive) pcie", Device(0, "metis-0:1:0", True, 16, "pcie")),
        ("Device 0: metis-0:1:0 (not responding)", Device(0, "metis-0:1:0", False)),
        (
            "Device 0: metis-0:1:0 board_type=unknown (not responding)",
            Device(0, "metis-0:1:0", False, None, "unknown"),
        ),
        ("board_type=unknown (not responding)", Device(None, "", False)),
    ],
)
def test_device_lines(line, device):
    assert parse_devices(["axdevice 1.8", "", line, "done"]) == (device,)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Device 0: /dev/metis-0-1-0 is held by another process (EBUSY)",
        "Device 0: hailo-0 4GiB",
        "AXR_ERROR_CONNECTION_ERROR: No AIPU driver found in lsmod output",
        "No devices",
        "Device metis-0:1:0",
    ],
)
def test_other_lines_are_no_devices(line):
    assert parse_devices([line]) == ()


def test_busy_is_heard_among_other_lines():
    busy = contract().tools.axrunmodel.line("busy").example
    assert says_busy(["loading", busy, "giving up"])
    assert not says_busy(["loading", "giving up"])
    assert not says_busy([])


def test_the_contracts_examples_are_understood():
    for line in contract().tools.axdevice.lines:
        devices = parse_devices([line.example])
        assert bool(devices) == line.name.startswith(("device", "not-responding"))
        assert all(device.responding == line.name.startswith("device") for device in devices)
    for line in contract().tools.axrunmodel.lines:
        output = parse_self_test([line.example])
        assert bool(output.fps) == line.name.endswith("-fps")
        assert says_busy([line.example]) == (line.name == "busy")
    for line in contract().tools.inference.lines:
        assert bool(parse_self_test([line.example]).fps) == (line.name != "stats-head")
    (board,) = contract().tools.axcmd.lines
    assert parse_temperatures("after", board.example) == Temperatures("after", 50.25)
    for line in contract().tools.axlogdevice.lines:
        told = parse_temperatures("after", line.example)
        assert told == (Temperatures("after", 35, (34, 34, 35, 34)) if line.name == "temperatures" else None)


@pytest.mark.parametrize(
    ("lines", "fps"),
    [
        (["System throughput: 405.2 FPS"], {"system": 405.2}),
        (["System throughput: 3,632.1 FPS"], {"system": 3632.1}),
        (["System throughput: 1,234,567 FPS"], {"system": 1234567.0}),
        (["system throughput: 405,2 fps"], {"system": 405.2}),
        (
            ["Device FPS: 469.2", "Host FPS = 431", "System FPS 405.2"],
            {"device": 469.2, "host": 431.0, "system": 405.2},
        ),
        (["Device 0 throughput: 469.2 FPS", "Device 1 throughput: 431.0 FPS"], {"device": 431.0}),
        (["System throughput: 0.0 FPS"], {"system": 0.0}),
        (["System throughput: n/a FPS"], {}),
        (["System throughput: 1.2.3 FPS"], {}),
        (["System throughput: 12,34,567 FPS"], {}),
        (["Subsystem ready in 12 frames"], {}),
        (["Element  Latency(us)  Effective FPS", "decode  1,200  833.1"], {}),
        (["End-to-end average measurement     3,632.1     275.3"], {"end-to-end": 275.3}),
        (["End-to-end average measurement     3,632.1     n/a"], {}),
        (["System throughput: " + "9" * 400 + " FPS"], {}),
    ],
)
def test_throughput(lines, fps):
    assert parse_self_test(lines).fps == fps


def test_the_figure_nearest_to_an_application_counts():
    lines = ["Device throughput: 469.2 FPS", "Host throughput: 431.0 FPS"]
    assert parse_self_test([]).throughput is None
    assert parse_self_test(lines[:1]).throughput == ("device", 469.2)
    assert parse_self_test(lines).throughput == ("host", 431.0)
    table = [*lines, "End-to-end average measurement  3,632.1  275.3"]
    assert parse_self_test(table).throughput == ("end-to-end", 275.3)
    assert parse_self_test([*table, "System throughput: 405.2 FPS"]).throughput == ("system", 405.2)


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        ([], AnswerCheck.NOT_COMPARED),
        (["answer check: perhaps"], AnswerCheck.NOT_COMPARED),
        (["Answer check: ok (1 inferences, 1 bytes compared)"], AnswerCheck.RIGHT),
        (["  Answer check: ok (1 inferences, 1 bytes compared)"], AnswerCheck.RIGHT),
        (["Answer check: ok (0 inferences, 8 bytes compared)"], AnswerCheck.UNREADABLE),
        (["Answer check: ok (8 inferences, 0 bytes compared)"], AnswerCheck.UNREADABLE),
        (["Answer check: okay"], AnswerCheck.UNREADABLE),
        (["Answer check: failed somewhere"], AnswerCheck.WRONG),
        (
            ["Answer check: ok (1 inferences, 1 bytes compared)", "Answer check: FAILED: device 1"],
            AnswerCheck.WRONG,
        ),
    ],
)
def test_answer(lines, answer):
    assert parse_self_test(lines).answer is answer


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], ""),
        (["", "  "], ""),
        (["loading", "done "], "done"),
        (["done", ""], "done"),
        (
            ["loading", "AXR_ERROR_CONNECTION_ERROR: No AIPU driver found", "bye"],
            "AXR_ERROR_CONNECTION_ERROR: No AIPU driver found",
        ),
        (["USR_DMA_XFER failed: Connection timed out", "gave up"], "USR_DMA_XFER failed: Connection timed out"),
        (['Version mismatch! Actual="1" Expected="2"', "x"], 'Version mismatch! Actual="1" Expected="2"'),
    ],
)
def test_trouble(lines, said):
    assert trouble(lines) == said


@settings(deadline=None)
@given(st.lists(st.text()))
def test_any_text_is_survived(lines):
    parse_devices(lines)
    assert all(number >= 0 for number in parse_self_test(lines).fps.values())
    trouble(lines)
    says_busy(lines)


WORDS_OF_DEVICES = ("Device ", "0", ": ", "metis-0:1:0", " ", "=", "'", "flver=", "GiB", "clock=", "MHz", "board_type=")
WORDS_OF_RUNS = (
    "System",
    " throughput: ",
    "FPS",
    "Answer check: ",
    "ok (",
    "1,234.5",
    "End-to-end average measurement ",
)
FRAGMENTS = st.sampled_from((*WORDS_OF_DEVICES, "(not responding)", *WORDS_OF_RUNS))


@settings(deadline=None)
@given(st.lists(st.lists(FRAGMENTS).map("".join)))
def test_any_mixture_of_what_tools_say_is_survived(lines):
    for device in parse_devices(lines):
        assert device.clock_mhz is None or device.clock_mhz >= 0
    parse_self_test(lines)
