"""Topologies: which cards are where, what QEMU is told of them, and what cannot be laid out."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from metis_provision.lab import lifecycle
from metis_provision.lab.card.profiles import PROFILES
from metis_provision.lab.cli import lab
from metis_provision.lab.inventory import host_data
from metis_provision.lab.pcie import bus_devices, card_device
from metis_provision.lab.topology import DEFAULT_CARD, ONE_CARD, Board, Layout, Topology, lay_out
from metis_provision.model.errors import UserError


def devices(topology):
    return bus_devices(topology, {slot: Path(f"/s/{slot}.sock") for slot in topology.cards})


def by_driver(topology, driver):
    return [device for device in devices(topology) if device["driver"] == driver]


def links(found):
    return [(device["x-speed"], device["x-width"]) for device in found]


def test_one_card_sits_in_a_gen3_x4_root_port():
    port, card = devices(ONE_CARD)
    assert (port["driver"], *links([port])) == ("pcie-root-port", ("8", "4"))
    assert (card["driver"], card["bus"]) == ("vfio-user-pci", port["id"])
    assert card["socket"] == {"type": "unix", "path": "/s/slot0.sock"}


def test_a_port_keeps_room_for_both_windows_of_a_late_card():
    (port,) = by_driver(lay_out(Layout.PLAIN, None), "pcie-root-port")
    assert port["mem-reserve"] >= 2 * 0x2000000
    (port,) = by_driver(lay_out(Layout.QUAD, None), "pcie-root-port")
    assert port["mem-reserve"] >= 4 * 2 * 0x2000000


def test_an_empty_slot_has_a_port_and_no_card():
    topology = lay_out(Layout.PLAIN, None, 2)
    assert list(topology.slots) == ["slot0", "slot1"]
    assert topology.cards == {}
    assert {device["driver"] for device in devices(topology)} == {"pcie-root-port"}


def test_two_cards_have_a_port_each():
    topology = lay_out(Layout.PLAIN, "pcie", 2)
    assert topology.cards == {"slot0": "pcie", "slot1": "pcie"}
    ports = by_driver(topology, "pcie-root-port")
    assert [card["bus"] for card in by_driver(topology, "vfio-user-pci")] == [port["id"] for port in ports]


def test_a_quad_board_has_a_switch_that_slows_nobody_down():
    topology = lay_out(Layout.QUAD, DEFAULT_CARD)
    (port,) = by_driver(topology, "pcie-root-port")
    (upstream,) = by_driver(topology, "cxl-upstream")
    downstream = by_driver(topology, "cxl-downstream")
    assert links([port, upstream]) == [("8", "16")] * 2
    assert links(downstream) == [("8", "4")] * 4
    assert upstream["bus"] == port["id"]
    assert {device["bus"] for device in downstream} == {upstream["id"]}
    assert [card["bus"] for card in by_driver(topology, "vfio-user-pci")] == [device["id"] for device in downstream]


def test_a_slow_bridge_can_do_less_than_the_card_and_the_port():
    topology = lay_out(Layout.SLOW_BRIDGE, DEFAULT_CARD)
    (board,) = topology.ports
    assert isinstance(board, Board)
    card = PROFILES[DEFAULT_CARD]
    for link in (board.upstream, board.slots[0].link):
        assert link.generation < min(card.link_speed, board.root.generation)
        assert link.lanes < min(card.link_width, board.root.lanes)


@pytest.mark.parametrize("layout", list(Layout))
def test_nothing_is_called_the_same_twice(layout):
    topology = Topology(ports=lay_out(layout, DEFAULT_CARD).ports * 3)
    found = devices(topology)
    assert set(Counter(device["id"] for device in found).values()) == {1}
    places = Counter((device["chassis"], device["slot"]) for device in found if "chassis" in device)
    assert set(places.values()) == {1}


def test_a_card_goes_back_into_its_own_slot():
    topology = Topology(ports=(*lay_out(Layout.PLAIN, "m2").ports, *lay_out(Layout.QUAD, "m2").ports))
    buses = {slot: card_device(topology, slot, Path("/s"))["bus"] for slot in topology.cards}
    assert buses == {"slot0": "rp0", **{f"slot{number + 1}": f"dn1-{number}" for number in range(4)}}


@pytest.mark.parametrize(("layout", "count"), [(Layout.QUAD, 2), (Layout.SLOW_BRIDGE, 2), (Layout.PLAIN, 9)])
def test_what_cannot_be_laid_out(layout, count):
    with pytest.raises(UserError, match=str(count)):
        lay_out(layout, DEFAULT_CARD, count)


def test_a_topology_survives_the_state_file():
    topology = Topology(ports=(*ONE_CARD.ports, *lay_out(Layout.QUAD, None).ports))
    assert Topology.model_validate_json(topology.model_dump_json()) == topology


def test_list_shows_each_card_and_the_inventory_expects_it(make_machine):
    machine = make_machine(topology=lay_out(Layout.PLAIN, "m2", 2))
    (row,) = json.loads(CliRunner().invoke(lab, ["list", "--json"]).stdout)
    assert [(card["slot"], card["profile"]) for card in row["cards"]] == [("slot0", "m2"), ("slot1", "m2")]
    assert row["cards"][1]["control"] == str(machine.card("slot1").control)
    assert "slot1: m2" in CliRunner().invoke(lab, ["list"]).stdout
    assert host_data(machine)["metis_cards"] == 2


def test_a_machine_without_a_card_is_one_that_misses_it(make_machine):
    assert host_data(make_machine(topology=lay_out(Layout.PLAIN, None)))["metis_cards"] == 1


def test_impossible_wishes_start_nothing(monkeypatch):
    monkeypatch.setattr(lifecycle, "missing_requirements", list)
    result = CliRunner().invoke(lab, ["up", "--topology", "quad", "--cards", "2"])
    assert isinstance(result.exception, UserError)
    assert "quad has 4 of the cards, not 2" in str(result.exception)
