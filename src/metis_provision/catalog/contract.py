"""Typed view of ``contract.yml``: the names taken from the real world, each with where it was read."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator


class Source(StrEnum):
    """Where a name was read; the head of ``contract.yml`` says what each stands for."""

    CODE = "code"
    DOCS = "docs"
    FIELD = "field"
    PCIIDS = "pciids"
    SEED = "seed"
    LAB = "lab"


class IdKind(StrEnum):
    """What finding a PCI id means for a host."""

    METIS = "metis"
    DOCUMENTED = "documented"
    EMULATOR = "emulator"
    UNSTARTED = "unstarted"
    FOREIGN = "foreign"


class LogMeaning(StrEnum):
    """What a line of the kernel log says about the card."""

    HEALTHY = "healthy"
    BAD = "bad"
    HARMLESS = "harmless"


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class _Sourced(_Entry):
    source: Source


class Number(_Sourced):
    """A number and its source."""

    value: int


class Text(_Sourced):
    """A name or path and its source; paths may hold ``{bdf}``."""

    value: str

    def __str__(self) -> str:
        return self.value

    def at(self, bdf: str) -> str:
        """Return the value with ``{bdf}`` replaced."""
        return self.value.format(bdf=bdf)


class PciId(_Sourced):
    """One vendor:device pair; ``device`` None stands for every device of that vendor."""

    vendor: int = Field(ge=0, le=0xFFFF)
    device: int | None = Field(ge=0, le=0xFFFF)
    name: str
    kind: IdKind

    @property
    def class_guarded(self) -> bool:
        """Whether the pair counts as a Metis only together with the accelerator class."""
        return self.kind is IdKind.DOCUMENTED

    @property
    def vendor_hex(self) -> str:
        """Four hex digits without 0x, as lspci prints them."""
        return f"{self.vendor:04x}"

    @property
    def device_hex(self) -> str | None:
        """Four hex digits without 0x, or None for every device of the vendor."""
        return None if self.device is None else f"{self.device:04x}"

    def matches(self, vendor: int, device: int) -> bool:
        """Whether this entry speaks of ``vendor:device``."""
        return self.vendor == vendor and self.device in (None, device)


class DeviceClass(_Sourced):
    """A class of character devices; ``shared`` if other vendors' devices are in it too."""

    name: str
    shared: bool


class NodeName(_Sourced):
    """How a device node or link is named; ``pattern`` matches the whole name without ``/dev/``."""

    template: str
    pattern: str
    since: str | None

    def name(self, bdf: str) -> str:
        """Name for a card at ``bdf`` (``0000:01:00.0``); ValueError if it is no PCI address."""
        found = re.fullmatch(r"([0-9a-f]{4,}):([0-9a-f]{2}):([0-9a-f]{2})\.[0-7]", bdf)
        if found is None:
            raise ValueError(f"{bdf!r} is not a PCI address")
        domain, bus, slot = (int(part, 16) for part in found.groups())
        return self.template.format(domain=domain, bus=bus, slot=slot)

    def matches(self, name: str) -> bool:
        """Whether ``name`` (without ``/dev/``) has this form."""
        return re.fullmatch(self.pattern, name) is not None


class Nodes(_Entry):
    """Names of the nodes, of the links beside them, and of the entries of their class in sysfs."""

    current: NodeName
    legacy: NodeName
    class_entry: NodeName
    alias: NodeName
    stable: NodeName


class Sysfs(_Entry):
    """Paths the kernel shows; those with ``{bdf}`` are per card (see ``Text.at``)."""

    pci_device: Text
    node_of_device: Text
    driver: Text
    device_class: Text
    loaded_version: Text
    module_version: Text
    parameters: Text
    restore: Text
    debugfs: Text
    dma_heap: Text


class Parameter(_Sourced):
    """A module parameter and the driver's default."""

    name: str
    default: int


class _Pattern(_Sourced):
    name: str
    pattern: str

    @property
    def regex(self) -> re.Pattern[str]:
        """The compiled pattern."""
        return re.compile(self.pattern)


class LogLine(_Pattern):
    """A line of the kernel log, to be searched for."""

    meaning: LogMeaning


class Log(_Entry):
    """What the driver writes to the kernel log."""

    prefix: Text
    lines: tuple[LogLine, ...]

    def line(self, name: str) -> LogLine:
        """Return the line called ``name``; KeyError if the contract has none."""
        return _named(self.lines, name)

    def meaning(self, meaning: LogMeaning) -> tuple[LogLine, ...]:
        """Every line with this meaning."""
        return tuple(line for line in self.lines if line.meaning is meaning)


class ToolLine(_Pattern):
    """One whole line a tool prints, with an example that the pattern matches."""

    example: str

    @model_validator(mode="after")
    def _example_matches(self) -> ToolLine:
        if self.regex.fullmatch(self.example) is None:
            raise ValueError(f"the example of {self.name} does not match its own pattern")
        return self


class Tool(_Entry):
    """A command of the runtime: what it runs itself and what it prints."""

    needs: tuple[str, ...]
    lines: tuple[ToolLine, ...]

    def line(self, name: str) -> ToolLine:
        """Return the line called ``name``; KeyError if the contract has none."""
        return _named(self.lines, name)


class Tools(_Entry):
    """The runtime's commands."""

    axdevice: Tool
    axrunmodel: Tool
    axlogdevice: Tool
    axcmd: Tool
    inference: Tool


class Area(_Sourced):
    """A magic that started firmware leaves at ``offset`` from BAR2; ``width`` in bytes."""

    name: str
    offset: int
    magic: int
    width: int


class Vectors(_Sourced):
    """MSI vectors ``first`` to ``last``, both included, of one purpose."""

    name: str
    first: int
    last: int


class CardFacts(_Entry):
    """What the driver asks of a card."""

    revision: Number
    bar0_size: Number
    bar2_size: Number
    msi_vectors: Number
    link_speed_gts: Number
    link_width: Number
    dma_buffer_size: Number
    areas: tuple[Area, ...]
    vectors: tuple[Vectors, ...]

    def area(self, name: str) -> Area:
        """Return the area called ``name``; KeyError if the contract has none."""
        return _named(self.areas, name)

    def vector(self, name: str) -> Vectors:
        """Return the vectors called ``name``; KeyError if the contract has none."""
        return _named(self.vectors, name)


class Contract(_Entry):
    """Everything in ``contract.yml``."""

    class_code: Number
    class_guard: Number
    ids: tuple[PciId, ...]
    module: Text
    pci_driver: Text
    device_classes: tuple[DeviceClass, ...]
    nodes: Nodes
    sysfs: Sysfs
    parameters: tuple[Parameter, ...]
    log: Log
    tools: Tools
    card: CardFacts

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Contract:
        pairs = [(entry.vendor, entry.device) for entry in self.ids]
        if len(set(pairs)) != len(pairs):
            raise ValueError("two entries of ids name the same vendor and device")
        return self

    def identify(self, vendor: int, device: int, class_code: int) -> PciId | None:
        """Return the entry that speaks of a PCI function, or None.

        ``class_code`` is the 24-bit number of sysfs ``class``. An id that only documents call Axelera
        is reported only for a function of the accelerator class; NVMe disks and network cards are not.
        """
        for entry in self.ids:
            if entry.matches(vendor, device):
                guarded_out = entry.class_guarded and class_code >> 8 != self.class_guard.value
                return None if guarded_out else entry
        return None


_Named = TypeVar("_Named", LogLine, ToolLine, Area, Vectors)


def _named(entries: tuple[_Named, ...], name: str) -> _Named:
    for entry in entries:
        if entry.name == name:
            return entry
    raise KeyError(name)


@cache
def contract() -> Contract:
    """Return the contract, read once."""
    text = files("metis_provision.catalog").joinpath("contract.yml").read_text(encoding="utf-8")
    return Contract.model_validate(yaml.safe_load(text))
