"""The vfio-user wire format: bytes to requests and replies to bytes, nothing else.

The protocol is described in QEMU's ``docs/interop/vfio-user.rst``, the structures inside it in Linux's
``vfio.h``. Numbers are little-endian as on every host the lab runs on.
"""

from __future__ import annotations

import errno
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import TypeAlias

HEADER = struct.Struct("<HHIII")
MAX_TRANSFER = 1 << 20
"""Longest read or write the card takes, in bytes; QEMU is told so."""
MAX_DESCRIPTORS = 8
"""File descriptors the card takes with one message; QEMU is told so."""
_TRANSFER = struct.Struct("<QII")
MAX_MESSAGE = HEADER.size + _TRANSFER.size + MAX_TRANSFER
_MAJOR = 0
_MAP_WRITABLE = 1 << 1
_UNMAP_ALL = 1 << 1

REGION_COUNT = 9
INTERRUPT_COUNT = 5


class Command(IntEnum):
    """Requests a client sends."""

    VERSION = 1
    DMA_MAP = 2
    DMA_UNMAP = 3
    GET_INFO = 4
    GET_REGION_INFO = 5
    GET_IRQ_INFO = 7
    SET_IRQS = 8
    REGION_READ = 9
    REGION_WRITE = 10
    RESET = 13


class HeaderFlag(IntFlag):
    """Flags of a message; the low four bits are its type."""

    REPLY = 0x01
    TYPE = 0x0F
    NO_REPLY = 0x10
    ERROR = 0x20


class Interrupts(IntEnum):
    """Kinds of interrupts, as VFIO numbers them for PCI."""

    INTX = 0
    MSI = 1
    MSIX = 2
    ERROR = 3
    REQUEST = 4


class IrqSet(IntFlag):
    """Flags of SET_IRQS."""

    DATA_NONE = 1 << 0
    DATA_BOOL = 1 << 1
    DATA_EVENTFD = 1 << 2
    MASK = 1 << 3
    UNMASK = 1 << 4
    TRIGGER = 1 << 5


class ProtocolError(Exception):
    """A message that is refused; ``errno`` goes into the reply."""

    def __init__(self, message: str, code: int = errno.EINVAL) -> None:
        super().__init__(message)
        self.errno = code


@dataclass(frozen=True, slots=True)
class Header:
    """What every message begins with; ``size`` counts the header too."""

    message_id: int
    command: int
    size: int
    flags: int

    @classmethod
    def parse(cls, raw: bytes) -> Header:
        """Return the header in 16 bytes, whatever it says."""
        message_id, command, size, flags, _ = HEADER.unpack(raw)
        return cls(message_id, command, size, flags)

    def check_size(self) -> None:
        """Raise ProtocolError if nobody can tell where the message ends."""
        if not HEADER.size <= self.size <= MAX_MESSAGE:
            raise ProtocolError(f"a message of {self.size} bytes", errno.EMSGSIZE)

    @property
    def wants_reply(self) -> bool:
        """Whether the sender waits for an answer."""
        return not self.flags & HeaderFlag.NO_REPLY

    @property
    def payload_size(self) -> int:
        """Bytes that follow the header."""
        return self.size - HEADER.size


@dataclass(frozen=True, slots=True)
class Version:
    """The client proposes a protocol version."""

    major: int
    minor: int


@dataclass(frozen=True, slots=True)
class DmaMap:
    """Guest memory becomes reachable; ``offset`` is into the descriptor that comes along."""

    writable: bool
    offset: int
    address: int
    size: int


@dataclass(frozen=True, slots=True)
class DmaUnmap:
    """Guest memory is taken away; ``everything`` for all of it. ``echo`` is what the reply repeats."""

    everything: bool
    address: int
    size: int
    echo: bytes


@dataclass(frozen=True, slots=True)
class GetInfo:
    """The client asks what the device is."""


@dataclass(frozen=True, slots=True)
class GetRegionInfo:
    """The client asks about one region."""

    index: int


@dataclass(frozen=True, slots=True)
class GetIrqInfo:
    """The client asks about one kind of interrupts."""

    index: int


@dataclass(frozen=True, slots=True)
class SetIrqs:
    """The client assigns, takes away or acts on interrupts ``start`` to ``start + count - 1``."""

    flags: IrqSet
    index: int
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class RegionRead:
    """The client reads."""

    region: int
    offset: int
    count: int


@dataclass(frozen=True, slots=True)
class RegionWrite:
    """The client writes."""

    region: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Reset:
    """The client resets the device."""


Request: TypeAlias = (
    Version | DmaMap | DmaUnmap | GetInfo | GetRegionInfo | GetIrqInfo | SetIrqs | RegionRead | RegionWrite | Reset
)


def parse_request(header: Header, payload: bytes) -> Request:
    """Return the request in a message; ProtocolError for whatever is not one the card takes."""
    if header.flags & HeaderFlag.TYPE:
        raise ProtocolError("a reply to a question the card never asked")
    parse = _PARSERS.get(header.command)
    if parse is None:
        raise ProtocolError(f"command {header.command} is not served", errno.ENOTSUP)
    return parse(payload)


def _unpack(layout: str, payload: bytes) -> tuple[int, ...]:
    size = struct.calcsize(layout)
    if len(payload) < size:
        raise ProtocolError(f"a payload of {len(payload)} bytes where {size} are needed")
    return struct.unpack_from(layout, payload)


def _check_transfer(count: int) -> None:
    if not 0 < count <= MAX_TRANSFER:
        raise ProtocolError(f"a transfer of {count} bytes")


def _parse_version(payload: bytes) -> Version:
    major, minor = _unpack("<HH", payload)
    if major != _MAJOR:
        raise ProtocolError(f"protocol version {major}.{minor}", errno.ENOTSUP)
    return Version(major, minor)


def _parse_set_irqs(payload: bytes) -> SetIrqs:
    _, flags, index, start, count = _unpack("<IIIII", payload)
    data = flags & (IrqSet.DATA_NONE | IrqSet.DATA_BOOL | IrqSet.DATA_EVENTFD)
    action = flags & (IrqSet.MASK | IrqSet.UNMASK | IrqSet.TRIGGER)
    if data.bit_count() != 1 or action.bit_count() != 1 or flags != data | action:
        raise ProtocolError(f"interrupt flags {flags:#x}")
    return SetIrqs(IrqSet(flags), index, start, count)


def _parse_write(payload: bytes) -> RegionWrite:
    offset, region, count = _unpack("<QII", payload)
    _check_transfer(count)
    data = payload[_TRANSFER.size : _TRANSFER.size + count]
    if len(data) != count:
        raise ProtocolError(f"a write of {count} bytes that carries {len(data)}")
    return RegionWrite(region, offset, data)


def _parse_map(payload: bytes) -> DmaMap:
    _, flags, offset, address, size = _unpack("<IIQQQ", payload)
    return DmaMap(bool(flags & _MAP_WRITABLE), offset, address, size)


def _parse_unmap(payload: bytes) -> DmaUnmap:
    _, flags, address, size = _unpack("<IIQQ", payload)
    return DmaUnmap(bool(flags & _UNMAP_ALL), address, size, payload[:24])


def _parse_info(payload: bytes) -> GetInfo:
    _unpack("<IIII", payload)
    return GetInfo()


def _parse_read(payload: bytes) -> RegionRead:
    offset, region, count = _unpack("<QII", payload)
    _check_transfer(count)
    return RegionRead(region, offset, count)


_PARSERS: dict[int, Callable[[bytes], Request]] = {
    Command.VERSION: _parse_version,
    Command.DMA_MAP: _parse_map,
    Command.DMA_UNMAP: _parse_unmap,
    Command.GET_INFO: _parse_info,
    Command.GET_REGION_INFO: lambda payload: GetRegionInfo(_unpack("<IIIIQQ", payload)[2]),
    Command.GET_IRQ_INFO: lambda payload: GetIrqInfo(_unpack("<IIII", payload)[2]),
    Command.SET_IRQS: _parse_set_irqs,
    Command.REGION_READ: _parse_read,
    Command.REGION_WRITE: _parse_write,
    Command.RESET: lambda payload: Reset(),  # noqa: ARG005
}


def reply(header: Header, payload: bytes = b"") -> bytes:
    """Return the answer to a message."""
    return HEADER.pack(header.message_id, header.command, HEADER.size + len(payload), HeaderFlag.REPLY, 0) + payload


def error_reply(header: Header, code: int) -> bytes:
    """Return the refusal of a message."""
    flags = HeaderFlag.REPLY | HeaderFlag.ERROR
    return HEADER.pack(header.message_id, header.command, HEADER.size, flags, code)


def version_payload() -> bytes:
    """Return the version and capabilities the card agrees to."""
    limits = {"max_msg_fds": MAX_DESCRIPTORS, "max_data_xfer_size": MAX_TRANSFER}
    return struct.pack("<HH", _MAJOR, 0) + json.dumps({"capabilities": limits}).encode() + b"\0"


def info_payload() -> bytes:
    """Return what the device is: a PCI device that can be reset."""
    resettable_pci = 1 << 0 | 1 << 1
    return struct.pack("<IIII", 16, resettable_pci, REGION_COUNT, INTERRUPT_COUNT)


def region_info_payload(index: int, size: int) -> bytes:
    """Return what a region is; one of ``size`` 0 is not there."""
    read_write = 1 << 0 | 1 << 1
    return struct.pack("<IIIIQQ", 32, read_write if size else 0, index, 0, size, 0)


def irq_info_payload(index: int, count: int) -> bytes:
    """Return how many interrupts of a kind there are."""
    eventfd, maskable, automasked, fixed_set = 1 << 0, 1 << 1, 1 << 2, 1 << 3
    flags = eventfd | (maskable | automasked if index == Interrupts.INTX else fixed_set)
    return struct.pack("<IIII", 16, flags if count else 0, index, count)


def read_payload(request: RegionRead, data: bytes) -> bytes:
    """Return the answer to a read."""
    return _TRANSFER.pack(request.offset, request.region, len(data)) + data


def write_payload(request: RegionWrite) -> bytes:
    """Return the answer to a write."""
    return _TRANSFER.pack(request.offset, request.region, len(request.data))
