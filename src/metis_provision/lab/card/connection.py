"""One vfio-user connection: messages in, the card asked, replies out, descriptors accounted for."""

from __future__ import annotations

import array
import errno
import logging
import os
import socket

from metis_provision.lab.card import protocol
from metis_provision.lab.card.device import AccessError, MetisCard
from metis_provision.lab.card.memory import GuestMemory, MapError
from metis_provision.lab.card.protocol import Header, Interrupts, IrqSet, ProtocolError, Request
from metis_provision.lab.card.registers import MSI_VECTORS

logger = logging.getLogger(__name__)

INTERRUPTS = {Interrupts.INTX: 1, Interrupts.MSI: MSI_VECTORS}
_ONE_EVENT = (1).to_bytes(8, "little")


class Disconnected(Exception):
    """The other side is gone, or has to go because its stream can no longer be read."""


class InterruptLines:
    """Event descriptors the other side gave, by kind and number."""

    def __init__(self) -> None:
        self._descriptors: dict[tuple[int, int], int] = {}

    def apply(self, request: protocol.SetIrqs, descriptors: list[int]) -> list[int]:
        """Carry out SET_IRQS and return the descriptors that were kept; ProtocolError if it makes no sense."""
        available = INTERRUPTS.get(Interrupts(request.index), 0) if request.index < len(Interrupts) else 0
        if request.start + request.count > available:
            raise ProtocolError(f"interrupts {request.start}+{request.count} of kind {request.index}")
        if not request.flags & IrqSet.TRIGGER:
            return []  # masking is the other side's own business: the card never looks at a mask
        numbers = range(request.start, request.start + request.count)
        if request.flags & IrqSet.DATA_EVENTFD:
            if len(descriptors) not in (0, request.count):
                raise ProtocolError(f"{len(descriptors)} descriptors for {request.count} interrupts")
            for number in numbers:
                self._forget(request.index, number)
            for descriptor in descriptors:
                os.set_blocking(descriptor, False)  # a full one must not stop the card
            self._descriptors |= {(request.index, number): fd for number, fd in zip(numbers, descriptors, strict=False)}
            return descriptors
        if request.count == 0:
            self._forget_kind(request.index)
        elif request.flags & IrqSet.DATA_NONE:
            for number in numbers:
                self.fire(request.index, number)
        return []

    def raise_msi(self, vector: int) -> None:
        """Raise an MSI vector, or what it folds to where fewer were granted, as the bus standard has it."""
        granted = sum(1 for kind, _ in self._descriptors if kind == Interrupts.MSI)
        if granted:
            self.fire(Interrupts.MSI, vector % granted)

    def fire(self, kind: int, number: int) -> None:
        """Signal one interrupt if somebody listens to it."""
        descriptor = self._descriptors.get((kind, number))
        if descriptor is None:
            return
        try:
            os.write(descriptor, _ONE_EVENT)
        except OSError as error:
            logger.warning("interrupt %d of kind %d was lost: %s", number, kind, error)

    def clear(self) -> None:
        """Close every descriptor."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def _forget_kind(self, kind: int) -> None:
        for known, number in list(self._descriptors):
            if known == kind:
                self._forget(known, number)

    def _forget(self, kind: int, number: int) -> None:
        descriptor = self._descriptors.pop((kind, number), None)
        if descriptor is not None:
            os.close(descriptor)


class Connection:
    """A client from its first message to its end; ``close`` gives back whatever it lent.

    A message is read in exact pieces, never beyond its end: the kernel hands descriptors over with the first
    byte they were sent with, and so they are known to belong to this message and to no later one.
    """

    def __init__(self, stream: socket.socket, card: MetisCard, memory: GuestMemory, lines: InterruptLines) -> None:
        """Serve ``card`` over a non-blocking ``stream``; ``memory`` and ``lines`` are the card's own."""
        self._stream = stream
        self._card = card
        self._memory = memory
        self._lines = lines
        self._received = bytearray()
        self._header: Header | None = None
        self._descriptors: list[int] = []
        self._outgoing = bytearray()
        self._greeted = False

    @property
    def wants_to_send(self) -> bool:
        """Whether replies wait for the other side to read."""
        return bool(self._outgoing)

    def receive(self) -> None:
        """Take what has arrived, at most one message; Disconnected at the end of the stream."""
        wanted = protocol.HEADER.size if self._header is None else self._header.payload_size
        missing = wanted - len(self._received)
        if missing:
            self._receive_piece(missing)
        if len(self._received) < wanted:
            return
        piece = bytes(self._received)
        self._received.clear()
        if self._header is None:
            self._begin_message(Header.parse(piece))
        else:
            self._finish_message(self._header, piece)

    def _receive_piece(self, missing: int) -> None:
        room = socket.CMSG_SPACE(protocol.MAX_DESCRIPTORS * array.array("i").itemsize)
        try:
            data, ancillary, flags, _ = self._stream.recvmsg(missing, room, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError as error:
            raise Disconnected(str(error)) from error
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                received = array.array("i")
                received.frombytes(content[: len(content) - len(content) % received.itemsize])
                self._descriptors.extend(received)
        if not data:
            raise Disconnected("the other side closed the connection")
        if flags & socket.MSG_CTRUNC or len(self._descriptors) > protocol.MAX_DESCRIPTORS:
            raise Disconnected("more descriptors came than the card takes")
        self._received += data

    def _begin_message(self, header: Header) -> None:
        try:
            header.check_size()
        except ProtocolError as error:
            self._send(protocol.error_reply(header, error.errno))
            raise Disconnected(str(error)) from error
        self._header = header
        if header.payload_size == 0:
            self._finish_message(header, b"")

    def _finish_message(self, header: Header, payload: bytes) -> None:
        self._header = None
        try:
            answer = protocol.reply(header, self._answer(header, payload))
        except (ProtocolError, AccessError, MapError) as error:
            logger.warning("refused message %d (command %d): %s", header.message_id, header.command, error)
            answer = protocol.error_reply(header, error.errno)
        finally:
            self._close_descriptors()
        if header.wants_reply:
            self._send(answer)
        self._card.work()

    def _answer(self, header: Header, payload: bytes) -> bytes:
        request = protocol.parse_request(header, payload)
        if isinstance(request, protocol.Version):
            self._greeted = True
            return protocol.version_payload()
        if not self._greeted:
            raise ProtocolError("the first message must agree on a version", errno.EPROTO)
        return self._carry_out(request)

    def _carry_out(self, request: Request) -> bytes:
        match request:
            case protocol.RegionRead():
                data = self._card.read(request.region, request.offset, request.count)
                return protocol.read_payload(request, data)
            case protocol.RegionWrite():
                self._card.write(request.region, request.offset, request.data)
                return protocol.write_payload(request)
            case protocol.DmaMap():
                self._map(request)
            case protocol.DmaUnmap():
                if request.everything:
                    self._memory.clear()
                else:
                    self._memory.unmap(request.address, request.size)
                return request.echo
            case protocol.SetIrqs():
                kept = self._lines.apply(request, self._descriptors)
                self._descriptors = [fd for fd in self._descriptors if fd not in kept]
            case protocol.Reset():
                self._card.reset()
            case _:
                return self._describe(request)
        return b""

    def _map(self, request: protocol.DmaMap) -> None:
        if len(self._descriptors) > 1:
            raise ProtocolError(f"{len(self._descriptors)} descriptors for one region")
        descriptor = self._descriptors[0] if self._descriptors else None
        self._memory.map(request.address, request.size, descriptor, request.offset, writable=request.writable)

    def _send(self, data: bytes) -> None:
        self._outgoing += data
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the other side takes it; Disconnected if it is gone."""
        try:
            while self._outgoing:
                sent = self._stream.send(self._outgoing, socket.MSG_NOSIGNAL)
                del self._outgoing[:sent]
        except BlockingIOError:
            return
        except OSError as error:
            raise Disconnected(str(error)) from error

    def close(self) -> None:
        """Unmap memory, close descriptors and the stream."""
        self._close_descriptors()
        self._memory.clear()
        self._lines.clear()
        self._stream.close()

    def _close_descriptors(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []

    def _describe(self, request: Request) -> bytes:
        """Return what the device, a region or a kind of interrupts is."""
        match request:
            case protocol.GetRegionInfo(index) if index < protocol.REGION_COUNT:
                return protocol.region_info_payload(index, self._card.region_sizes.get(index, 0))
            case protocol.GetIrqInfo(index) if index < protocol.INTERRUPT_COUNT:
                return protocol.irq_info_payload(index, INTERRUPTS.get(Interrupts(index), 0))
            case protocol.GetInfo():
                return protocol.info_payload()
        raise ProtocolError(f"nothing is known of {request}")
