"""What stands for an answer in a table: whom it is about, and the few words of its cell."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import CARD, PORT, SECOND_CARD, SECOND_PORT, card, evidence, port, settings
from test_check_codes import CASES, LOAD, LONG, behind_switch, findings

from metis_provision.checks.evaluate import evaluate
from metis_provision.checks.link import links
from metis_provision.model.survey import LinkSeen
from metis_provision.model.verdict import Answer, Link

BY_NAME = {(case.code, case.name): case for case in CASES}

# code, case of test_check_codes, subject, brief
TOLD = (
    ("METIS-012", "read-only", "/etc", "read-only"),
    ("METIS-021", "pi board on a pc", "", "wrong carrier"),
    ("METIS-022", "lacks lines", "", "config.txt"),
    ("METIS-022", "left over", "", "config.txt"),
    ("METIS-023", "slower", "", "not in force"),
    ("METIS-024", "pending", "", "reboot needed"),
    ("METIS-101", "one", "", "1 card"),
    ("METIS-101", "two", "", "2 cards"),
    ("METIS-101", "empty slot", "", "0 of 1"),
    ("METIS-101", "one of two", "", "1 of 2"),
    ("METIS-102", "one too many", "", "2 of 1"),
    ("METIS-103", "instead of the card", "0000:01:00.0", "no firmware"),
    ("METIS-103", "beside the card", "0000:02:00.0", "no firmware"),
    ("METIS-104", "gone", "0000:01:00.0", "reads 0xff"),
    ("METIS-105", "product", "0000:01:00.0", ""),
    ("METIS-105", "alpha", "0000:01:00.0", "alpha silicon"),
    ("METIS-105", "emulator", "0000:01:00.0", "an emulator"),
    (
        "METIS-105",
        "documented id",
        "0000:01:00.0",
        "an id that documents give to a Metis and the PCI database to another vendor",
    ),
    ("METIS-110", "both", "0000:01:00.0", ""),
    ("METIS-110", "one window", "0000:01:00.0", "no window"),
    ("METIS-120", "full", "0000:01:00.0", "8 GT/s x4"),
    ("METIS-120", "limits named", "0000:01:00.0", "8 GT/s x2"),
    ("METIS-120", "narrow", "0000:01:00.0", "8 GT/s x1"),
    ("METIS-120", "slow", "0000:01:00.0", "2.5 GT/s x4"),
    ("METIS-120", "narrow port", "0000:01:00.0", "8 GT/s x1"),
    ("METIS-120", "pi without gen3", "0000:01:00.0", "5 GT/s x1"),
    ("METIS-120", "switch below its best", "0000:01:00.0", "5 GT/s x1"),
    ("METIS-120", "below the switch", "0000:01:00.0", "2.5 GT/s x1"),
    ("METIS-120", "state unread", "0000:01:00.0", ""),
    ("METIS-120", "guest", "0000:01:00.0", "8 GT/s x4"),
    ("METIS-121", "as it gives", "0000:01:00.0", ""),
    ("METIS-121", "pi without gen3", "0000:01:00.0", ""),
    ("METIS-121", "any board", "0000:01:00.0", ""),
    ("METIS-121", "limit unread", "0000:01:00.0", ""),
    ("METIS-121", "guest", "0000:01:00.0", "8 GT/s x4"),
    ("METIS-201", "loaded", "", "1.6.2"),
    ("METIS-201", "not loaded", "", "not loaded"),
    ("METIS-202", "bound", "0000:01:00.0", ""),
    ("METIS-202", "unbound", "0000:01:00.0", "not bound"),
    ("METIS-203", "older", "", "1.5.6"),
    ("METIS-204", "older in memory", "", "reboot needed"),
    ("METIS-204", "no file", "", "not on disk"),
    ("METIS-205", "other", "", "options"),
    ("METIS-206", "together", "1.8.0", ""),
    ("METIS-206", "apart", "1.8.0", "runtime 1.8.0"),
    ("METIS-206", "unknown driver", "1.8.0", ""),
    ("METIS-206", "later runtime", "1.8.7", ""),
    ("METIS-210", "missing", "", "no headers"),
    ("METIS-211", "built", "", "dkms"),
    ("METIS-211", "added", "", "dkms"),
    ("METIS-211", "installed nowhere", "", "dkms"),
    ("METIS-211", "replaced since", "", "dkms"),
    ("METIS-220", "both", "6.12.57+deb13-amd64", ""),
    ("METIS-220", "no module", "6.12.57+deb13-amd64", "next boot"),
    ("METIS-230", "unknown", "", "next kernel not known"),
    ("METIS-230", "gone", "", "next boot"),
    ("METIS-231", "there", "6.12.57+deb13-amd64", ""),
    ("METIS-231", "missing", "6.12.57+deb13-amd64", "next boot"),
    ("METIS-231", "built before", "6.12.57+deb13-amd64", ""),
    ("METIS-231", "gone", "9.9", ""),
    ("METIS-232", "there", "6.12.57+deb13-amd64", ""),
    ("METIS-232", "not built", "6.12.57+deb13-amd64", "next boot"),
    ("METIS-233", "as asked", "6.12.57+deb13-amd64", ""),
    ("METIS-233", "older", "6.12.57+deb13-amd64", "next boot"),
    ("METIS-233", "unread", "6.12.57+deb13-amd64", ""),
    ("METIS-233", "no module", "6.12.57+deb13-amd64", ""),
    ("METIS-234", "its own", "6.12.57+deb13-amd64", ""),
    ("METIS-234", "another's", "6.12.57+deb13-amd64", "next boot"),
    ("METIS-234", "no module", "6.12.57+deb13-amd64", ""),
    ("METIS-235", "unsigned", "6.12.48+deb13-amd64", "module unsigned"),
    ("METIS-240", "unsigned", "", "module unsigned"),
    ("METIS-301", "there", "0000:01:00.0", ""),
    ("METIS-301", "missing", "0000:01:00.0", "no node"),
    ("METIS-301", "unread", "0000:01:00.0", ""),
    ("METIS-302", "as asked", "0000:01:00.0", "root:axelera 0660"),
    ("METIS-302", "mode", "0000:01:00.0", "root:axelera 0666"),
    ("METIS-302", "group", "0000:01:00.0", "root:root 0660"),
    ("METIS-302", "owner", "0000:01:00.0", "nobody:axelera 0660"),
    ("METIS-302", "own settings", "0000:01:00.0", "root:ai 0640"),
    ("METIS-302", "not in /dev", "0000:01:00.0", ""),
    ("METIS-303", "there", "/dev/axelera0", ""),
    ("METIS-303", "none", "/dev/axelera0", "no link"),
    ("METIS-304", "as wanted", "0000:01:00.0", ""),
    ("METIS-304", "later rule", "0000:01:00.0", "other rule"),
    ("METIS-304", "earlier rule", "0000:01:00.0", ""),
    ("METIS-310", "can", "0000:01:00.0", "group only"),
    ("METIS-310", "cannot", "0000:01:00.0", "refused"),
    ("METIS-310", "error", "0000:01:00.0", ""),
    ("METIS-311", "can", "frigate", "group only"),
    ("METIS-311", "cannot", "frigate", "refused"),
    ("METIS-311", "not tried", "frigate", ""),
    ("METIS-312", "refused", "0000:01:00.0", ""),
    ("METIS-312", "let in", "0000:01:00.0", "open to all"),
    ("METIS-312", "absent", "0000:01:00.0", ""),
    ("METIS-320", "held", "/dev/metis-0-1-0", "busy"),
    ("METIS-320", "held, must not", "/dev/metis-0-1-0", "busy"),
    ("METIS-330", "missing", "", "no DMA heap"),
    ("METIS-331", "can", "frigate", ""),
    ("METIS-331", "member cannot", "member", "DMA heap"),
    ("METIS-331", "try broke", "member", ""),
    ("METIS-340", "refused", "frigate", "render node"),
    ("METIS-401", "answers", "metis-0:1:0", "1.3.2"),
    ("METIS-401", "older tool", "metis-0:1:0", "v1.0.0-a6-15-g9d681b7bcfe9"),
    ("METIS-401", "silent", "", "0 of 1"),
    ("METIS-401", "one of two", "", "1 of 2"),
    ("METIS-401", "listed, but failed", "", "1 of 1"),
    ("METIS-401", "says little", "metis-0:1:0", "answers"),
    ("METIS-401", "held", "", "busy"),
    ("METIS-402", "new enough", "metis-0:1:0", ""),
    ("METIS-402", "too old", "metis-0:1:0", "firmware 1.3.2"),
    ("METIS-402", "unsaid", "metis-0:1:0", ""),
    ("METIS-402", "held", "", "busy"),
    ("METIS-403", "full clock", "metis-0:1:0", ""),
    ("METIS-403", "lowered", "metis-0:1:0", "400 MHz"),
    ("METIS-403", "unsaid", "metis-0:1:0", ""),
    ("METIS-404", "no service", "", "no throttling"),
    ("METIS-405", "cool", "", "46 C"),
    ("METIS-405", "near", "", "95 C"),
    ("METIS-405", "throttles", "", "105 C"),
    ("METIS-405", "held", "", "busy"),
    ("METIS-501", "ran", "", "405.2 FPS"),
    ("METIS-501", "failed", "", "did not run"),
    ("METIS-501", "no frames", "", "no frames"),
    ("METIS-501", "slow", "", "0.5 FPS"),
    ("METIS-501", "held", "", "busy"),
    ("METIS-502", "one wrong byte", "", "wrong answer"),
    ("METIS-502", "not compared", "", "answer unproven"),
    ("METIS-503", "slow", "", "405.2 FPS"),
    ("METIS-504", "other release", "", "model for 1.7.0"),
    ("METIS-505", "came", "0000:01:00.0", ""),
    ("METIS-505", "none came", "0000:01:00.0", "no interrupts"),
    ("METIS-510", "endured", "", "401.5 FPS"),
    ("METIS-510", "broke off", "", "broke off"),
    ("METIS-510", "held", "", "busy"),
    ("METIS-511", "the same", "0000:01:00.0", ""),
    ("METIS-511", "flaps", "0000:01:00.0", "link changed"),
    ("METIS-512", "none", "0000:00:01.0", ""),
    ("METIS-512", "corrected", "0000:00:01.0", "link errors"),
    ("METIS-513", "kept", "metis-0:1:0", ""),
    ("METIS-513", "lowered", "metis-0:1:0", "600 MHz"),
    ("METIS-601", "edited", "", "drift"),
    ("METIS-602", "there", "axelera", ""),
    ("METIS-602", "missing", "axelera", ""),
    ("METIS-603", "member", "frigate", ""),
    ("METIS-603", "not a member", "frigate", ""),
    ("METIS-603", "not on this host", "frigate", ""),
    ("METIS-604", "to be set aside", "/usr/src/metis-1.5.0", "leftovers"),
    ("METIS-610", "in the boot", "axelera-watchdog", ""),
    ("METIS-610", "disabled", "axelera-watchdog", ""),
    ("METIS-611", "runs", "axelera-watchdog", ""),
    ("METIS-611", "stopped", "axelera-watchdog", "service"),
    ("METIS-611", "crashed", "axelera-watchdog", "service"),
    ("METIS-611", "no card", "axelera-watchdog", ""),
    ("METIS-612", "a desktop", "", "may sleep"),
    ("METIS-622", "complete", "6.12.57+deb13-amd64", ""),
    ("METIS-622", "no module", "6.12.57+deb13-amd64", ""),
    ("METIS-622", "unlisted", "6.12.57+deb13-amd64", ""),
    ("METIS-630", "there", "", "1.8.0"),
    ("METIS-630", "none", "", "missing"),
    ("METIS-640", "everywhere", "process 77", "listens"),
    ("METIS-640", "this host alone", "process 77", ""),
    ("METIS-640", "unseen", "process 77", ""),
)


@pytest.mark.parametrize(("code", "name", "subject", "brief"), TOLD)
def test_a_finding_in_a_table(code, name, subject, brief):
    case = BY_NAME[code, name]
    said = [finding for finding in findings(case) if finding.answer is case.answer]
    assert (said[0].subject, said[0].brief) == (subject, brief)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("METIS-012", "unread"),
        ("METIS-231", "perhaps"),
        ("METIS-233", "unread"),
        ("METIS-234", "unread"),
        ("METIS-235", "not looked"),
        ("METIS-405", "not told"),
        ("METIS-502", "not compared"),
        ("METIS-505", "not counted"),
        ("METIS-512", "not counted"),
    ],
)
def test_what_a_host_may_be_silent_about_leaves_it_proven(code, name):
    assert [(finding.answer, finding.required) for finding in findings(BY_NAME[code, name])] == [
        (Answer.UNKNOWN, False)
    ]


@pytest.mark.parametrize(("code", "name"), [("METIS-401", "hangs"), ("METIS-501", "hangs"), ("METIS-510", "hangs")])
def test_a_card_that_hangs_is_to_be_power_cycled(code, name):
    assert [finding.power_cycle for finding in findings(BY_NAME[code, name])] == [True]


def test_four_changes_of_a_link_are_told_and_the_clock_of_a_card_that_went_silent_is_not():
    flapping = tuple(LinkSeen(second, CARD, 8.0, 4 - second % 2) for second in range(7))
    line = "Device {}: metis-0:{}:0 1GiB m2 clock=800MHz"
    clocks = {"before": (line.format(0, 1), line.format(1, 2)), "after": (line.format(0, 1),)}
    seen = evaluate("h", replace(LONG, survey=replace(LONG.survey, load=replace(LOAD, links=flapping, clocks=clocks))))
    (link,) = (finding for finding in seen.findings if finding.code == "METIS-511")
    assert link.seen.count("after") == 4
    assert [finding.subject for finding in seen.findings if finding.code == "METIS-513"] == ["metis-0:1:0"]


def test_an_answer_about_the_whole_host_stands_alone():
    """A pass beside a failure of the same check would say two things of one host."""
    for case in CASES:
        found = findings(case)
        if any(not finding.subject and finding.answer in {Answer.PASS, Answer.SKIP} for finding in found):
            assert len(found) == 1, (case.code, case.name, found)


def test_a_card_that_answers_is_not_named_as_found_instead():
    case = BY_NAME["METIS-101", "one of two"]
    assert not any("found instead" in finding.seen for finding in findings(case))


def test_a_bus_that_says_nothing_is_to_be_looked_at_by_hand():
    (unread,) = findings(BY_NAME["METIS-120", "no limit known"])
    assert unread.next_step.startswith(
        "Look at current_link_speed and max_link_speed below /sys/bus/pci/devices/<address> "
    )


def test_the_slowest_link_of_each_card():
    two = evidence(
        pci=(
            port(),
            card(current_width=1),
            port(SECOND_PORT),
            card(SECOND_CARD, path=(SECOND_PORT,), current_speed=2.5, current_width=2),
        ),
        asked=settings(cards=2),
    )
    assert list(links(two)) == [Link(CARD, 8.0, 1, 8.0, 4), Link(SECOND_CARD, 2.5, 2, 8.0, 4)]


def test_the_slowest_link_behind_a_switch():
    assert list(links(evidence(pci=behind_switch(uplink=2.5, downlink=8.0)))) == [Link(CARD, 2.5, 1, 8.0, 1)]
    assert list(links(evidence(pci=behind_switch(uplink=8.0, downlink=5.0)))) == [Link(CARD, 5.0, 1, 8.0, 1)]


def test_the_slowest_link_is_the_one_that_carries_least():
    root, up, down, end = behind_switch(uplink=2.5, downlink=8.0)
    wide_and_slow = (replace(root, max_width=4), replace(up, current_width=4, max_width=4), down, end)
    assert [(link.speed, link.width) for link in links(evidence(pci=wide_and_slow))] == [(8.0, 1)]


def test_a_carrier_limits_a_link():
    narrow = evidence(asked=settings(carrier="exaviz-cruiser"))
    assert [(link.allowed_speed, link.allowed_width) for link in links(narrow)] == [(8.0, 1)]


def test_a_guest_shows_what_its_card_says():
    assert list(links(evidence(pci=(card(path=()),)))) == [Link(CARD, 8.0, 4, 8.0, 4)]


@pytest.mark.parametrize(
    "pci",
    [
        None,
        (port(),),
        (card(path=(PORT,)),),
        (port(current_speed=None), card(current_speed=None)),
        (card(path=(), max_speed=None),),
    ],
)
def test_a_link_that_cannot_be_read_is_left_out(pci):
    assert list(links(evidence(pci=pci))) == []
    assert evaluate("h", evidence(pci=pci)).links == ()


def test_a_link_that_cannot_be_read_leaves_the_others():
    half = evidence(pci=(port(), card(SECOND_CARD, path=(SECOND_PORT,)), card()), asked=settings(cards=2))
    assert list(links(half)) == [Link(CARD, 8.0, 4, 8.0, 4)]


def test_links_of_an_unknown_carrier_are_left_out():
    assert list(links(evidence(asked=settings(carrier="nowhere")))) == []


@pytest.mark.parametrize(
    ("code", "name", "asked"),
    [
        ("METIS-103", "instead of the card", True),
        ("METIS-104", "gone", True),
        ("METIS-401", "silent", True),
        ("METIS-401", "no tool", False),
        ("METIS-101", "empty slot", False),
        ("METIS-103", "beside the card", False),
    ],
)
def test_taking_the_power_away(code, name, asked):
    case = BY_NAME[code, name]
    assert {f.power_cycle for f in findings(case) if f.answer is case.answer} == {asked}


@pytest.mark.parametrize("code", ["METIS-401", "METIS-501"])
def test_a_tool_that_does_not_end_asks_for_the_power(code):
    cut_off = [case for case in CASES if case.code == code and "end in time" in case.words]
    assert cut_off
    for case in cut_off:
        assert {f.power_cycle for f in findings(case) if f.answer is Answer.UNKNOWN} == {True}
