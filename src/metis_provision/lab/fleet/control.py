"""The control socket of a fleet's wire: one JSON request a line, one JSON answer a line; requests and client.

Answers are ``{"ok": true, ...}`` or ``{"ok": false, "error": "one sentence"}``.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from metis_provision.model.errors import ExitCode, UserError


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Attach(_Request):
    """Plug the network namespace of process ``pid`` into the wire; the end goes when that process does."""

    do: Literal["attach"] = "attach"
    name: str
    address: str
    pid: int


class Adjust(_Request):
    """Change how a host is connected: ``delay`` in seconds, for all that the host sends; None leaves what there is."""

    do: Literal["adjust"] = "adjust"
    name: str
    delay: float | None = None
    cut: bool | None = None


class Status(_Request):
    """Ask for the network and all hosts on it."""

    do: Literal["status"] = "status"


Request = Annotated[Attach | Adjust | Status, Field(discriminator="do")]
REQUESTS: TypeAdapter[Attach | Adjust | Status] = TypeAdapter(Request)


class WireControl:
    """Client of a wire's control socket; each call is a connection of its own."""

    def __init__(self, path: Path, timeout: float = 30.0) -> None:
        """Talk to the wire behind ``path``; ``timeout`` in seconds is for each answer."""
        self._path = path
        self._timeout = timeout

    def ask(self, request: Attach | Adjust | Status) -> dict[str, Any]:
        """Return the answer; UserError if the wire refuses or is not there."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
                stream.settimeout(self._timeout)
                stream.connect(str(self._path))
                stream.sendall(request.model_dump_json().encode() + b"\n")
                with stream.makefile("rb") as lines:
                    content = json.loads(lines.readline())
        except (OSError, ValueError) as error:
            raise UserError(f"The fleet's wire does not answer on {self._path}: {error}.", ExitCode.FAILED) from error
        if not content.get("ok"):
            raise UserError(f"The fleet's wire refused: {content.get('error')}", ExitCode.FAILED)
        return {key: value for key, value in content.items() if key != "ok"}
