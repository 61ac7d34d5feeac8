"""Readers of formats that are not ours: os-release, dkms status, df, PCI configuration space. Pure and tolerant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from metis_provision.model.survey import DkmsBuild

_NUMBER = re.compile(r"(?:0[xX])?[0-9a-fA-F]{1,16}", re.ASCII)


def number(text: str, base: int = 10) -> int | None:
    """Return the whole number in ``text``, or None; base 16 takes ``0x`` or none."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return int(text, base)
    except ValueError:
        return None


def parse_os_release(lines: Iterable[str]) -> dict[str, str]:
    """Return os-release's variables unquoted; lines that assign nothing are left out."""
    values = {}
    for line in lines:
        name, equals, value = line.strip().partition("=")
        if equals and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            values[name] = _unquoted(value)
    return values


def _unquoted(value: str) -> str:
    # os-release(5): quoted like a shell's string, without expansion and without concatenation.
    quote = value[:1]
    if quote not in {"'", '"'}:
        return value
    inner = value[1:-1] if len(value) > 1 and value.endswith(quote) else value[1:]
    return re.sub(r'\\([\\"$`])', r"\1", inner) if quote == '"' else inner


# DKMS 3 and late DKMS 2: "metis/1.2.4, 6.1.0-28-amd64, x86_64: installed"; DKMS 2 to 2.8.6: "metis, 1.2.4, ...".
# A kernel's release holds dots, "+" and "~" but neither commas nor colons.
_DKMS_LINE = re.compile(
    r"(?P<module>[A-Za-z0-9_.+-]+?)(?:/|, )(?P<version>[^,:\s/]+)"
    r"(?:, (?P<kernel>[^,:\s]+), (?P<architecture>[^,:\s]+))?"
    r": (?P<state>added|built|installed-weak|installed|broken)\b(?P<remark>.*)"
)


def parse_dkms_line(line: str) -> DkmsBuild | None:
    """Return what one line of ``dkms status`` says, or None if it is no status line."""
    found = _DKMS_LINE.fullmatch(line.strip())
    if found is None:
        return None
    return DkmsBuild(
        module=found["module"],
        version=found["version"],
        kernel=found["kernel"],
        architecture=found["architecture"],
        state=found["state"],
        remark=found["remark"].strip() or None,
    )


def parse_dkms_status(lines: Iterable[str]) -> tuple[DkmsBuild, ...]:
    """Return every build that the output of ``dkms status`` lists, of DKMS 2 and 3 alike."""
    return tuple(build for build in map(parse_dkms_line, lines) if build is not None)


_DF_LINE = re.compile(r".*\s(\d+)\s+(-?\d+)\s+(-?\d+)\s+(?:-?\d+%|-)\s+\S.*", re.ASCII)


def df_available(line: str) -> int | None:
    """Return the available KiB in one line of ``df -P -k``; None for its heading."""
    found = _DF_LINE.fullmatch(line)
    return number(found[3].lstrip("-")) if found and not found[3].startswith("-") else (0 if found else None)


@dataclass(frozen=True, slots=True)
class Config:
    """What the readable part of a function's configuration space says; payload and request sizes in bytes."""

    reads_ff: bool = False
    max_payload: int | None = None
    max_read_request: int | None = None


# Offsets and layout: PCI Local Bus 3.0 chapter 6, PCI Express Base chapter 7 (Device Control, 08h in its capability).
_CAPABILITIES_POINTER = 0x34
_STATUS = 0x06
_STATUS_HAS_CAPABILITIES = 0x10
_EXPRESS_CAPABILITY = 0x10
_DEVICE_CONTROL = 0x08


def parse_config(data: bytes) -> Config:
    """Read a configuration space of any length; what lies behind its end is None."""
    if len(data) >= 4 and data[:4] == b"\xff\xff\xff\xff":
        return Config(reads_ff=True)
    control = _device_control(data)
    if control is None:
        return Config()
    return Config(max_payload=128 << (control >> 5 & 7), max_read_request=128 << (control >> 12 & 7))


def _device_control(data: bytes) -> int | None:
    if len(data) <= _CAPABILITIES_POINTER or not data[_STATUS] & _STATUS_HAS_CAPABILITIES:
        return None
    pointer = data[_CAPABILITIES_POINTER] & 0xFC
    seen: set[int] = set()
    while pointer >= 0x40 and pointer + 1 < len(data) and pointer not in seen:
        seen.add(pointer)
        if data[pointer] == _EXPRESS_CAPABILITY:
            value = data[pointer + _DEVICE_CONTROL : pointer + _DEVICE_CONTROL + 2]
            return int.from_bytes(value, "little") if len(value) == 2 else None
        pointer = data[pointer + 1] & 0xFC
    return None


_RESOURCE_UNSET = 0x20000000  # IORESOURCE_UNSET, include/linux/ioport.h


def bar_size(start: int, end: int, flags: int) -> int:
    """Return the bytes of one line of sysfs ``resource``; 0 for a BAR that is not there or got no address."""
    if not flags or flags & _RESOURCE_UNSET or not start or end < start:
        return 0
    return end - start + 1
