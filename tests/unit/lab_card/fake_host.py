"""A host that plays QEMU: speaks vfio-user to a card in the same thread, owns guest memory and event descriptors."""

import errno
import mmap
import os
import select
import socket
import struct

from metis_provision.lab.card import config_space, registers
from metis_provision.lab.card.connection import Connection, InterruptLines
from metis_provision.lab.card.device import REGION_BAR0, REGION_BAR2, REGION_CONFIG, MetisCard
from metis_provision.lab.card.memory import GuestMemory
from metis_provision.lab.card.profiles import PROFILES
from metis_provision.lab.card.protocol import MAX_DESCRIPTORS, Command

HEADER = struct.Struct("<HHIII")
RAM_ADDRESS = 0x40000000
RAM_SIZE = 4 << 20
BUFFER = 0x100000  # where in RAM the driver's buffer is
MAP_READ, MAP_WRITE = 1, 2
SET_EVENTFDS = 1 << 2 | 1 << 5
SET_NONE = 1 << 0 | 1 << 5


class Refused(Exception):
    """The card answered with an error."""

    def __init__(self, code):
        super().__init__(errno.errorcode.get(code, code))
        self.code = code


class FakeHost:
    """What QEMU and a driver do to a card, in the fewest words."""

    def __init__(self, profile="m2", vectors=1):
        self.near, far = socket.socketpair()
        far.setblocking(False)
        self.far = far
        self.memory = GuestMemory()
        lines = InterruptLines()
        self.seconds = 0.0
        self.slept = []
        self.card = MetisCard(
            PROFILES[profile], self.memory, lines.raise_msi, clock=lambda: self.seconds, sleep=self.slept.append
        )
        self.connection = Connection(far, self.card, self.memory, lines)
        self.ram_fd = os.memfd_create("guest")
        os.ftruncate(self.ram_fd, RAM_SIZE)
        self.ram = mmap.mmap(self.ram_fd, RAM_SIZE)
        self.events = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(vectors)]
        self.message_id = 0
        self.sequence = 0

    def close(self):
        self.connection.close()
        self.near.close()
        self.ram.close()
        for descriptor in (self.ram_fd, *self.events):
            os.close(descriptor)

    def send_raw(self, data, fds=()):
        if fds:
            socket.send_fds(self.near, [data], list(fds))
        else:
            self.near.sendall(data)

    def pump(self):
        """Let the card take everything that was sent."""
        while self._readable(self.far):
            self.connection.receive()

    @staticmethod
    def _readable(stream):
        return bool(select.select([stream], [], [], 0)[0])

    def ask(self, command, payload=b"", fds=(), flags=0):
        """Send a request; return the payload of the reply, or None where none came. Refused for an error."""
        self.message_id += 1
        header = HEADER.pack(self.message_id, command, HEADER.size + len(payload), flags, 0)
        self.send_raw(header + payload, fds)
        self.pump()
        return self.reply()

    def reply(self):
        if not self._readable(self.near):
            return None
        message_id, _, size, flags, code = HEADER.unpack(self.near.recv(HEADER.size, socket.MSG_WAITALL))
        assert message_id == self.message_id
        assert flags & 0xF == 1
        payload = self.near.recv(size - HEADER.size, socket.MSG_WAITALL) if size > HEADER.size else b""
        if flags & 0x20:
            raise Refused(code)
        return payload

    def greet(self):
        return self.ask(Command.VERSION, struct.pack("<HH", 0, 0) + b'{"capabilities":{}}\0')

    def map_ram(self, fds=None, address=RAM_ADDRESS, size=RAM_SIZE, offset=0, flags=MAP_READ | MAP_WRITE):
        payload = struct.pack("<IIQQQ", 32, flags, offset, address, size)
        return self.ask(Command.DMA_MAP, payload, [self.ram_fd] if fds is None else fds)

    def set_irqs(self, flags, index, start, count, fds=()):
        return self.ask(Command.SET_IRQS, struct.pack("<IIIII", 20, flags, index, start, count), fds)

    def read(self, region, offset, count):
        reply = self.ask(Command.REGION_READ, struct.pack("<QII", offset, region, count))
        assert struct.unpack_from("<QII", reply) == (offset, region, count)
        return reply[16:]

    def write(self, region, offset, data):
        return self.ask(Command.REGION_WRITE, struct.pack("<QII", offset, region, len(data)) + data)

    def config(self, offset, layout):
        return struct.unpack(layout, self.read(REGION_CONFIG, offset, struct.calcsize(layout)))[0]

    def register(self, offset):
        return struct.unpack("<I", self.read(REGION_BAR0, offset, 4))[0]

    def bring_up(self):
        """Do what QEMU and the driver do up to a card that can take jobs."""
        self.greet()
        self.map_ram()
        for start in range(0, len(self.events), MAX_DESCRIPTORS):
            chunk = self.events[start : start + MAX_DESCRIPTORS]
            self.set_irqs(SET_EVENTFDS, 1, start, len(chunk), chunk)
        self.write(REGION_CONFIG, config_space.COMMAND, struct.pack("<H", 0x6))
        self.announce(RAM_ADDRESS + BUFFER)
        return self

    def announce(self, address, length=registers.HOST_BUFFER_SIZE):
        reference = self.read(REGION_BAR2, registers.SHARED_HOST_DRIVER, 24)
        area = struct.unpack(registers.REFERENCE_FORMAT, reference)[4]
        self.write(REGION_BAR2, area + registers.HOST_AREA_TARGET, struct.pack("<QI", address, length))
        self.write(REGION_BAR2, area + registers.HOST_AREA_CONTROL, struct.pack("<I", 1))

    def run(self, opcode, *, given=0x1000, wanted=0x80000, rows=0, cols=0, cores=1, value=0, magic=None):
        """Run a job on data in the buffer; return its status, or None if the card never finished it."""
        self.sequence += 1
        base = RAM_ADDRESS + BUFFER
        magic = registers.JOB_MAGIC if magic is None else magic
        job = struct.pack(
            registers.JOB_FORMAT, magic, opcode, base + given, base + wanted, rows, cols, cores, value, self.sequence, 0
        )
        self.poke(registers.JOB, job)
        self.write(REGION_BAR0, registers.Bar0.DOORBELL, struct.pack("<I", self.sequence))
        sequence, status, _ = struct.unpack(
            registers.COMPLETION_FORMAT, self.peek(registers.COMPLETION, registers.COMPLETION_SIZE)
        )
        return status if sequence == self.sequence else None

    def poke(self, offset, data):
        self.ram[BUFFER + offset : BUFFER + offset + len(data)] = data

    def peek(self, offset, count):
        return self.ram[BUFFER + offset : BUFFER + offset + count]

    def interrupts(self):
        """How often each vector was raised since the last look."""
        counts = []
        for event in self.events:
            try:
                counts.append(os.eventfd_read(event))
            except BlockingIOError:
                counts.append(0)
        return counts
