"""The provisioned disk in other boxes: two cards, one behind a slow bridge; four on one board; an NPU beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from guest import (
    changed_nothing,
    deploy,
    fault,
    findings,
    held,
    owner_and_mode,
    put,
    reported,
    said,
    shell,
    wait_for,
)

from metis_provision.lab.lifecycle import rewire
from metis_provision.lab.machine import Machine
from metis_provision.lab.qmp import Qmp
from metis_provision.lab.topology import DEFAULT_CARD, ONE_CARD, Layout, Slot, Topology, lay_out

CARDS = {"axelera0": "0000:01:00.0", "axelera1": "0000:04:00.0"}
NODES = {"axelera0": "/dev/metis-0-1-0", "axelera1": "/dev/metis-0-4-0"}
SLOW_CARD = "slot1"
FREE_PORT = "rp2"
TWO_CARDS = Topology(
    ports=(
        *ONE_CARD.ports,
        *lay_out(Layout.SLOW_BRIDGE, DEFAULT_CARD).ports,
        *(Slot(link=port.link, card=None) for port in ONE_CARD.ports if isinstance(port, Slot)),
    )
)


@pytest.fixture(scope="module")
def disk(provisioned: Machine) -> Iterator[Machine]:
    """The shared machine, to be taken apart; afterwards it is as it was."""
    yield provisioned
    deploy(rewire(provisioned, ONE_CARD))


@pytest.fixture(scope="module")
def two(disk: Machine) -> Machine:
    machine = rewire(disk, TWO_CARDS)
    deploy(machine)
    return machine


def links(machine: Machine) -> dict[str, str]:
    """Where each of the stable names leads."""
    return {name: said(machine, "readlink", "-f", f"/dev/{name}") for name in NODES}


def passes(machine: Machine, code: str) -> list[str]:
    """What the passes of one check saw."""
    _, host = reported(machine, "verify")
    return [f["seen"] for f in host["findings"] if (f["code"], f["answer"]) == (code, "pass")]


def test_two_cards_have_links_in_the_order_of_their_places(two: Machine) -> None:
    assert len(said(two, "lspci", "-n", "-d", "1f9d:1100").splitlines()) == 2
    assert links(two) == NODES
    for name, node in NODES.items():
        assert owner_and_mode(two, node) == "root:axelera 660"
        assert said(two, "readlink", "-f", f"/dev/axelera/by-path/pci-{CARDS[name]}") == node
    assert said(two, "ls", "/dev/axelera/by-path").split() == [f"pci-{bdf}" for bdf in CARDS.values()]


def test_two_cards_are_green_and_left_alone(two: Machine) -> None:
    assert findings(two) == (0, {})
    assert changed_nothing(deploy(two))


@pytest.mark.full
def test_the_order_outlives_a_boot(two: Machine) -> None:
    two.reboot()
    wait_for(lambda: said(two, "sh", "-c", "ls /dev/axelera[0-9]*", check=False) == "/dev/axelera0\n/dev/axelera1")
    assert links(two) == NODES


def test_one_card_of_two_is_missed_and_the_other_one_left_to_its_holder(two: Machine) -> None:
    with held(two) as process:
        two.unplug_card(SLOW_CARD)
        status, found = findings(two)
        assert status == 1
        assert found["METIS-101"]["answer"] == "fail"
        assert "1 card" in found["METIS-101"]["seen"]
        assert CARDS["axelera0"] in found["METIS-101"]["seen"]
        assert "2" in found["METIS-101"]["seen"]
        assert said(two, "readlink", "-f", "/dev/axelera0") == NODES["axelera0"]
        two.plug_card(SLOW_CARD)
        wait_for(lambda: said(two, "readlink", "/dev/axelera1", check=False) != "", "the second card")
        assert said(two, "cat", f"/proc/{process}/comm") == "sleep"
    assert links(two) == NODES
    assert owner_and_mode(two, NODES["axelera1"]) == "root:axelera 660"
    assert findings(two) == (0, {})


@pytest.mark.full
def test_a_card_that_comes_late_finds_room_and_its_number(two: Machine) -> None:
    two.unplug_card()
    two.reboot()
    wait_for(lambda: said(two, "readlink", "-f", "/dev/axelera0") == NODES["axelera1"], "the other card, counted alone")
    two.plug_card()
    wait_for(lambda: links(two) == NODES, "both cards in the order of their places")
    assert {owner_and_mode(two, node) for node in NODES.values()} == {"root:axelera 660"}
    assert findings(two) == (0, {})


def test_a_fault_of_one_card_is_told_of_that_card(two: Machine) -> None:
    with fault(two, "wrong-answer", SLOW_CARD):
        status, found = findings(two)
    assert status == 1
    (finding,) = (finding for finding in found.values() if finding["answer"] == "fail")
    assert finding["area"] == "self-test"


def test_a_card_behind_a_slow_bridge_is_measured_by_the_bridge(two: Machine) -> None:
    shown = said(two, "lspci", "-vv", "-s", CARDS["axelera1"])
    assert "Speed 5GT/s (downgraded), Width x2 (downgraded)" in shown
    assert findings(two) == (0, {})
    (seen,) = (seen for seen in passes(two, "METIS-120") if seen.startswith(CARDS["axelera1"]))
    assert "runs at 5 GT/s x2" in seen
    assert "0000:02:00.0 up to 5 GT/s x2" in seen
    assert f"{CARDS['axelera1']} up to 8 GT/s x4" in seen


def test_a_link_narrower_than_the_slow_bridge_is_named_by_its_hop(two: Machine) -> None:
    with fault(two, "narrow-link", SLOW_CARD):
        status, found = findings(two)
    assert status == 0
    assert list(found) == ["METIS-120"]
    assert found["METIS-120"]["answer"] == "warn"
    assert f"0000:03:00.0 to {CARDS['axelera1']}" in found["METIS-120"]["seen"]
    assert "5 GT/s x1" in found["METIS-120"]["seen"]


NPU = "/dev/accel/accel0"
EVENTS = "/run/npu-events"
WATCH = f"""
SUBSYSTEM=="accel|metis", RUN+="/bin/sh -c 'echo $env{{SUBSYSTEM}} $env{{ACTION}} >>{EVENTS}'"
"""


@pytest.fixture
def npu(two: Machine) -> Iterator[Machine]:
    """An accelerator of another vendor beside the cards, its driver built in the guest; udev's events are noted."""
    with Qmp(two.qmp) as qemu:
        qemu.execute("device_add", {"driver": "edu", "id": "edu", "bus": FREE_PORT})
    wait_for(lambda: said(two, "lspci", "-n", "-d", "1234:11e8") != "", "QEMU's edu device")
    put(two, "/root/npu/npu.c", (Path(__file__).parent / "npu.c").read_text())
    put(two, "/root/npu/Kbuild", "obj-m := npu.o\n")
    two.run("sh", "-c", "make -C /lib/modules/$(uname -r)/build M=/root/npu modules", timeout=600)
    put(two, "/etc/udev/rules.d/98-watch.rules", WATCH)
    two.run("udevadm", "control", "--reload")
    yield two
    shell(two, f"rmmod npu; rm -rf /root/npu /etc/udev/rules.d/98-watch.rules {EVENTS}; udevadm control --reload")
    with Qmp(two.qmp) as qemu:
        qemu.execute("device_del", {"id": "edu"})
        qemu.wait_event("DEVICE_DELETED", device="edu")


def arrives(machine: Machine) -> str:
    """Owner and mode of the NPU's node when udev has met it."""
    shell(machine, "rmmod npu")
    machine.run("insmod", "/root/npu/npu.ko")
    machine.run("udevadm", "settle")
    return owner_and_mode(machine, NPU)


def test_an_accelerator_that_is_no_metis_is_nobodys_business(npu: Machine) -> None:
    npu.run("sh", "-c", "rm /etc/udev/rules.d/99-axelera*.rules && udevadm control --reload")
    before = arrives(npu)
    npu.run("sh", "-c", f"chmod 0604 {NPU}; chmod 0666 {NODES['axelera0']}; : >{EVENTS}")
    deploy(npu)
    npu.run("udevadm", "settle")
    # The deploy had udev look at our nodes, and at nothing else of the class.
    assert set(said(npu, "cat", EVENTS).splitlines()) == {"metis change"}
    assert owner_and_mode(npu, NODES["axelera0"]) == "root:axelera 660"
    assert owner_and_mode(npu, NPU) == f"{before.split()[0]} 604"
    # What was noted would have been noted of the other device, too.
    npu.run("sh", "-c", "udevadm trigger -c change -s accel && udevadm settle")
    assert "accel change" in said(npu, "cat", EVENTS)
    assert arrives(npu) == before
    assert links(npu) == NODES
    assert findings(npu) == (0, {})


@pytest.fixture(scope="module")
def quad(disk: Machine) -> Machine:
    return rewire(disk, lay_out(Layout.QUAD, DEFAULT_CARD))


QUAD = [f"/dev/metis-0-{bus}-0" for bus in range(3, 7)]


def test_a_board_of_four_behind_a_switch(quad: Machine) -> None:
    wait_for(lambda: said(quad, "readlink", "/dev/axelera3", check=False) != "", "the fourth card")
    cards = said(quad, "lspci", "-n", "-d", "1f9d:1100").splitlines()
    assert [line.split()[0] for line in cards] == ["03:00.0", "04:00.0", "05:00.0", "06:00.0"]
    assert [said(quad, "readlink", "-f", f"/dev/axelera{number}") for number in range(4)] == QUAD
    assert {owner_and_mode(quad, node) for node in QUAD} == {"root:axelera 660"}
    assert findings(quad) == (0, {})
    assert changed_nothing(deploy(quad))
