"""Every offset, magic and code shared by the virtual card and the stand-in driver.

This is the one place they are decided; ``standin/driver/metis_regs.h`` says the same in C and a test holds the
two together. What the vendor's own driver looks for (``SHARED_*``, ``VECTOR_*``, BAR sizes) comes from
``catalog/contract.yml``; the register block, jobs and opcodes are the stand-in's own. The block sits where a real
card has nothing: its DMA engine's registers, which the vendor's driver sets up, end below 0x930.
"""

from __future__ import annotations

from enum import IntEnum

BAR0_SIZE = 0x1000
BAR2_SIZE = 0x2000000
HOST_BUFFER_SIZE = 0x200000
"""Coherent DMA memory the driver gives the card, in bytes."""

MSI_VECTORS = 32
VECTOR_KERNEL = 0
VECTOR_DMA_READ = 4
VECTOR_MESSAGE = 12

SHARED_SIZE = 0x1000
"""Length of the shared control area at the start of BAR2, in bytes."""
SHARED_CONTROL = 0x0
SHARED_CONTROL_MAGIC = 0xFD1F
SHARED_MEMORY_MAP = 0x208
"""Where the shared area says at which address the card itself sees the memory behind BAR2."""
SHARED_DMA_VM = 0x218
SHARED_DMA_VM_MAGIC = 0xC1A0C1A0
SHARED_HOST_DRIVER = 0x2B8
SHARED_HOST_DRIVER_MAGIC = 0xBAC1
SHARED_DESCRIPTORS = 0x2D0
SHARED_DESCRIPTORS_MAGIC = 0xD4D4
SHARED_VMSI = 0x2E8
SHARED_VMSI_MAGIC = 0xB5B5

REFERENCE_FORMAT = "<HBBIQHHHH"
"""A reference to an area: magic, major, minor, size, offset from BAR2, area number, three unused."""
REFERENCE_OFFSET = 8
"""Where in a reference the area's offset from BAR2 stands."""

DEVICE_BASE = 0x08000000
"""Address at which the card itself sees the memory behind BAR2."""
HOST_AREA = 0x800
"""Where this card puts its host-driver area; a driver takes the place from the reference. What is below belongs
to the boot loader."""
DESCRIPTOR_AREA = 0x840
VMSI_AREA = 0x880
DESCRIPTOR_MEMORY = 0x8000
"""Bytes at the end of BAR2 that the card sets aside for descriptors of its DMA engine."""
HOST_AREA_FORMAT = "<IIQI"
HOST_AREA_CONTROL = 0
HOST_AREA_TARGET = 8
HOST_AREA_LENGTH = 16
HOST_AREA_SIZE = 20
HOST_AREA_ANNOUNCED = 1

WEIGHTS = 0x100000
"""Where in BAR2 loaded weights are kept."""

BLOCK_MAGIC = 0x53544E44
BLOCK_LAYOUT = 1


class Bar0(IntEnum):
    """Registers of the stand-in block, 32 bits each, offsets from BAR0."""

    MAGIC = 0xC00
    LAYOUT = 0xC04
    FIRMWARE = 0xC08  # major << 16 | minor << 8 | patch
    BOARD_CONTROLLER = 0xC0C  # major << 8 | minor
    MEMORY_MIB = 0xC10
    BOARD = 0xC14
    CLOCK_MHZ = 0xC18
    MVM_PERCENT = 0xC1C
    TEMP_BOARD = 0xC20  # thousandths of a degree Celsius, the four cores after it
    TEMP_CORE0 = 0xC24
    TEMP_CORE1 = 0xC28
    TEMP_CORE2 = 0xC2C
    TEMP_CORE3 = 0xC30
    SW_THROTTLE = 0xC34  # threshold << 16 | hysteresis << 8 | percent, zero until somebody sets it
    STATE = 0xC38
    DOORBELL = 0xC40  # a write of any value starts the job in the host buffer
    ABORT = 0xC44  # a write of any value forgets the job that runs


class Board(IntEnum):
    """What ``Bar0.BOARD`` says."""

    M2 = 1
    PCIE = 2


class State(IntEnum):
    """What ``Bar0.STATE`` says."""

    IDLE = 0
    BUSY = 1
    NO_HOST = 2  # a doorbell rang before a driver announced its buffer
    DMA_FAULT = 3  # the job or its completion could not be reached in host memory


class Opcode(IntEnum):
    """What a job asks for."""

    LOAD_WEIGHTS = 1  # rows x cols int8 from `input`
    MULTIPLY = 2  # cols int8 from `input`, rows little-endian int32 to `output`
    SET_CLOCK = 3  # `value` in MHz
    SET_MVM = 4  # `value` in percent
    SET_THROTTLE = 5  # `value` as in Bar0.SW_THROTTLE


class Status(IntEnum):
    """How a job ended."""

    OK = 0
    BAD_OPCODE = 1
    BAD_SHAPE = 2
    BAD_ADDRESS = 3
    NO_WEIGHTS = 4
    BAD_VALUE = 5


JOB = 0x0
"""Where in the host buffer the job stands."""
JOB_MAGIC = 0x4D4A4F42
JOB_FORMAT = "<IIQQIIIIII"
"""Magic, opcode, input and output (DMA addresses), rows, cols, cores, value, sequence, unused."""
JOB_SIZE = 48

COMPLETION = 0x40
"""Where in the host buffer the card writes how the job ended."""
COMPLETION_FORMAT = "<IIQ"
"""Sequence of the job, status, time the card took in nanoseconds."""
COMPLETION_SIZE = 16

DATA = 0x1000
"""Where in the host buffer a program's data begins."""

MAX_DIMENSION = 1024
CORES = 4
HIGHEST_THRESHOLD = 200
"""Degrees Celsius; what cards come with, and above what they can reach."""
CLOCKS_MHZ = (100, 200, 400, 600, 700, 800)


def c_macros() -> dict[str, int]:
    """Return every ``#define`` that ``metis_regs.h`` must hold, by name."""
    names = {
        name: value
        for name, value in globals().items()
        if name.isupper() and isinstance(value, int) and not name.startswith("_")
    }
    for prefix, group in (
        ("BAR0", Bar0),
        ("BOARD", Board),
        ("STATE", State),
        ("OP", Opcode),
        ("STATUS", Status),
    ):
        names |= {f"{prefix}_{member.name}": int(member) for member in group}
    return {f"METIS_{name}": value for name, value in names.items()}
