"""The card's control socket: one JSON request a line, one JSON answer a line; server's codec and client.

Requests: ``{"fault": NAME, "on": true|false}``, ``{"status": true}``, ``{"faults": true}``,
``{"port": [GENERATION, LANES]}``. Answers: ``{"ok": true, ...}`` or ``{"ok": false, "error": "one sentence"}``.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metis_provision.lab.card.faults import BEHAVIOURS
from metis_provision.lab.card.profiles import Port
from metis_provision.model.errors import UserError

if TYPE_CHECKING:
    from metis_provision.lab.card.device import MetisCard

MAX_LINE = 4096
"""Longest request in bytes; a client that sends more is cut off."""


def answer(card: MetisCard, line: bytes, *, connected: bool) -> bytes:
    """Return the answer to one request; whatever is wrong with it is said in the answer."""
    try:
        content = {"ok": True, **_carry_out(card, _parse(line), connected=connected)}
    except _Refusal as refusal:
        content = {"ok": False, "error": str(refusal)}
    return json.dumps(content).encode() + b"\n"


class _Refusal(Exception):
    """Why a request is not carried out, as one sentence."""


def _parse(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _Refusal(f"The request is no JSON: {error}.") from error


def _carry_out(card: MetisCard, request: object, *, connected: bool) -> dict[str, object]:
    match request:
        case {"fault": str(name), "on": bool(on), **rest} if not rest:
            if name not in BEHAVIOURS:
                raise _Refusal(f"No fault is called {name!r}; known are {', '.join(BEHAVIOURS)}.")
            card.set_fault(name, on)
            return {"faults": sorted(card.faults)}
        case {"status": True, **rest} if not rest:
            return {"connected": connected, **card.status()}
        case {"faults": True, **rest} if not rest:
            return {"known": list(BEHAVIOURS)}
        case {"port": [int(generation), int(lanes)], **rest} if not rest:
            card.port = Port(generation, lanes)
            return {}
    raise _Refusal(
        'The request is none of {"status": true}, {"faults": true}, {"fault": NAME, "on": true}, '
        '{"port": [GENERATION, LANES]}.'
    )


class CardControl:
    """Client of a card's control socket; each call is a connection of its own."""

    def __init__(self, path: str | Path, timeout: float = 10.0) -> None:
        """Talk to the card behind ``path``; ``timeout`` in seconds is for each answer."""
        self._path = Path(path)
        self._timeout = timeout

    def fault(self, name: str, on: bool = True) -> dict[str, Any]:
        """Switch a fault and return those that are on; UserError if the card refuses or is not there."""
        return self._ask({"fault": name, "on": on})

    def status(self) -> dict[str, Any]:
        """Return the card's state; UserError if it is not there."""
        return self._ask({"status": True})

    def faults(self) -> list[str]:
        """Return the names of the faults the running card knows."""
        known: list[str] = self._ask({"faults": True})["known"]
        return known

    def port(self, generation: int, lanes: int) -> None:
        """Put the card below a port that can do this, from its next reset on; UserError if it is not there."""
        self._ask({"port": [generation, lanes]})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
                stream.settimeout(self._timeout)
                stream.connect(str(self._path))
                stream.sendall(json.dumps(request).encode() + b"\n")
                with stream.makefile("rb") as lines:
                    content = json.loads(lines.readline())
        except (OSError, ValueError) as error:
            raise UserError(f"The virtual card does not answer on {self._path}: {error}.") from error
        if not content.get("ok"):
            raise UserError(f"The virtual card refused: {content.get('error')}")
        return {key: value for key, value in content.items() if key != "ok"}
