"""Faults: each seen from outside while on, gone when off; the table itself; combinations."""

import struct

import pytest
from fake_host import FakeHost

from metis_provision.lab.card import config_space, registers
from metis_provision.lab.card.device import REGION_BAR0, REGION_BAR2, REGION_CONFIG
from metis_provision.lab.card.faults import FAULTS, HEALTHY, behaviour_under
from metis_provision.lab.card.registers import Bar0, Opcode, State, Status


@pytest.fixture
def loaded(host):
    host.poke(0x1000, bytes(range(64)))
    assert host.run(Opcode.LOAD_WEIGHTS, rows=8, cols=8) == Status.OK
    host.poke(0x1000, bytes(range(8)))
    return host


def product(host):
    assert host.run(Opcode.MULTIPLY, rows=8, cols=8) == Status.OK
    return host.peek(0x80000, 32)


def test_the_first_faults_are_in_the_table():
    assert list(FAULTS) == ["narrow-link", "wrong-answer", "no-firmware", "silent", "hang"]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_every_fault_says_what_it_is_and_changes_something(fault):
    assert fault.description.endswith(".")
    assert fault.visible.endswith(".")
    assert behaviour_under({fault.name}) == fault.behaviour != HEALTHY


def test_faults_combine():
    both = behaviour_under({"narrow-link", "hang"})
    assert (both.link_width, both.finishes, both.answers) == (1, False, True)
    assert behaviour_under(()) == HEALTHY
    with pytest.raises(KeyError, match="meltdown"):
        behaviour_under({"hang", "meltdown"})


def test_narrow_link(host):
    host.card.set_fault("narrow-link", on=True)
    assert host.config(config_space.LNKSTA, "<H") == 0x0013
    assert host.config(config_space.LNKCAP, "<I") & 0x3FF == 0x043
    host.card.reset()
    assert host.config(config_space.LNKSTA, "<H") == 0x0013
    host.card.set_fault("narrow-link", on=False)
    assert host.config(config_space.LNKSTA, "<H") == 0x0043


def test_wrong_answer_is_wrong_in_one_byte(loaded):
    right = product(loaded)
    loaded.card.set_fault("wrong-answer", on=True)
    wrong = product(loaded)
    assert sum(a != b for a, b in zip(right, wrong, strict=True)) == 1
    loaded.card.set_fault("wrong-answer", on=False)
    assert product(loaded) == right


def test_no_firmware(loaded):
    loaded.card.set_fault("no-firmware", on=True)
    assert loaded.read(REGION_BAR2, 0, registers.SHARED_SIZE) == bytes(registers.SHARED_SIZE)
    assert loaded.read(REGION_BAR2, registers.SHARED_SIZE - 2, 4) == bytes(4)
    assert loaded.register(Bar0.MAGIC) == 0
    assert loaded.read(REGION_BAR2, registers.WEIGHTS, 4) == b"\0\1\2\3"
    assert loaded.run(Opcode.MULTIPLY, rows=8, cols=8) is None
    loaded.card.set_fault("no-firmware", on=False)
    assert loaded.read(REGION_BAR2, registers.SHARED_VMSI, 2) == b"\xb5\xb5"
    product(loaded)


def test_silent(loaded):
    loaded.card.set_fault("silent", on=True)
    assert loaded.read(REGION_BAR0, Bar0.MAGIC, 4) == b"\xff" * 4
    assert loaded.read(REGION_BAR2, 0x2B8, 24) == b"\xff" * 24
    loaded.write(REGION_BAR2, registers.SHARED_HOST_DRIVER, bytes(24))
    assert loaded.run(Opcode.MULTIPLY, rows=8, cols=8) is None
    assert loaded.config(0, "<H") == 0x1F9D
    loaded.card.set_fault("silent", on=False)
    assert loaded.read(REGION_BAR2, registers.SHARED_HOST_DRIVER, 2) == b"\xc1\xba"
    product(loaded)


def test_hang_until_the_driver_gives_up(loaded):
    loaded.card.set_fault("hang", on=True)
    before = loaded.interrupts()
    assert loaded.run(Opcode.MULTIPLY, rows=8, cols=8) is None
    assert before == [1]
    assert loaded.interrupts() == [0]
    assert loaded.register(Bar0.STATE) == State.BUSY
    loaded.card.set_fault("hang", on=False)
    assert loaded.run(Opcode.MULTIPLY, rows=8, cols=8) is None, "a busy card takes no second job"
    loaded.write(REGION_BAR0, Bar0.ABORT, struct.pack("<I", 1))
    assert loaded.register(Bar0.STATE) == State.IDLE
    product(loaded)


def test_a_reset_ends_a_hang(loaded):
    loaded.card.set_fault("hang", on=True)
    assert loaded.run(Opcode.MULTIPLY, rows=8, cols=8) is None
    loaded.card.reset()
    assert loaded.register(Bar0.STATE) == State.IDLE


def test_healthy_hosts_of_both_boards_show_no_fault():
    for profile in ("m2", "pcie"):
        host = FakeHost(profile).bring_up()
        assert host.card.faults == frozenset()
        assert host.config(config_space.LNKSTA, "<H") == host.config(config_space.LNKCAP, "<I") & 0x3FF
        host.close()


def test_configuration_space_answers_under_every_fault(host):
    for name in FAULTS:
        host.card.set_fault(name, on=True)
        assert host.read(REGION_CONFIG, 0, 4) == struct.pack("<HH", 0x1F9D, 0x1100)
