"""The vfio-user codec: every request, and refusal of everything else."""

import errno
import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis_provision.lab.card import protocol
from metis_provision.lab.card.protocol import Command, Header, IrqSet, ProtocolError, parse_request


def request(command, payload, flags=0):
    return parse_request(Header(7, command, 16 + len(payload), flags), payload)


@pytest.mark.parametrize(
    ("command", "payload", "parsed"),
    [
        (Command.VERSION, struct.pack("<HH", 0, 1) + b"{}\0", protocol.Version(0, 1)),
        (
            Command.DMA_MAP,
            struct.pack("<IIQQQ", 32, 3, 0x1000, 0xC0000, 0x2000),
            protocol.DmaMap(writable=True, offset=0x1000, address=0xC0000, size=0x2000),
        ),
        (
            Command.DMA_MAP,
            struct.pack("<IIQQQ", 32, 1, 0, 0, 0x1000),
            protocol.DmaMap(writable=False, offset=0, address=0, size=0x1000),
        ),
        (
            Command.DMA_UNMAP,
            struct.pack("<IIQQ", 24, 2, 0, 0x1000),
            protocol.DmaUnmap(True, 0, 0x1000, struct.pack("<IIQQ", 24, 2, 0, 0x1000)),
        ),
        (Command.GET_INFO, bytes(16), protocol.GetInfo()),
        (Command.GET_REGION_INFO, struct.pack("<IIIIQQ", 32, 0, 2, 0, 0, 0), protocol.GetRegionInfo(2)),
        (Command.GET_IRQ_INFO, struct.pack("<IIII", 16, 0, 1, 0), protocol.GetIrqInfo(1)),
        (
            Command.SET_IRQS,
            struct.pack("<IIIII", 20, 0x24, 1, 3, 4),
            protocol.SetIrqs(IrqSet.DATA_EVENTFD | IrqSet.TRIGGER, 1, 3, 4),
        ),
        (Command.REGION_READ, struct.pack("<QII", 8, 7, 4), protocol.RegionRead(7, 8, 4)),
        (Command.REGION_WRITE, struct.pack("<QII", 8, 7, 2) + b"abc", protocol.RegionWrite(7, 8, b"ab")),
        (Command.RESET, b"", protocol.Reset()),
    ],
)
def test_requests(command, payload, parsed):
    assert request(command, payload) == parsed


@pytest.mark.parametrize(
    ("command", "payload", "flags", "code"),
    [
        (Command.VERSION, struct.pack("<HH", 1, 0), 0, errno.ENOTSUP),
        (Command.VERSION, b"\0", 0, errno.EINVAL),
        (Command.DMA_MAP, bytes(31), 0, errno.EINVAL),
        (Command.DMA_UNMAP, bytes(23), 0, errno.EINVAL),
        (Command.SET_IRQS, struct.pack("<IIIII", 20, 0x20, 1, 0, 1), 0, errno.EINVAL),
        (Command.SET_IRQS, struct.pack("<IIIII", 20, 0x26, 1, 0, 1), 0, errno.EINVAL),
        (Command.SET_IRQS, struct.pack("<IIIII", 20, 0x3C, 1, 0, 1), 0, errno.EINVAL),
        (Command.SET_IRQS, struct.pack("<IIIII", 20, 0x80000024, 1, 0, 1), 0, errno.EINVAL),
        (Command.REGION_READ, struct.pack("<QII", 0, 0, 0), 0, errno.EINVAL),
        (Command.REGION_READ, struct.pack("<QII", 0, 0, protocol.MAX_TRANSFER + 1), 0, errno.EINVAL),
        (Command.REGION_WRITE, struct.pack("<QII", 0, 0, 4) + b"abc", 0, errno.EINVAL),
        (Command.GET_INFO, b"", 0, errno.EINVAL),
        (6, b"", 0, errno.ENOTSUP),
        (99, b"", 0, errno.ENOTSUP),
        (Command.RESET, b"", 1, errno.EINVAL),
    ],
)
def test_refusals(command, payload, flags, code):
    with pytest.raises(ProtocolError) as refused:
        request(command, payload, flags)
    assert refused.value.errno == code


@pytest.mark.parametrize("size", [0, 15, protocol.MAX_MESSAGE + 1, 0xFFFFFFFF])
def test_a_message_nobody_can_delimit(size):
    with pytest.raises(ProtocolError) as refused:
        Header(1, Command.RESET, size, 0).check_size()
    assert refused.value.errno == errno.EMSGSIZE


def test_replies_repeat_id_and_command():
    header = Header(0xBEEF, Command.REGION_READ, 32, 0)
    assert Header.parse(protocol.reply(header, b"ab")[:16]) == Header(0xBEEF, Command.REGION_READ, 18, 1)
    refusal = protocol.error_reply(header, errno.EINVAL)
    assert struct.unpack("<HHIII", refusal) == (0xBEEF, Command.REGION_READ, 16, 0x21, errno.EINVAL)


def test_version_tells_the_limits():
    payload = protocol.version_payload()
    assert payload[:4] == bytes(4)
    limits = json.loads(payload[4:].rstrip(b"\0"))["capabilities"]
    assert limits == {"max_msg_fds": protocol.MAX_DESCRIPTORS, "max_data_xfer_size": protocol.MAX_TRANSFER}


def refusal_of(header, payload):
    """The code a message is refused with, or None for one that is taken; any other exception fails the test."""
    try:
        header.check_size()
        parse_request(header, payload)
    except ProtocolError as refused:
        return refused.errno
    return None


@settings(deadline=None)
@given(st.binary(min_size=16, max_size=96))
def test_any_bytes_are_parsed_or_refused(raw):
    assert refusal_of(Header.parse(raw[:16]), raw[16:]) != 0


@settings(deadline=None)
@given(st.sampled_from(list(Command)), st.binary(max_size=64))
def test_any_payload_of_a_known_command_is_parsed_or_refused(command, payload):
    assert refusal_of(Header(7, command, 16 + len(payload), 0), payload) != 0
