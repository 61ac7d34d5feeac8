"""Readers of what Secure Boot's tools print: mokutil, openssl, /proc/keys. Text only: their exit codes mean nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable

from metis_provision.model.survey import Certificate

_COLONS = re.compile(r"(?:[0-9a-fA-F]{2}:)+[0-9a-fA-F]{2}")
_DECIMAL = re.compile(r"(\d{1,60}) \(0x[0-9a-fA-F]+\)", re.ASCII)
_KEY_ID = re.compile(r"(.*): ([0-9a-f]{8,64}): \S+ .*")
_NAME = re.compile(r"CN ?= ?([^,/]+)")


def secure_boot_state(lines: Iterable[str]) -> bool | None:
    """Whether Secure Boot is on, from ``mokutil --sb-state`` or the kernel's log; None if neither says."""
    text = "\n".join(lines).lower()
    if "secureboot enabled" in text or "secure boot enabled" in text or "efi secure boot mode" in text:
        return True
    if "secureboot disabled" in text or "secure boot disabled" in text:
        return False
    return None


def serial_number(text: str) -> str | None:
    """A serial number as ``Certificate`` has it, from hexadecimal with or without colons; None for anything else."""
    digits = text.strip().replace(":", "").lower()
    return (digits.lstrip("0") or "0") if re.fullmatch(r"[0-9a-f]{1,80}", digits) else None


def parse_certificates(lines: Iterable[str]) -> tuple[Certificate, ...]:
    """The certificates in the output of ``mokutil --list-enrolled`` or ``--list-new``, whole or cut to what matters."""
    found: list[dict[str, str]] = []
    awaited = ""
    for line in (raw.strip() for raw in lines):
        if line.startswith("[key"):
            found.append({})
        elif not found:
            continue
        elif line.startswith("SHA1 Fingerprint:"):
            found[-1]["fingerprint"] = _plain(line.partition(":")[2])
        elif line.startswith("Serial Number:"):
            rest = line.partition(":")[2].strip()
            number = _DECIMAL.fullmatch(rest)
            if number:
                found[-1]["serial"] = f"{int(number[1]):x}"
            awaited = "" if rest else "serial"
            continue
        elif line.startswith("Subject:"):
            name = _NAME.search(line)
            found[-1]["name"] = name[1].strip() if name else ""
        elif line.endswith("Subject Key Identifier:"):
            awaited = "key_id"
            continue
        elif awaited and _COLONS.fullmatch(line):
            found[-1][awaited] = (serial_number(line) or "") if awaited == "serial" else _plain(line)
        awaited = ""
    return tuple(
        Certificate(
            fingerprint=key.get("fingerprint") or None,
            serial=key.get("serial") or None,
            key_id=key.get("key_id") or None,
            name=key.get("name", ""),
        )
        for key in found
        if key
    )


def parse_openssl(lines: Iterable[str], fingerprint: str) -> Certificate:
    """A certificate from ``openssl x509 -serial -subject -ext subjectKeyIdentifier`` and the SHA-1 of its file."""
    serial = key_id = None
    name = ""
    for line in (raw.strip() for raw in lines):
        if line.startswith("serial="):
            serial = serial_number(line.removeprefix("serial="))
        elif line.startswith("subject"):
            found = _NAME.search(line)
            name = found[1].strip() if found else ""
        elif _COLONS.fullmatch(line):
            key_id = _plain(line)
    return Certificate(_plain(fingerprint) or None, serial, key_id, name)


def parse_kernel_key(description: str) -> Certificate | None:
    """Name and identifier in the description of an asymmetric key of /proc/keys; None for one without."""
    found = _KEY_ID.fullmatch(description.strip())
    return Certificate(key_id=found[2], name=found[1]) if found else None


def _plain(text: str) -> str:
    digits = text.strip().replace(":", "").lower()
    return digits if re.fullmatch(r"[0-9a-f]*", digits) else ""
