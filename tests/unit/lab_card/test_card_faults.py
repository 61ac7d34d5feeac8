"""Faults of the card: each seen by a host while it is on, gone when it is off; combinations; what survives a reset."""

import struct

import pytest
from fake_host import FakeHost

from metis_provision.lab.card import config_space, registers
from metis_provision.lab.card.behaviour import HEALTHY
from metis_provision.lab.card.device import REGION_BAR0, REGION_BAR2, REGION_CONFIG, AccessError
from metis_provision.lab.card.faults import BEHAVIOURS, behaviour_under
from metis_provision.lab.card.protocol import Command
from metis_provision.lab.card.registers import Bar0, Opcode, State, Status

NOBODY = b"\xff" * 4


@pytest.fixture
def loaded(host):
    load(host)
    return host


def load(host):
    host.poke(0x1000, bytes(range(64)))
    assert host.run(Opcode.LOAD_WEIGHTS, rows=8, cols=8) == Status.OK
    host.poke(0x1000, bytes(range(8)))


def product(host):
    assert host.run(Opcode.MULTIPLY, rows=8, cols=8) == Status.OK
    return host.peek(0x80000, 32)


def link(host):
    """Generation and lanes in LnkSta."""
    value = host.config(config_space.LNKSTA, "<H")
    return value & 0xF, value >> 4 & 0x3F


def rescan(host):
    """What a kernel does that removes the card and finds it again: size its windows, then let the driver take it."""
    host.write(REGION_CONFIG, config_space.COMMAND, struct.pack("<H", 0))
    host.write(REGION_CONFIG, config_space.BARS, NOBODY)
    host.write(REGION_CONFIG, config_space.COMMAND, struct.pack("<H", 0x6))


def test_every_fault_changes_something_and_configuration_space_is_whole_without_one(host):
    before = host.read(REGION_CONFIG, 0, 0x100)
    for name, behaviour in BEHAVIOURS.items():
        assert behaviour_under({name}) == behaviour != HEALTHY
        host.card.set_fault(name, on=True)
        host.card.set_fault(name, on=False)
        host.write(REGION_CONFIG, config_space.COMMAND, struct.pack("<H", 0x6))
        assert host.read(REGION_CONFIG, 0, 0x100) == before, name


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


def test_slow_link(host):
    host.card.set_fault("slow-link", on=True)
    assert link(host) == (1, 4)
    host.card.set_fault("slow-link", on=False)
    assert link(host) == (3, 4)


def test_flapping_link_changes_with_every_look(host):
    host.card.set_fault("flapping-link", on=True)
    assert [link(host) for _ in range(4)] == [(3, 4), (1, 1), (3, 4), (1, 1)]
    host.config(config_space.LNKCAP, "<I")
    assert link(host) == (3, 4), "a look at something else changes nothing"
    host.card.set_fault("flapping-link", on=False)
    assert {link(host) for _ in range(4)} == {(3, 4)}


def test_wrong_answer_is_wrong_in_one_byte(loaded):
    right = product(loaded)
    loaded.card.set_fault("wrong-answer", on=True)
    wrong = product(loaded)
    assert sum(a != b for a, b in zip(right, wrong, strict=True)) == 1
    loaded.card.set_fault("wrong-answer", on=False)
    assert product(loaded) == right


def test_slow_takes_its_time_for_products_only(loaded):
    assert sum(loaded.slept) == 0
    loaded.card.set_fault("slow", on=True)
    product(loaded)
    assert sum(loaded.slept) == 0.5
    load(loaded)
    assert sum(loaded.slept) == 0.5
    loaded.card.set_fault("slow", on=False)
    product(loaded)
    assert sum(loaded.slept) == 0.5


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


def test_old_firmware(host):
    host.card.set_fault("old-firmware", on=True)
    assert host.register(Bar0.FIRMWARE) == 0x010100
    host.card.set_fault("old-firmware", on=False)
    assert host.register(Bar0.FIRMWARE) == 0x010302


def test_silent(loaded):
    loaded.card.set_fault("silent", on=True)
    assert loaded.read(REGION_BAR0, Bar0.MAGIC, 4) == NOBODY
    assert loaded.read(REGION_BAR2, 0x2B8, 24) == b"\xff" * 24
    loaded.write(REGION_BAR2, registers.SHARED_HOST_DRIVER, bytes(24))
    assert loaded.run(Opcode.MULTIPLY, rows=8, cols=8) is None
    assert loaded.config(0, "<H") == 0x1F9D
    loaded.card.set_fault("silent", on=False)
    assert loaded.read(REGION_BAR2, registers.SHARED_HOST_DRIVER, 2) == b"\xc1\xba"
    product(loaded)


@pytest.mark.parametrize(("name", "rescans"), [("ff-until-rescan", 1), ("late-answer", 3)])
def test_a_card_met_too_early_answers_after_so_many_rescans(host, name, rescans):
    host.card.set_fault(name, on=True)
    for _ in range(rescans):
        assert host.read(REGION_BAR0, Bar0.MAGIC, 4) == NOBODY
        assert host.config(0, "<H") == 0x1F9D
        rescan(host)
    assert host.register(Bar0.MAGIC) == registers.BLOCK_MAGIC
    assert host.card.faults == {name}, "the host's rescan heals it, not the switch"
    host.ask(Command.RESET)
    assert host.read(REGION_BAR0, Bar0.MAGIC, 4) == NOBODY, "every boot meets it too early"


def test_counting_the_bus_before_a_driver_had_the_card_is_no_rescan(host):
    host.card.set_fault("ff-until-rescan", on=True)
    host.ask(Command.RESET)
    for _ in range(3):
        host.write(REGION_CONFIG, config_space.BARS, NOBODY)
    assert host.read(REGION_BAR0, Bar0.MAGIC, 4) == NOBODY
    rescan(host)
    assert host.read(REGION_BAR0, Bar0.MAGIC, 4) == NOBODY, "the driver has only just taken it"
    rescan(host)
    assert host.register(Bar0.MAGIC) == registers.BLOCK_MAGIC


def test_another_fault_does_not_make_it_deaf_again(host):
    host.card.set_fault("ff-until-rescan", on=True)
    rescan(host)
    host.card.set_fault("narrow-link", on=True)
    assert host.register(Bar0.MAGIC) == registers.BLOCK_MAGIC


@pytest.mark.parametrize("name", ["hot-removal", "late-arrival"])
def test_a_card_that_is_not_there_answers_nothing_and_comes_back_in_reset(loaded, name):
    loaded.card.set_fault(name, on=True)
    assert loaded.read(REGION_CONFIG, 0, 4) == NOBODY
    assert loaded.read(REGION_BAR0, Bar0.MAGIC, 4) == NOBODY
    loaded.write(REGION_CONFIG, config_space.COMMAND, struct.pack("<H", 0x6))
    assert loaded.run(Opcode.MULTIPLY, rows=8, cols=8) is None
    loaded.card.set_fault(name, on=False)
    assert loaded.read(REGION_CONFIG, 0, 4) == struct.pack("<HH", 0x1F9D, 0x1100)
    assert loaded.config(config_space.COMMAND, "<H") == 0
    assert loaded.card.status()["host_announced"] is False


def test_an_absent_card_is_there_for_the_emulator_until_the_guest_is_reset(host):
    host.card.set_fault("hot-removal", on=True)
    host.card.power_on()
    assert host.config(0, "<H") == 0x1F9D
    host.ask(Command.RESET)
    assert host.read(REGION_CONFIG, 0, 4) == NOBODY


@pytest.mark.parametrize(
    ("name", "vendor", "device", "class_code"),
    [
        ("id-alpha", 0x1F9D, 0x11AA, 0x120000),
        ("id-europa", 0x1F9D, 0x0001, 0x120000),
        ("id-documented", 0x1F0F, 0x0001, 0x120000),
        ("half-dead", 0x16C3, 0xABCD, 0x120000),
        ("impostor-ssd", 0x1E81, 0x1202, 0x010802),
        ("impostor-nic", 0x1F0F, 0x0001, 0x020000),
    ],
)
def test_other_ids(host, name, vendor, device, class_code):
    host.card.set_fault(name, on=True)
    for _ in range(2):
        assert host.read(REGION_CONFIG, 0, 4) == struct.pack("<HH", vendor, device)
        assert host.read(REGION_CONFIG, 0x2C, 4) == struct.pack("<HH", vendor, device)
        assert host.config(0x08, "<I") >> 8 == class_code
        host.card.reset()
    host.card.set_fault(name, on=False)
    assert host.read(REGION_CONFIG, 0, 4) == struct.pack("<HH", 0x1F9D, 0x1100)


def region_size(host, region):
    return struct.unpack_from(
        "<IIIIQ", host.ask(Command.GET_REGION_INFO, struct.pack("<IIIIQQ", 32, 0, region, 0, 0, 0))
    )[4]


def test_small_window_once_the_card_is_plugged_in_anew(host):
    host.card.set_fault("small-window", on=True)
    assert region_size(host, REGION_BAR2) == registers.BAR2_SIZE
    host.card.power_on()
    assert region_size(host, REGION_BAR2) == 1 << 20
    host.write(REGION_CONFIG, config_space.BARS + 8, NOBODY)
    assert -host.config(config_space.BARS + 8, "<i") == 1 << 20
    with pytest.raises(AccessError, match="leave region 2"):
        host.card.read(REGION_BAR2, 1 << 20, 4)
    host.card.set_fault("small-window", on=False)
    host.card.power_on()
    assert region_size(host, REGION_BAR2) == registers.BAR2_SIZE


def test_interrupts_lost_and_single():
    host = FakeHost(vectors=32).bring_up()
    host.card.set_fault("single-interrupt", on=True)
    load(host)
    assert sum(host.interrupts()) == 0
    product(host)
    assert host.interrupts() == [1] + [0] * 31
    host.card.set_fault("single-interrupt", on=False)
    host.card.set_fault("lost-interrupts", on=True)
    product(host)
    assert sum(host.interrupts()) == 0
    host.card.set_fault("lost-interrupts", on=False)
    load(host)
    assert host.interrupts()[registers.VECTOR_DMA_READ] == 1
    host.close()


def msi_offered(host):
    return 1 << (host.config(config_space.MSI_CONTROL, "<H") >> 1 & 7)


def test_a_single_interrupt_is_offered_once_the_card_is_plugged_in_anew(host):
    host.card.set_fault("single-interrupt", on=True)
    assert msi_offered(host) == 32
    host.card.power_on()
    assert msi_offered(host) == 1
    host.card.reset()
    assert msi_offered(host) == 1
    host.card.set_fault("single-interrupt", on=False)
    host.card.power_on()
    assert msi_offered(host) == 32


def test_interrupts_folded_into_one_are_still_told_apart_when_single(host):
    host.card.set_fault("single-interrupt", on=True)
    load(host)
    assert host.interrupts() == [0]


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


def test_overheat_throttle_climbs_slows_down_and_cools(loaded):
    loaded.card.set_fault("overheat-throttle", on=True)
    assert loaded.register(Bar0.TEMP_CORE1) == 35000
    loaded.seconds += 5
    assert loaded.register(Bar0.TEMP_BOARD) == 45000
    assert (loaded.register(Bar0.CLOCK_MHZ), loaded.register(Bar0.MVM_PERCENT)) == (800, 100)
    loaded.seconds += 30
    assert loaded.register(Bar0.TEMP_CORE1) == 105000
    assert (loaded.register(Bar0.CLOCK_MHZ), loaded.register(Bar0.MVM_PERCENT)) == (800, 50)
    loaded.seconds += 3600
    assert loaded.register(Bar0.TEMP_CORE1) == 112000, "it stays there"
    assert (loaded.register(Bar0.CLOCK_MHZ), loaded.register(Bar0.MVM_PERCENT)) == (400, 50)
    product(loaded)
    assert loaded.slept[-1] > 0, "a hot card computes slower"
    loaded.card.set_fault("overheat-throttle", on=False)
    loaded.seconds += 3600
    assert loaded.register(Bar0.TEMP_CORE1) == 35000
    assert (loaded.register(Bar0.CLOCK_MHZ), loaded.register(Bar0.MVM_PERCENT)) == (800, 100)


def test_overheat_throttle_trips_the_operators_own_throttling_first(loaded):
    assert loaded.run(Opcode.SET_THROTTLE, value=85 << 16 | 5 << 8 | 40) == Status.OK
    loaded.card.set_fault("overheat-throttle", on=True)
    loaded.seconds += 26
    assert loaded.register(Bar0.MVM_PERCENT) == 40


def test_overheat_shutdown_lasts_until_the_power_is_taken_away(loaded):
    loaded.card.set_fault("overheat-shutdown", on=True)
    loaded.seconds += 42
    assert loaded.register(Bar0.MAGIC) == registers.BLOCK_MAGIC
    loaded.seconds += 1
    assert loaded.read(REGION_CONFIG, 0, 4) == NOBODY
    assert loaded.card.status()["shut_down"] is True
    loaded.card.set_fault("overheat-shutdown", on=False)
    loaded.seconds += 3600
    loaded.card.reset()
    assert loaded.read(REGION_CONFIG, 0, 4) == NOBODY, "neither cooling nor a reset brings it back"
    loaded.card.power_on()
    assert loaded.config(0, "<H") == 0x1F9D
    assert loaded.card.status()["shut_down"] is False
    assert loaded.register(Bar0.TEMP_CORE1) == 35000


def test_healthy_hosts_of_both_boards_show_no_fault():
    for profile in ("m2", "pcie"):
        host = FakeHost(profile).bring_up()
        assert host.card.faults == frozenset()
        assert host.config(config_space.LNKSTA, "<H") == host.config(config_space.LNKCAP, "<I") & 0x3FF
        host.close()
