"""PCI configuration space of the card: 4 KiB of bytes, each with the bits a host may write or clear.

Offsets and bits are those of the PCI Express Base Specification, as named in Linux's ``pci_regs.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from metis_provision.lab.card.behaviour import Identity

CONFIG_SIZE = 4096
COMMAND = 0x04
STATUS = 0x06
BARS = 0x10
CAPABILITIES = 0x34
INTERRUPT_LINE = 0x3C
INTERRUPT_PIN = 0x3D

COMMAND_MEMORY = 1 << 1
COMMAND_MASTER = 1 << 2
# Memory, bus master, parity error response, SERR, INTx disable.
COMMAND_WRITABLE = COMMAND_MEMORY | COMMAND_MASTER | 1 << 6 | 1 << 8 | 1 << 10
STATUS_CAPABILITY_LIST = 1 << 4
STATUS_CLEARABLE = 0xF900

EXPRESS = 0x40
EXPRESS_ID = 0x10
DEVCAP, DEVCTL, DEVSTA = EXPRESS + 0x04, EXPRESS + 0x08, EXPRESS + 0x0A
LNKCAP, LNKCTL, LNKSTA = EXPRESS + 0x0C, EXPRESS + 0x10, EXPRESS + 0x12
DEVCAP2, DEVCTL2 = EXPRESS + 0x24, EXPRESS + 0x28
LNKCAP2, LNKCTL2 = EXPRESS + 0x2C, EXPRESS + 0x30
DEVCAP_PAYLOAD_256 = 1
DEVCAP_ROLE_BASED = 1 << 15
DEVCTL_WRITABLE = 0x7FFF  # all but the function-level reset the card does not have
DEVCTL_DEFAULT = 0x2810  # relaxed ordering, no snoop, read requests of 512 bytes
DEVSTA_CLEARABLE = 0x000F
LNKCAP_PORT_SHIFT = 24
LNKCTL_WRITABLE = 0x03C3  # ASPM, common clock, extended sync, clock power management
DEVCTL2_WRITABLE = 0x001F
LNKCTL2_WRITABLE = 0x001F

MSI = 0x90
MSI_ID = 0x05
MSI_CONTROL = MSI + 0x02
MSI_ENABLE = 1 << 0
MSI_64BIT = 1 << 7
MSI_GRANTED_SHIFT = 4

AER = 0x100
AER_ID = 0x0001
AER_VERSION = 2
AER_UNCORRECTABLE, AER_UNCORRECTABLE_MASK, AER_UNCORRECTABLE_SEVERITY = AER + 0x04, AER + 0x08, AER + 0x0C
AER_CORRECTABLE, AER_CORRECTABLE_MASK = AER + 0x10, AER + 0x14
AER_UNCORRECTABLE_BITS = 0x0067F030
AER_UNCORRECTABLE_FATAL = 0x00462030
AER_CORRECTABLE_BITS = 0x0000F1C1
AER_CORRECTABLE_MASKED = 0x00002000  # advisory non-fatal errors start masked


@dataclass(frozen=True, slots=True)
class Enumeration:
    """What a write to configuration space says of the host: whether it counts the bus or takes the card into use."""

    sizes_windows: bool
    takes_over: bool


class ConfigSpace:
    """Configuration space that obeys read-only and write-1-to-clear bits at any access width."""

    def __init__(
        self,
        identity: Identity,
        bar_sizes: Sequence[int],
        *,
        link_width: int,
        link_speed: int,
        msi_vectors: int,
    ) -> None:
        """Lay out the space.

        ``bar_sizes`` holds six sizes in bytes, powers of two of at least 16 or 0 for none, all 32-bit memory;
        ``link_speed`` is a PCI Express generation; ``msi_vectors`` a power of two up to 32.
        """
        self._data = bytearray(CONFIG_SIZE)
        self._writable = bytearray(CONFIG_SIZE)
        self._clearable = bytearray(CONFIG_SIZE)
        self._identity = identity
        self._add_header(identity, bar_sizes)
        self._add_express(link_width, link_speed)
        self._add_msi(msi_vectors)
        self._add_aer()
        self._power_on = bytearray(self._data)

    def _set(self, offset: int, layout: str, value: int, *, writable: int = 0, clearable: int = 0) -> None:
        struct.pack_into(layout, self._data, offset, value)
        struct.pack_into(layout, self._writable, offset, writable)
        struct.pack_into(layout, self._clearable, offset, clearable)

    def _add_header(self, identity: Identity, bar_sizes: Sequence[int]) -> None:
        self._identify(identity)
        self._set(COMMAND, "<H", 0, writable=COMMAND_WRITABLE)
        self._set(STATUS, "<H", STATUS_CAPABILITY_LIST, clearable=STATUS_CLEARABLE)
        self._set(0x0C, "<B", 0, writable=0xFF)
        self._lay_out_bars(bar_sizes)
        self._set(CAPABILITIES, "<B", EXPRESS)
        self._set(INTERRUPT_LINE, "<B", 0, writable=0xFF)
        self._set(INTERRUPT_PIN, "<B", 1)

    def _identify(self, identity: Identity) -> None:
        for vendor, device in ((0x00, 0x02), (0x2C, 0x2E)):
            self._set(vendor, "<H", identity.vendor)
            self._set(device, "<H", identity.device)
        self._set(0x08, "<I", identity.class_code << 8 | identity.revision)

    def _lay_out_bars(self, bar_sizes: Sequence[int]) -> None:
        for index, size in enumerate(bar_sizes):
            self._set(BARS + 4 * index, "<I", 0, writable=-size & 0xFFFFFFFF if size else 0)

    def _add_express(self, width: int, speed: int) -> None:
        endpoint_version_2 = 0x0002
        self._set(EXPRESS, "<H", EXPRESS_ID | MSI << 8)
        self._set(EXPRESS + 2, "<H", endpoint_version_2)
        self._set(DEVCAP, "<I", DEVCAP_PAYLOAD_256 | DEVCAP_ROLE_BASED)
        self._set(DEVCTL, "<H", DEVCTL_DEFAULT, writable=DEVCTL_WRITABLE)
        self._set(DEVSTA, "<H", 0, clearable=DEVSTA_CLEARABLE)
        self._set(LNKCAP, "<I", speed | width << 4 | 0 << LNKCAP_PORT_SHIFT)
        self._set(LNKCTL, "<H", 0, writable=LNKCTL_WRITABLE)
        self._set(LNKSTA, "<H", speed | width << 4)
        self._set(DEVCTL2, "<H", 0, writable=DEVCTL2_WRITABLE)
        self._set(LNKCAP2, "<I", (2 << speed) - 2)
        self._set(LNKCTL2, "<H", speed, writable=LNKCTL2_WRITABLE)

    def _add_msi(self, vectors: int) -> None:
        log2 = vectors.bit_length() - 1
        self._set(MSI, "<H", MSI_ID)
        self._set(MSI_CONTROL, "<H", log2 << 1 | MSI_64BIT, writable=MSI_ENABLE | 7 << MSI_GRANTED_SHIFT)
        self._set(MSI + 0x04, "<I", 0, writable=0xFFFFFFFC)
        self._set(MSI + 0x08, "<I", 0, writable=0xFFFFFFFF)
        self._set(MSI + 0x0C, "<H", 0, writable=0xFFFF)

    def _add_aer(self) -> None:
        self._set(AER, "<I", AER_ID | AER_VERSION << 16)
        self._set(AER_UNCORRECTABLE, "<I", 0, clearable=AER_UNCORRECTABLE_BITS)
        self._set(AER_UNCORRECTABLE_MASK, "<I", 0, writable=AER_UNCORRECTABLE_BITS)
        self._set(AER_UNCORRECTABLE_SEVERITY, "<I", AER_UNCORRECTABLE_FATAL, writable=AER_UNCORRECTABLE_BITS)
        self._set(AER_CORRECTABLE, "<I", 0, clearable=AER_CORRECTABLE_BITS)
        self._set(AER_CORRECTABLE_MASK, "<I", AER_CORRECTABLE_MASKED, writable=AER_CORRECTABLE_BITS)

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes; the caller has checked that they lie inside the space."""
        return bytes(self._data[offset : offset + count])

    def write(self, offset: int, data: bytes) -> None:
        """Write what a host may write, clear what it may clear, leave the rest."""
        for index, value in enumerate(data, start=offset):
            writable = self._writable[index]
            kept = self._data[index] & ~(self._clearable[index] & value)
            self._data[index] = (kept & ~writable | value & writable) & 0xFF

    def reset(self) -> None:
        """Return to the state after power-on, under the same identity."""
        identity = self._identity
        self._data[:] = self._power_on
        self.identify(identity)

    def identify(self, identity: Identity) -> None:
        """Show other numbers from now on."""
        self._identity = identity
        self._identify(identity)

    def resize(self, bar_sizes: Sequence[int]) -> None:
        """Take BARs of other sizes, without addresses."""
        self._lay_out_bars(bar_sizes)

    def offer_vectors(self, vectors: int) -> None:
        """Offer so many MSI vectors from now on, a power of two, and none of them granted yet."""
        self._add_msi(vectors)
        end = MSI_CONTROL + 2
        self._power_on[MSI_CONTROL:end] = self._data[MSI_CONTROL:end]

    @staticmethod
    def enumeration(offset: int, data: bytes) -> Enumeration:
        """Return what a write says of the host."""
        ones = int.from_bytes(data, "little") == (1 << 8 * len(data)) - 1
        command = COMMAND - offset
        masters = 0 <= command < len(data) and bool(data[command] & COMMAND_MASTER)
        return Enumeration(sizes_windows=offset == BARS and len(data) == 4 and ones, takes_over=masters)

    def train_link(self, width: int, speed: int) -> None:
        """Report a link of ``width`` lanes at a PCI Express generation in LnkSta."""
        struct.pack_into("<H", self._data, LNKSTA, speed | width << 4)

    @property
    def link_width(self) -> int:
        """Lanes in LnkSta."""
        return self._word(LNKSTA) >> 4 & 0x3F

    @property
    def link_speed(self) -> int:
        """PCI Express generation in LnkSta."""
        return self._word(LNKSTA) & 0xF

    @property
    def bus_master(self) -> bool:
        """Whether the host lets the card start transfers."""
        return bool(self._word(COMMAND) & COMMAND_MASTER)

    @property
    def msi_enabled(self) -> bool:
        """Whether the host enabled message-signalled interrupts."""
        return bool(self._word(MSI_CONTROL) & MSI_ENABLE)

    @property
    def msi_granted(self) -> int:
        """How many vectors the host granted."""
        return 1 << (self._word(MSI_CONTROL) >> MSI_GRANTED_SHIFT & 7)

    def _word(self, offset: int) -> int:
        return int.from_bytes(self._data[offset : offset + 2], "little")
