"""The device model through the eyes of a host: registers, shared area, jobs, resets."""

import random
import struct

import pytest
from fake_host import BUFFER, RAM_ADDRESS, RAM_SIZE, FakeHost, Refused

from metis_provision.catalog.contract import contract
from metis_provision.lab.card import config_space, registers
from metis_provision.lab.card.device import REGION_BAR0, REGION_BAR2, REGION_CONFIG, MetisCard, Throttle
from metis_provision.lab.card.memory import GuestMemory
from metis_provision.lab.card.profiles import ANY_PORT, PROFILES, Port
from metis_provision.lab.card.protocol import Command
from metis_provision.lab.card.registers import Bar0, Board, Opcode, State, Status


def product(weights, vector, rows, cols):
    """The product worked out the long way."""
    signed = [byte - 256 if byte > 127 else byte for byte in weights]
    column = [byte - 256 if byte > 127 else byte for byte in vector]
    out = b""
    for row in range(rows):
        total = 0
        for col in range(cols):
            total += signed[row * cols + col] * column[col]
        out += total.to_bytes(4, "little", signed=True)
    return out


def load(host, rows, cols, seed=1):
    weights = random.Random(seed).randbytes(rows * cols)
    host.poke(0x1000, weights)
    assert host.run(Opcode.LOAD_WEIGHTS, rows=rows, cols=cols) == Status.OK
    return weights


def multiply(host, rows, cols, vector):
    host.poke(0x1000, vector)
    assert host.run(Opcode.MULTIPLY, rows=rows, cols=cols) == Status.OK
    return host.peek(0x80000, rows * 4)


def test_shared_area_holds_every_magic_of_the_contract(host):
    for area in contract().card.areas:
        raw = host.read(REGION_BAR2, area.offset, area.width)
        assert int.from_bytes(raw, "little") == area.magic, area.name


def area(host, reference):
    """What a reference in the shared control area leads to."""
    raw = host.read(REGION_BAR2, reference, struct.calcsize(registers.REFERENCE_FORMAT))
    _, _, _, size, place, *_ = struct.unpack(registers.REFERENCE_FORMAT, raw)
    assert place >= 0x800, "the boot loader's part of the shared area is not ours to use"
    assert place + size <= registers.SHARED_SIZE
    return host.read(REGION_BAR2, place, size)


def test_areas_lie_apart(host):
    taken = []
    for reference in (registers.SHARED_HOST_DRIVER, registers.SHARED_DESCRIPTORS, registers.SHARED_VMSI):
        raw = host.read(REGION_BAR2, reference, struct.calcsize(registers.REFERENCE_FORMAT))
        _, _, _, size, place, *_ = struct.unpack(registers.REFERENCE_FORMAT, raw)
        taken += range(place, place + size)
    assert len(taken) == len(set(taken))


def test_virtual_msi_area_maps_every_vector_to_itself(host):
    content = area(host, registers.SHARED_VMSI)
    assert struct.unpack_from("<HH", content) == (32, 32)
    rows = [struct.unpack_from("<BB2xI", content, 4 + 8 * row) for row in range(32)]
    assert rows == [(1, 1, vector) for vector in range(32)]
    assert content[4 + 8 * 32 :] == bytes(range(32))


def test_descriptor_memory_is_at_the_end_of_the_window(host):
    address, size = struct.unpack("<QQ", area(host, registers.SHARED_DESCRIPTORS))
    base = int.from_bytes(host.read(REGION_BAR2, registers.SHARED_MEMORY_MAP, 8), "little")
    assert address - base + size == registers.BAR2_SIZE


def test_registers_tell_the_board(host):
    assert host.register(Bar0.MAGIC) == registers.BLOCK_MAGIC
    assert host.register(Bar0.FIRMWARE) == 0x010302
    assert host.register(Bar0.BOARD_CONTROLLER) == 0x0104
    assert host.register(Bar0.MEMORY_MIB) == 1024
    assert host.register(Bar0.BOARD) == Board.M2
    assert host.register(Bar0.CLOCK_MHZ) == 800
    assert 20000 < host.register(Bar0.TEMP_CORE3) < 60000


def test_a_pcie_board_says_so():
    host = FakeHost("pcie").bring_up()
    assert host.register(Bar0.BOARD) == Board.PCIE
    assert host.register(Bar0.MEMORY_MIB) == 4096
    host.close()


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (64, 64), (3, 128), (128, 5)])
def test_products_are_right(host, rows, cols):
    weights = load(host, rows, cols)
    for seed in (2, 3):
        vector = random.Random(seed).randbytes(cols)
        assert multiply(host, rows, cols, vector) == product(weights, vector, rows, cols)


def test_extreme_numbers_do_not_overflow(host):
    host.poke(0x1000, b"\x80" * 1024)
    assert host.run(Opcode.LOAD_WEIGHTS, rows=1, cols=1024) == Status.OK
    assert multiply(host, 1, 1024, b"\x80" * 1024) == (1024 * 128 * 128).to_bytes(4, "little")


def test_loaded_weights_are_in_the_memory_window(host):
    weights = load(host, 16, 16)
    assert host.read(REGION_BAR2, registers.WEIGHTS, 256) == weights


@pytest.mark.parametrize(
    ("job", "status"),
    [
        ({"opcode": 99}, Status.BAD_OPCODE),
        ({"opcode": Opcode.MULTIPLY, "rows": 4, "cols": 4}, Status.NO_WEIGHTS),
        ({"opcode": Opcode.LOAD_WEIGHTS, "rows": 0, "cols": 4}, Status.BAD_SHAPE),
        ({"opcode": Opcode.LOAD_WEIGHTS, "rows": 4, "cols": 1025}, Status.BAD_SHAPE),
        ({"opcode": Opcode.LOAD_WEIGHTS, "rows": 4, "cols": 4, "given": RAM_SIZE}, Status.BAD_ADDRESS),
        ({"opcode": Opcode.SET_CLOCK, "value": 500}, Status.BAD_VALUE),
        ({"opcode": Opcode.SET_MVM, "value": 0}, Status.BAD_VALUE),
        ({"opcode": Opcode.SET_MVM, "value": 101}, Status.BAD_VALUE),
        ({"opcode": Opcode.SET_THROTTLE, "value": 85 << 16 | 85 << 8 | 40}, Status.BAD_VALUE),
        ({"opcode": Opcode.SET_THROTTLE, "value": 85 << 16 | 5 << 8 | 0}, Status.BAD_VALUE),
        ({"opcode": Opcode.SET_THROTTLE, "value": 201 << 16 | 5 << 8 | 40}, Status.BAD_VALUE),
    ],
)
def test_jobs_the_card_refuses(host, job, status):
    assert host.run(job.pop("opcode"), **job) == status


@pytest.mark.parametrize(
    "job",
    [
        {"rows": 4, "cols": 8},
        {"rows": 8, "cols": 4},
        {"rows": 8, "cols": 8, "cores": 0},
        {"rows": 8, "cols": 8, "cores": 5},
    ],
)
def test_products_of_another_shape_are_refused(host, job):
    load(host, 8, 8)
    assert host.run(Opcode.MULTIPLY, **job) == Status.BAD_SHAPE


def test_an_answer_nobody_can_take_is_reported(host):
    load(host, 8, 8)
    assert host.run(Opcode.MULTIPLY, rows=8, cols=8, wanted=RAM_SIZE) == Status.BAD_ADDRESS


def test_settings_are_kept_until_a_reset(host):
    assert host.run(Opcode.SET_CLOCK, value=400) == Status.OK
    assert host.run(Opcode.SET_MVM, value=50) == Status.OK
    assert (host.register(Bar0.CLOCK_MHZ), host.register(Bar0.MVM_PERCENT)) == (400, 50)
    host.ask(Command.RESET)
    assert (host.register(Bar0.CLOCK_MHZ), host.register(Bar0.MVM_PERCENT)) == (800, 100)


def test_each_kind_of_job_has_its_vector():
    host = FakeHost(vectors=32).bring_up()
    load(host, 2, 2)
    host.run(Opcode.MULTIPLY, rows=2, cols=2)
    host.run(Opcode.SET_CLOCK, value=600)
    raised = [vector for vector, count in enumerate(host.interrupts()) for _ in range(count)]
    facts = contract().card
    assert raised == [facts.vector("kernel").first, facts.vector("dma-read").first, facts.vector("message").first]
    host.close()


def test_vectors_fold_where_fewer_are_granted(host):
    load(host, 2, 2)
    host.run(Opcode.SET_CLOCK, value=600)
    assert host.interrupts() == [2]


def test_no_job_before_a_driver_announced_itself(stranger):
    stranger.greet()
    stranger.map_ram()
    stranger.write(REGION_CONFIG, config_space.COMMAND, b"\x06")
    assert stranger.run(Opcode.SET_CLOCK, value=400) is None
    assert stranger.register(Bar0.STATE) == State.NO_HOST
    assert stranger.register(Bar0.CLOCK_MHZ) == 800


def test_no_transfer_without_bus_mastering(host):
    host.write(REGION_CONFIG, config_space.COMMAND, b"\x02")
    assert host.run(Opcode.SET_CLOCK, value=400) is None
    assert host.register(Bar0.STATE) == State.NO_HOST


def test_a_buffer_that_is_not_there(host):
    host.announce(0x1000)
    assert host.run(Opcode.SET_CLOCK, value=400) is None
    assert host.register(Bar0.STATE) == State.DMA_FAULT


def test_a_doorbell_without_a_job(host):
    assert host.run(Opcode.SET_CLOCK, value=400, magic=0) is None
    assert host.register(Bar0.STATE) == State.IDLE
    assert host.interrupts() == [0]


@pytest.mark.parametrize(
    ("offset", "data"), [(Bar0.DOORBELL, b"\1\0"), (Bar0.DOORBELL + 2, b"\1\0\0\0"), (Bar0.CLOCK_MHZ, b"\1\0\0\0")]
)
def test_writes_that_ring_no_bell(host, offset, data):
    before = host.register(Bar0.CLOCK_MHZ)
    host.write(REGION_BAR0, offset, data)
    assert host.card.counters.doorbells == 0
    assert host.register(Bar0.CLOCK_MHZ) == before


def test_other_registers_and_the_window_are_memory(host):
    host.write(REGION_BAR0, 0x10, b"abcd")
    host.write(REGION_BAR2, registers.BAR2_SIZE - 4, b"wxyz")
    assert host.read(REGION_BAR0, 0x10, 4) == b"abcd"
    assert host.read(REGION_BAR2, registers.BAR2_SIZE - 4, 4) == b"wxyz"


def test_a_reset_forgets_the_driver_and_brings_firmware_up(host):
    load(host, 4, 4)
    host.write(REGION_BAR2, registers.SHARED_VMSI, b"\0\0")
    host.ask(Command.RESET)
    assert host.card.status()["host_announced"] is False
    assert host.read(REGION_BAR2, registers.SHARED_VMSI, 2) == b"\xb5\xb5"
    host.write(REGION_CONFIG, config_space.COMMAND, b"\x06")
    host.announce(RAM_ADDRESS + BUFFER)
    assert host.run(Opcode.MULTIPLY, rows=4, cols=4) == Status.NO_WEIGHTS


@pytest.mark.parametrize(
    ("region", "offset", "count"),
    [(0, 0x1000, 1), (0, 0xFFF, 2), (2, 0x2000000, 4), (7, 4096, 4), (1, 0, 4), (9, 0, 4), (0, 2**64 - 1, 1)],
)
def test_accesses_outside_a_region(host, region, offset, count):
    with pytest.raises(Refused):
        host.read(region, offset, count)
    with pytest.raises(Refused):
        host.write(region, offset, bytes(count))
    assert host.register(Bar0.MAGIC) == registers.BLOCK_MAGIC


def test_status_counts_what_went_over_the_bus(host):
    load(host, 8, 8)
    multiply(host, 8, 8, bytes(8))
    status = host.card.status()
    assert status["host_announced"] is True
    assert status["counters"] == {
        "resets": 0,
        "doorbells": 2,
        "products": 1,
        "interrupts": 2,
        "dma_read_bytes": 2 * registers.JOB_SIZE + 64 + 8,
        "dma_written_bytes": 2 * registers.COMPLETION_SIZE + 8 * 4,
    }


@pytest.mark.parametrize(
    ("port", "width", "speed"), [(Port(2, 2), 2, 2), (Port(1, 16), 4, 1), (Port(5, 1), 1, 3), (ANY_PORT, 4, 3)]
)
def test_a_link_trains_to_the_least_of_both_ends(port, width, speed):
    card = MetisCard(PROFILES["m2"], GuestMemory(), lambda vector: None, port)
    assert (card.config.link_width, card.config.link_speed) == (width, speed)
    assert card.config.read(config_space.LNKCAP, 1) == b"\x43"
    card.set_fault("narrow-link", on=True)
    assert (card.config.link_width, card.config.link_speed) == (1, speed)


def test_throttling_is_off_until_it_is_set_and_after_every_reset(host):
    assert host.register(Bar0.SW_THROTTLE) == 0
    assert host.run(Opcode.SET_THROTTLE, value=85 << 16 | 5 << 8 | 40) == Status.OK
    assert host.register(Bar0.SW_THROTTLE) == 85 << 16 | 5 << 8 | 40
    assert host.card.status()["throttle"] == {"threshold": 85, "hysteresis": 5, "percent": 40}
    assert host.register(Bar0.MVM_PERCENT) == 100
    host.card.reset()
    assert host.register(Bar0.SW_THROTTLE) == 0


def test_a_card_above_its_threshold_runs_at_the_limit(host):
    assert host.run(Opcode.SET_MVM, value=80) == Status.OK
    assert host.run(Opcode.SET_THROTTLE, value=30 << 16 | 5 << 8 | 40) == Status.OK
    assert host.register(Bar0.MVM_PERCENT) == 40
    assert host.run(Opcode.SET_THROTTLE, value=30 << 16 | 5 << 8 | 90) == Status.OK
    assert host.register(Bar0.MVM_PERCENT) == 80


@pytest.mark.parametrize(
    ("millidegrees", "held", "holds"),
    [(85000, False, False), (85001, False, True), (81000, True, True), (80000, True, False)],
)
def test_throttling_ends_only_when_the_card_is_cooler(millidegrees, held, holds):
    assert Throttle(85, 5, 40).holds(millidegrees, held) is holds
