"""What the card does: registers, shared control area, jobs, and the faults that bend all of it.

Nothing here knows sockets. Guest memory and interrupts are given from outside, so tests play the host.
"""

from __future__ import annotations

import errno
import mmap
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Protocol

from metis_provision.lab.card import registers as reg
from metis_provision.lab.card.behaviour import HEALTHY, METIS, Interrupts
from metis_provision.lab.card.compute import Matrix, matrix, multiply
from metis_provision.lab.card.config_space import LNKSTA, ConfigSpace
from metis_provision.lab.card.faults import behaviour_under
from metis_provision.lab.card.memory import DmaError
from metis_provision.lab.card.profiles import ANY_PORT, Port, Profile
from metis_provision.lab.card.registers import Bar0, Opcode, State, Status
from metis_provision.lab.card.thermal import Heat

REGION_BAR0 = 0
REGION_BAR2 = 2
REGION_CONFIG = 7
REGION_SIZES = {REGION_BAR0: reg.BAR0_SIZE, REGION_BAR2: reg.BAR2_SIZE, REGION_CONFIG: 0x1000}

VECTOR_OF: dict[int, int] = {
    Opcode.LOAD_WEIGHTS: reg.VECTOR_DMA_READ,
    Opcode.MULTIPLY: reg.VECTOR_KERNEL,
    Opcode.SET_CLOCK: reg.VECTOR_MESSAGE,
    Opcode.SET_MVM: reg.VECTOR_MESSAGE,
    Opcode.SET_THROTTLE: reg.VECTOR_MESSAGE,
}
# A driver may store to any register; only these reach the card, the rest of the block is read-only.
WRITABLE_REGISTERS = frozenset({Bar0.DOORBELL, Bar0.ABORT})
BLOCK_START, BLOCK_END = Bar0.MAGIC, Bar0.MAGIC + 0x100


class Memory(Protocol):
    """Guest memory by bus address; both raise DmaError where the card may not go."""

    def read(self, address: int, count: int) -> bytes:
        """Return ``count`` bytes."""

    def write(self, address: int, data: bytes) -> None:
        """Store ``data``."""


class AccessError(Exception):
    """An access outside a region; ``errno`` is what the other side is told."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errno = errno.EINVAL


@dataclass(slots=True)
class Counters:
    """What the card has done since it was started, across resets and connections."""

    resets: int = 0
    doorbells: int = 0
    products: int = 0
    interrupts: int = 0
    dma_read_bytes: int = 0
    dma_written_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the driver wrote it; addresses are bus addresses."""

    opcode: int
    input: int
    output: int
    rows: int
    cols: int
    cores: int
    value: int
    sequence: int

    @classmethod
    def parse(cls, raw: bytes) -> Job | None:
        """Return the job in ``raw``, or None if none is there."""
        magic, *values, _ = struct.unpack(reg.JOB_FORMAT, raw)
        return cls(*values) if magic == reg.JOB_MAGIC else None


@dataclass(frozen=True, slots=True)
class Throttle:
    """Software throttling: above ``threshold`` MVM runs at ``percent``, until the card is ``hysteresis`` cooler."""

    threshold: int  # degrees Celsius, the last two the same way
    hysteresis: int
    percent: int

    @classmethod
    def parse(cls, value: int) -> Throttle | None:
        """Return what a job asks for, None if the card would not take it."""
        found = cls(value >> 16, value >> 8 & 0xFF, value & 0xFF)
        fine = found.hysteresis < found.threshold <= reg.HIGHEST_THRESHOLD and 1 <= found.percent <= 100
        return found if fine else None

    @property
    def packed(self) -> int:
        """As the register shows it."""
        return self.threshold << 16 | self.hysteresis << 8 | self.percent

    def holds(self, millidegrees: int, held: bool) -> bool:
        """Whether it holds a card of that temperature, which it did or did not until now."""
        return millidegrees > 1000 * (self.threshold - (self.hysteresis if held else 0))


class MetisCard:
    """A card: configuration space, two BARs, one job at a time."""

    def __init__(
        self,
        profile: Profile,
        memory: Memory,
        interrupt: Callable[[int], None],
        port: Port = ANY_PORT,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Power the card on below ``port``; ``interrupt`` raises one MSI vector; ``clock`` counts seconds."""
        self.profile = profile
        self.port = port
        self.counters = Counters()
        self.heat = Heat(profile.temperatures, clock)
        self.region_sizes = REGION_SIZES
        self.config = ConfigSpace(
            METIS,
            bar_sizes(REGION_SIZES),
            link_width=profile.link_width,
            link_speed=profile.link_speed,
            msi_vectors=reg.MSI_VECTORS,
        )
        self._memory = memory
        self._interrupt = interrupt
        self._sleep = sleep
        self._faults: frozenset[str] = frozenset()
        self._behaviour = HEALTHY
        self._bar0 = bytearray(reg.BAR0_SIZE)
        # Anonymous memory: the 32 MiB cost nothing until they are touched.
        self._bar2 = mmap.mmap(-1, reg.BAR2_SIZE)
        self._power_up()

    def power_on(self) -> None:
        """Take the power away and bring it back: the card is cold, in reset, and may have windows of another size."""
        self.counters.resets += 1
        self._power_up()

    def _power_up(self) -> None:
        self.heat.cool_down()
        window = self._behaviour.window_mib << 20
        self.region_sizes = {**REGION_SIZES, REGION_BAR2: window}
        self.config.resize(bar_sizes(self.region_sizes))
        self.config.offer_vectors(self._behaviour.msi_vectors)
        # QEMU reads the whole configuration space before the guest's first reset and needs a card there.
        self._hides = False
        self._start()

    def _start(self) -> None:
        """Bring everything a reset touches to its state after power-on, firmware up."""
        self.config.reset()
        self._bar0[:] = bytes(reg.BAR0_SIZE)
        self._bar2[: reg.SHARED_SIZE] = shared_area()
        self._weights: Matrix | None = None
        self._clock_mhz = reg.CLOCKS_MHZ[-1]
        self._mvm_percent = 100
        self._throttle: Throttle | None = None
        self._throttled = False
        self._state = State.IDLE
        self._rung = False
        self._rescans = 0
        self._in_use = False
        self._show_behaviour()

    def reset(self) -> None:
        """Do what a bus reset does; faults stay, they are outside the card's power."""
        self.counters.resets += 1
        self._hides = True
        self._start()

    @property
    def faults(self) -> frozenset[str]:
        """Names of the faults that are on."""
        return self._faults

    def set_fault(self, name: str, on: bool) -> None:
        """Switch a fault; KeyError for one that is not in the table."""
        behaviour_under({name})
        before = self._behaviour
        self._faults = self._faults | {name} if on else self._faults - {name}
        self._behaviour = behaviour_under(self._faults)
        self._hides = True
        if self._behaviour.deaf_rescans != before.deaf_rescans:
            self._rescans = 0
        if self._behaviour.present and not before.present:
            self.power_on()
        self._show_behaviour()

    def _show_behaviour(self) -> None:
        """Make what a host sees without asking the card's firmware follow the faults."""
        self.config.identify(self._behaviour.identity)
        self.heat.climb_to(self._behaviour.heats_to)
        self._link_is_up = True
        self._train()

    def _train(self) -> None:
        able_width = min(self.profile.link_width, self.port.lanes)
        able_speed = min(self.profile.link_speed, self.port.generation)
        width = min(self._behaviour.link_width or able_width, able_width)
        speed = min(self._behaviour.link_speed or able_speed, able_speed)
        self.config.train_link(*((width, speed) if self._link_is_up else (1, 1)))

    @property
    def _is_there(self) -> bool:
        return not self._hides or (self._behaviour.present and not self.heat.shut_down)

    @property
    def _is_deaf(self) -> bool:
        return not self._behaviour.answers or self._rescans < self._behaviour.deaf_rescans or not self._is_there

    def status(self) -> dict[str, object]:
        """Return what the control socket reports, ready for JSON."""
        return {
            "profile": self.profile.name,
            "faults": sorted(self._faults),
            "state": self._state.name.lower(),
            "link_width": self.config.link_width,
            "link_speed": self.config.link_speed,
            "bus_master": self.config.bus_master,
            "host_announced": self._host_buffer() is not None,
            "shut_down": self.heat.shut_down,
            "temperatures": self.heat.temperatures,
            "rescans": self._rescans,
            "clock_mhz": self.heat.clock_mhz(self._clock_mhz),
            "mvm_percent": self._mvm(),
            "throttle": None if self._throttle is None else asdict(self._throttle),
            "counters": asdict(self.counters),
        }

    def read(self, region: int, offset: int, count: int) -> bytes:
        """Return bytes of a region; AccessError outside of it."""
        self._check(region, offset, count)
        if not self._is_there or (region != REGION_CONFIG and self._is_deaf):
            return b"\xff" * count
        if region == REGION_CONFIG:
            return self._read_config(offset, count)
        if region == REGION_BAR0:
            return self._read_registers(offset, count)
        if not self._behaviour.firmware and offset < reg.SHARED_SIZE:
            hidden = min(count, reg.SHARED_SIZE - offset)
            return bytes(hidden) + self._bar2[offset + hidden : offset + count]
        return self._bar2[offset : offset + count]

    def write(self, region: int, offset: int, data: bytes) -> None:
        """Store to a region; AccessError outside of it. A job that this starts waits for ``work``."""
        self._check(region, offset, len(data))
        if not self._is_there:
            return
        if region == REGION_CONFIG:
            self._write_config(offset, data)
        elif self._is_deaf:
            return
        elif region == REGION_BAR2:
            self._bar2[offset : offset + len(data)] = data
        elif BLOCK_START <= offset < BLOCK_END:
            self._write_register(offset, data)
        else:
            self._bar0[offset : offset + len(data)] = data

    def _check(self, region: int, offset: int, count: int) -> None:
        size = self.region_sizes.get(region)
        if size is None:
            raise AccessError(f"the card has no region {region}")
        if offset + count > size:
            raise AccessError(f"{count} bytes at {offset:#x} leave region {region}")

    def _read_config(self, offset: int, count: int) -> bytes:
        content = self.config.read(offset, count)
        if self._behaviour.link_flaps and offset <= LNKSTA < offset + count:
            self._link_is_up = not self._link_is_up
            self._train()
        return content

    def _write_config(self, offset: int, data: bytes) -> None:
        """Store, and notice a host that counts its bus anew after a driver has had the card."""
        seen = self.config.enumeration(offset, data)
        if seen.sizes_windows and self._in_use:
            self._rescans += 1
            self._in_use = False
        self._in_use = self._in_use or seen.takes_over
        self.config.write(offset, data)

    def _read_registers(self, offset: int, count: int) -> bytes:
        values = bytearray(self._bar0)
        if self._behaviour.firmware:
            for register, value in self._registers().items():
                struct.pack_into("<I", values, register, value)
        return bytes(values[offset : offset + count])

    def _registers(self) -> dict[Bar0, int]:
        major, minor, patch = self._behaviour.firmware_version or self.profile.firmware
        board_major, board_minor = self.profile.board_controller
        temperatures = (Bar0.TEMP_BOARD, Bar0.TEMP_CORE0, Bar0.TEMP_CORE1, Bar0.TEMP_CORE2, Bar0.TEMP_CORE3)
        return {
            Bar0.MAGIC: reg.BLOCK_MAGIC,
            Bar0.LAYOUT: reg.BLOCK_LAYOUT,
            Bar0.FIRMWARE: major << 16 | minor << 8 | patch,
            Bar0.BOARD_CONTROLLER: board_major << 8 | board_minor,
            Bar0.MEMORY_MIB: self.profile.memory_mib,
            Bar0.BOARD: self.profile.board,
            Bar0.CLOCK_MHZ: self.heat.clock_mhz(self._clock_mhz),
            Bar0.MVM_PERCENT: self._mvm(),
            Bar0.SW_THROTTLE: 0 if self._throttle is None else self._throttle.packed,
            Bar0.STATE: self._state,
            **dict(zip(temperatures, self.heat.temperatures, strict=True)),
        }

    def _write_register(self, offset: int, data: bytes) -> None:
        if offset not in WRITABLE_REGISTERS or len(data) != 4 or not self._behaviour.firmware:
            return
        if offset == Bar0.ABORT:
            self._rung = False
            self._state = State.IDLE
        elif self._state is not State.BUSY:
            self.counters.doorbells += 1
            self._state = State.BUSY
            self._rung = True

    def work(self) -> None:
        """Do the job a doorbell started, if any; called once the doorbell's write has been answered."""
        if not self._rung:
            return
        self._rung = False
        host = self._host_buffer()
        if host is None or not self.config.bus_master:
            self._state = State.NO_HOST
            return
        try:
            self._run(host)
        except DmaError:
            self._state = State.DMA_FAULT

    def _host_buffer(self) -> int | None:
        """Bus address of the buffer the driver announced, or None; the driver may have moved the area."""
        control, _, target, length = struct.unpack_from(reg.HOST_AREA_FORMAT, self._bar2, reg.HOST_AREA)
        announced = control == reg.HOST_AREA_ANNOUNCED and length >= reg.DATA
        return target if announced else None

    def _run(self, host: int) -> None:
        job = Job.parse(self._fetch(host + reg.JOB, reg.JOB_SIZE))
        if job is None:
            self._state = State.IDLE
            return
        if job.opcode == Opcode.MULTIPLY and not self._behaviour.finishes:
            return
        started = time.perf_counter_ns()
        try:
            status = self._carry_out(job)
        except DmaError:
            status = Status.BAD_ADDRESS
        taken = time.perf_counter_ns() - started
        done = struct.pack(reg.COMPLETION_FORMAT, job.sequence, status, taken)
        # The sequence is what the driver looks at: it may change only after the rest is in place.
        self._store(host + reg.COMPLETION + 4, done[4:])
        self._store(host + reg.COMPLETION, done[:4])
        self._state = State.IDLE
        self._raise(VECTOR_OF.get(job.opcode, reg.VECTOR_KERNEL))

    def _raise(self, vector: int) -> None:
        arriving = self._behaviour.interrupts
        if arriving is Interrupts.ALL or (arriving is Interrupts.FIRST and vector == 0):
            self.counters.interrupts += 1
            self._interrupt(vector)

    def _carry_out(self, job: Job) -> Status:
        match job.opcode:
            case Opcode.LOAD_WEIGHTS:
                return self._load(job)
            case Opcode.MULTIPLY:
                return self._multiply(job)
            case Opcode.SET_CLOCK if job.value in reg.CLOCKS_MHZ:
                self._clock_mhz = job.value
            case Opcode.SET_MVM if 1 <= job.value <= 100:
                self._mvm_percent = job.value
            case Opcode.SET_THROTTLE if throttle := Throttle.parse(job.value):
                self._throttle = throttle
            case Opcode.SET_CLOCK | Opcode.SET_MVM | Opcode.SET_THROTTLE:
                return Status.BAD_VALUE
            case _:
                return Status.BAD_OPCODE
        return Status.OK

    def _mvm(self) -> int:
        """MVM in percent as it is now: what was set, or less while throttling holds the card."""
        limit = self.heat.mvm_percent(self._mvm_percent)
        if self._throttle is None:
            return limit
        self._throttled = self._throttle.holds(max(self.heat.temperatures), self._throttled)
        return min(limit, self._throttle.percent) if self._throttled else limit

    def _load(self, job: Job) -> Status:
        limit = range(1, reg.MAX_DIMENSION + 1)
        if job.rows not in limit or job.cols not in limit:
            return Status.BAD_SHAPE
        weights = self._fetch(job.input, job.rows * job.cols)
        self._bar2[reg.WEIGHTS : reg.WEIGHTS + len(weights)] = weights
        self._weights = matrix(weights, job.rows, job.cols)
        return Status.OK

    def _multiply(self, job: Job) -> Status:
        if self._weights is None:
            return Status.NO_WEIGHTS
        shape = (len(self._weights), len(self._weights[0]))
        if (job.rows, job.cols) != shape or not 1 <= job.cores <= reg.CORES:
            return Status.BAD_SHAPE
        started = time.perf_counter()
        answer = multiply(self._weights, self._fetch(job.input, job.cols))
        taken = time.perf_counter() - started
        self._sleep(self._behaviour.product_seconds + taken * (self.heat.slowdown - 1))
        self._store(job.output, answer if self._behaviour.right_answers else one_byte_wrong(answer))
        self.counters.products += 1
        return Status.OK

    def _fetch(self, address: int, count: int) -> bytes:
        data = self._memory.read(address, count)
        self.counters.dma_read_bytes += count
        return data

    def _store(self, address: int, data: bytes) -> None:
        self._memory.write(address, data)
        self.counters.dma_written_bytes += len(data)


def shared_area() -> bytes:
    """Return the shared control area as firmware leaves it once it has come up."""
    area = bytearray(reg.SHARED_SIZE)
    struct.pack_into("<H6xQQ", area, reg.SHARED_CONTROL, reg.SHARED_CONTROL_MAGIC, reg.DEVICE_BASE, reg.SHARED_SIZE)
    struct.pack_into("<Q", area, reg.SHARED_MEMORY_MAP, reg.DEVICE_BASE)
    struct.pack_into("<I", area, reg.SHARED_DMA_VM, reg.SHARED_DMA_VM_MAGIC)
    descriptors = reg.DEVICE_BASE + reg.BAR2_SIZE - reg.DESCRIPTOR_MEMORY
    for reference, magic, place, content in (
        (reg.SHARED_HOST_DRIVER, reg.SHARED_HOST_DRIVER_MAGIC, reg.HOST_AREA, bytes(reg.HOST_AREA_SIZE)),
        (
            reg.SHARED_DESCRIPTORS,
            reg.SHARED_DESCRIPTORS_MAGIC,
            reg.DESCRIPTOR_AREA,
            struct.pack("<QQ", descriptors, reg.DESCRIPTOR_MEMORY),
        ),
        (reg.SHARED_VMSI, reg.SHARED_VMSI_MAGIC, reg.VMSI_AREA, _virtual_msi()),
    ):
        struct.pack_into(reg.REFERENCE_FORMAT, area, reference, magic, 1, 0, len(content), place, 0, 0, 0, 0)
        area[place : place + len(content)] = content
    return bytes(area)


def _virtual_msi() -> bytes:
    """Return the virtual-MSI area: each of the 32 vectors is raised by hardware and stands for itself.

    Two counts (virtual, physical), for each physical vector enabled, source and virtual vector, then for each
    virtual one its physical. The driver sizes its tables by the first count, so it may not be zero.
    """
    raised_by_hardware = 1
    vectors = range(reg.MSI_VECTORS)
    rows = [struct.pack("<BB2xI", True, raised_by_hardware, vector) for vector in vectors]
    return struct.pack("<HH", len(vectors), len(vectors)) + b"".join(rows) + bytes(vectors)


def one_byte_wrong(answer: bytes) -> bytes:
    """Return ``answer`` with one bit of its middle byte turned over."""
    middle = len(answer) // 2
    return answer[:middle] + bytes([answer[middle] ^ 0x01]) + answer[middle + 1 :]


def bar_sizes(regions: Mapping[int, int]) -> tuple[int, ...]:
    """Return the sizes of six BARs; those of regions the card does not have are 0."""
    return tuple(regions.get(bar, 0) for bar in range(6))
