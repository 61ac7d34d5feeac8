"""One connection: greeting, descriptors, interrupts, refusals that leave it usable, hostile streams."""

import errno
import os
import struct
from pathlib import Path

import pytest
from fake_host import HEADER, RAM_ADDRESS, RAM_SIZE, SET_EVENTFDS, SET_NONE, FakeHost, Refused
from hypothesis import given, settings
from hypothesis import strategies as st

from metis_provision.lab.card import protocol, registers
from metis_provision.lab.card.connection import Disconnected
from metis_provision.lab.card.device import REGION_BAR0
from metis_provision.lab.card.protocol import Command
from metis_provision.lab.card.registers import Bar0, Opcode, Status

NO_REPLY = 0x10


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_greeting_comes_first(stranger):
    with pytest.raises(Refused, match="EPROTO"):
        stranger.read(7, 0, 4)
    assert stranger.greet()[:4] == bytes(4)
    assert stranger.read(7, 0, 4) == struct.pack("<HH", 0x1F9D, 0x1100)


def test_what_qemu_asks_before_it_shows_the_device(stranger):
    stranger.greet()
    assert struct.unpack("<IIII", stranger.ask(Command.GET_INFO, bytes(16))) == (16, 3, 9, 5)
    sizes = {}
    for index in range(9):
        reply = stranger.ask(Command.GET_REGION_INFO, struct.pack("<IIIIQQ", 32, 0, index, 0, 0, 0))
        _, flags, answered, _, size, offset = struct.unpack("<IIIIQQ", reply)
        assert (answered, offset, bool(flags)) == (index, 0, bool(size))
        sizes[index] = size
    assert {index: size for index, size in sizes.items() if size} == {0: 0x1000, 2: 0x2000000, 7: 0x1000}
    counts = [
        struct.unpack("<IIII", stranger.ask(Command.GET_IRQ_INFO, struct.pack("<IIII", 16, 0, index, 0)))[3]
        for index in range(5)
    ]
    assert counts == [1, 32, 0, 0, 0]


@pytest.mark.parametrize(
    ("command", "payload"),
    [
        (Command.GET_REGION_INFO, struct.pack("<IIIIQQ", 32, 0, 9, 0, 0, 0)),
        (Command.GET_IRQ_INFO, struct.pack("<IIII", 16, 0, 5, 0)),
        (Command.REGION_READ, struct.pack("<QII", 0, 0, 0)),
        (Command.DMA_MAP, bytes(4)),
        (99, b""),
    ],
)
def test_a_refusal_leaves_the_connection_usable(host, command, payload):
    with pytest.raises(Refused):
        host.ask(command, payload)
    assert host.register(Bar0.MAGIC) == registers.BLOCK_MAGIC


def test_no_reply_where_none_is_wanted(host):
    assert host.ask(Command.REGION_WRITE, struct.pack("<QII", 0x10, 0, 4) + b"abcd", flags=NO_REPLY) is None
    assert host.ask(99, flags=NO_REPLY) is None
    assert host.read(REGION_BAR0, 0x10, 4) == b"abcd"


def test_messages_sent_in_one_go_keep_their_own_descriptors(stranger):
    stranger.greet()
    before = open_descriptors()
    for index in range(3):
        payload = struct.pack("<IIQQQ", 32, 3, index * 0x1000, RAM_ADDRESS + index * 0x1000, 0x1000)
        header = HEADER.pack(index, Command.DMA_MAP, 48, NO_REPLY, 0)
        stranger.send_raw(header + payload, [stranger.ram_fd] if index != 1 else [])
    stranger.pump()
    assert len(stranger.memory) == 3
    stranger.ram[0x2000:0x2003] = b"axl"
    assert stranger.memory.read(RAM_ADDRESS + 0x2000, 3) == b"axl"
    with pytest.raises(Exception, match="not readable"):
        stranger.memory.read(RAM_ADDRESS + 0x1000, 3)
    stranger.memory.clear()
    assert open_descriptors() == before


def test_a_message_that_trickles_in(stranger):
    stranger.greet()
    stranger.message_id += 1
    message = HEADER.pack(stranger.message_id, Command.REGION_READ, 32, 0, 0) + struct.pack("<QII", 0, 7, 2)
    for index in range(len(message)):
        assert stranger.reply() is None
        stranger.send_raw(message[index : index + 1])
        stranger.pump()
    assert stranger.reply()[16:] == b"\x9d\x1f"


def test_mapping_twice_is_refused(host):
    with pytest.raises(Refused, match="EEXIST"):
        host.map_ram()


def test_unmapping(host):
    payload = struct.pack("<IIQQ", 24, 0, RAM_ADDRESS, RAM_SIZE)
    assert host.ask(Command.DMA_UNMAP, payload) == payload
    with pytest.raises(Refused, match="ENOENT"):
        host.ask(Command.DMA_UNMAP, payload)
    assert host.run(Opcode.SET_CLOCK, value=400) is None


def test_unmapping_everything(host):
    payload = struct.pack("<IIQQ", 24, 2, 0, 0)
    assert host.ask(Command.DMA_UNMAP, payload) == payload
    assert len(host.memory) == 0


def test_two_descriptors_for_one_region(stranger):
    stranger.greet()
    before = open_descriptors()
    with pytest.raises(Refused, match="EINVAL"):
        stranger.map_ram(fds=[stranger.ram_fd, stranger.ram_fd])
    assert open_descriptors() == before


@pytest.mark.parametrize(("index", "start", "count"), [(1, 32, 1), (1, 31, 2), (2, 0, 1), (5, 0, 1), (0, 0, 2)])
def test_interrupts_that_are_not_there(host, index, start, count):
    before = open_descriptors()
    with pytest.raises(Refused, match="EINVAL"):
        host.set_irqs(SET_EVENTFDS, index, start, count, host.events[:1] * min(count, 2))
    assert open_descriptors() == before


def test_a_count_that_does_not_fit_its_descriptors(host):
    before = open_descriptors()
    with pytest.raises(Refused, match="EINVAL"):
        host.set_irqs(SET_EVENTFDS, 1, 0, 2, host.events)
    assert open_descriptors() == before


def test_interrupts_are_taken_away(host):
    host.set_irqs(SET_EVENTFDS, 1, 0, 1)
    assert host.run(Opcode.SET_CLOCK, value=400) == Status.OK
    assert host.interrupts() == [0]


def test_all_interrupts_of_a_kind_are_taken_away(host):
    before = open_descriptors()
    host.set_irqs(SET_NONE, 1, 0, 0)
    assert open_descriptors() == before - 1
    host.run(Opcode.SET_CLOCK, value=400)
    assert host.interrupts() == [0]


def test_a_host_may_raise_an_interrupt_itself(host):
    host.set_irqs(SET_NONE, 1, 0, 1)
    assert host.interrupts() == [1]
    host.set_irqs(1 << 0 | 1 << 3, 1, 0, 1)
    assert host.interrupts() == [0], "masking raises nothing"


def test_a_listener_that_went_away_is_no_concern_of_the_card(host):
    reader, writer = os.pipe()
    host.set_irqs(SET_EVENTFDS, 1, 0, 1, [writer])
    os.close(reader)
    os.close(writer)
    assert host.run(Opcode.SET_CLOCK, value=400) == Status.OK


def test_closing_gives_everything_back():
    before = open_descriptors()
    host = FakeHost(vectors=32).bring_up()
    host.close()
    assert open_descriptors() == before


def test_the_end_of_the_stream(host):
    host.near.close()
    with pytest.raises(Disconnected):
        host.pump()


@pytest.mark.parametrize("size", [0, 15, 2**31])
def test_a_stream_nobody_can_follow_is_answered_and_left(host, size):
    host.message_id = 5
    host.send_raw(HEADER.pack(5, Command.RESET, size, 0, 0))
    with pytest.raises(Disconnected):
        host.pump()
    with pytest.raises(Refused) as refused:
        host.reply()
    assert refused.value.code == errno.EMSGSIZE


def test_more_descriptors_than_agreed(host):
    before = open_descriptors()
    with pytest.raises(Disconnected):
        host.ask(Command.RESET, fds=[host.ram_fd] * (protocol.MAX_DESCRIPTORS + 1))
    host.connection.close()
    assert open_descriptors() < before


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_kill_the_card(noise):
    host = FakeHost()
    try:
        host.greet()
        host.send_raw(noise)
        host.near.shutdown(1)
        with pytest.raises(Disconnected):
            host.pump()
        assert host.card.read(7, 0, 2) == b"\x9d\x1f"
    finally:
        host.close()


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(Command)), st.binary(max_size=48)), max_size=8))
def test_no_messages_kill_the_card(messages):
    host = FakeHost()
    try:
        host.greet()
        for command, payload in messages:
            try:
                host.ask(command, payload)
            except Refused as refused:
                assert refused.code > 0  # noqa: PT017 - either outcome is fine, a crash is not
        assert host.card.read(0, Bar0.MAGIC, 4) == struct.pack("<I", registers.BLOCK_MAGIC)
    finally:
        host.close()
