"""The command that looks at what the survey leaves out, and the reader of its output."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from metis_provision.catalog.contract import contract

_HEAD = "## "
_LAST = "end"
_NAMES = "names"


@dataclass(frozen=True, slots=True)
class Look:
    """Text by part, the names that must be masked, and whether the output arrived whole."""

    parts: dict[str, str] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    complete: bool = False


def look_command() -> str:
    """Return the text that ``sh -c`` runs on the host."""
    vendors = " ".join(dict.fromkeys(known.vendor_hex.removeprefix("0x") for known in contract().ids))
    return f"METIS_VENDORS={shlex.quote(vendors)}\n{_script()}"


def read_look(output: Iterable[str]) -> Look:
    """Take the output apart; never raises, what does not fit the form is left out."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in output:
        if line.startswith(_HEAD):
            current = found.setdefault(line.removeprefix(_HEAD).strip(), [])
        elif line.startswith(" "):
            current.append(line[1:])
    complete = _LAST in found
    found.pop(_LAST, None)
    named = [line.partition(" ") for line in found.pop(_NAMES, [])]
    return Look(
        parts={name: "".join(f"{line}\n" for line in lines) for name, lines in found.items()},
        hosts=tuple(value for kind, _, value in named if kind == "host" and value),
        users=tuple(value for kind, _, value in named if kind == "user" and value),
        complete=complete,
    )


@cache
def _script() -> str:
    return files("metis_provision.support").joinpath("look.sh").read_text(encoding="utf-8")
