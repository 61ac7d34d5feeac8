"""Configuration space: what a host reads, what it may write, and what stays as it is."""

import struct

import pytest

from metis_provision.catalog.contract import contract
from metis_provision.lab.card import config_space as cs
from metis_provision.lab.card.device import REGION_SIZES, bar_sizes


@pytest.fixture
def space():
    return cs.ConfigSpace(cs.Identity(), bar_sizes(REGION_SIZES), link_width=4, link_speed=3, msi_vectors=32)


def word(space, offset):
    return struct.unpack("<H", space.read(offset, 2))[0]


def dword(space, offset):
    return struct.unpack("<I", space.read(offset, 4))[0]


def test_identity_is_the_contracts(space):
    card = next(entry for entry in contract().ids if entry.kind == "metis")
    assert (word(space, 0), word(space, 2)) == (card.vendor, card.device)
    assert (word(space, 0x2C), word(space, 0x2E)) == (card.vendor, card.device)
    assert dword(space, 8) == contract().class_code.value << 8 | contract().card.revision.value


def test_bar_sizes_are_the_contracts(space):
    for index, size in enumerate(bar_sizes(REGION_SIZES)):
        space.write(cs.BARS + 4 * index, b"\xff" * 4)
        mask = dword(space, cs.BARS + 4 * index)
        assert (-mask & 0xFFFFFFFF) == size
    assert bar_sizes(REGION_SIZES)[0] == contract().card.bar0_size.value
    assert bar_sizes(REGION_SIZES)[2] == contract().card.bar2_size.value


def test_a_bar_keeps_its_address(space):
    space.write(cs.BARS + 8, struct.pack("<I", 0xE2345678))
    assert dword(space, cs.BARS + 8) == 0xE2000000


def test_capabilities_form_a_list(space):
    place, found = space.read(cs.CAPABILITIES, 1)[0], []
    while place:
        identity, following = space.read(place, 2)
        found.append(identity)
        place = following
    assert found == [cs.EXPRESS_ID, cs.MSI_ID]
    assert word(space, cs.STATUS) & cs.STATUS_CAPABILITY_LIST
    assert dword(space, cs.AER) == 0x00020001  # AER, version 2, last in its list


def test_link_is_that_of_the_contract(space):
    facts = contract().card
    for offset in (cs.LNKCAP, cs.LNKSTA):
        assert word(space, offset) & 0xF == 3 == {8: 3}[facts.link_speed_gts.value]
        assert word(space, offset) >> 4 & 0x3F == facts.link_width.value


def test_a_narrow_link_is_seen_in_the_status_alone(space):
    space.train_link(1, 3)
    assert (space.link_width, space.link_speed) == (1, 3)
    assert word(space, cs.LNKCAP) >> 4 & 0x3F == 4


def test_msi_offers_32_vectors_and_takes_what_is_granted(space):
    assert 1 << (word(space, cs.MSI_CONTROL) >> 1 & 7) == contract().card.msi_vectors.value
    assert not space.msi_enabled
    space.write(cs.MSI_CONTROL, struct.pack("<H", cs.MSI_ENABLE | 3 << cs.MSI_GRANTED_SHIFT))
    assert space.msi_enabled
    assert space.msi_granted == 8
    assert 1 << (word(space, cs.MSI_CONTROL) >> 1 & 7) == 32


@pytest.mark.parametrize(
    "offset",
    [
        0x00,
        0x02,
        0x08,
        0x09,
        0x2C,
        cs.CAPABILITIES,
        cs.INTERRUPT_PIN,
        cs.EXPRESS,
        cs.DEVCAP,
        cs.LNKCAP,
        cs.LNKSTA,
        cs.AER,
    ],
)
def test_what_is_read_only_stays(space, offset):
    before = space.read(offset, 1)
    space.write(offset, bytes([before[0] ^ 0xFF]))
    assert space.read(offset, 1) == before


@pytest.mark.parametrize(
    ("offset", "written", "read"),
    [
        (cs.COMMAND, 0xFFFF, cs.COMMAND_WRITABLE),
        (cs.DEVCTL, 0xFFFF, cs.DEVCTL_WRITABLE),
        (cs.DEVCTL, 0x2050, 0x2050),
        (cs.LNKCTL, 0x0043, 0x0043),
        (cs.AER_UNCORRECTABLE_MASK, 0xFFFF, cs.AER_UNCORRECTABLE_BITS & 0xFFFF),
    ],
)
def test_what_is_writable_takes_it(space, offset, written, read):
    space.write(offset, struct.pack("<H", written))
    assert word(space, offset) == read


def test_partial_writes_touch_their_bytes_alone(space):
    space.write(cs.COMMAND + 1, b"\x04")
    assert word(space, cs.COMMAND) == 0x0400
    space.write(cs.COMMAND, b"\x06")
    assert word(space, cs.COMMAND) == 0x0406
    assert space.bus_master
    space.write(cs.COMMAND, struct.pack("<I", 0xFFFF0002))
    assert word(space, cs.COMMAND) == 0x0002
    assert word(space, cs.STATUS) == cs.STATUS_CAPABILITY_LIST


def test_status_bits_are_cleared_by_ones(space):
    assert space._clearable[cs.STATUS + 1] == 0xF9
    space._data[cs.STATUS + 1] = 0xA0
    space.write(cs.STATUS + 1, b"\x80")
    assert space.read(cs.STATUS + 1, 1) == b"\x20"


def test_reset_forgets_what_the_host_wrote(space):
    before = space.read(0, cs.CONFIG_SIZE)
    for offset in range(0, cs.CONFIG_SIZE, 4):
        space.write(offset, b"\xff" * 4)
    assert space.read(0, cs.CONFIG_SIZE) != before
    space.reset()
    assert space.read(0, cs.CONFIG_SIZE) == before
