"""QEMU's machine protocol: one command at a time over a UNIX socket, JSON a line."""

from __future__ import annotations

import json
import math
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from metis_provision.model.errors import ExitCode, UserError


class Qmp:
    """A connection to a running QEMU; a context manager. UserError if QEMU is not there or refuses a command."""

    def __init__(self, path: Path, timeout: float | None = 20.0) -> None:
        """Connect to the socket ``path`` and negotiate; ``timeout`` in seconds is for each answer, None for ever."""
        self._path = path
        self._timeout = timeout
        self._stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._stream.settimeout(timeout)
        self._received = b""
        self._events: list[dict[str, Any]] = []
        try:
            self._stream.connect(str(path))
            self._next()
            self.execute("qmp_capabilities")
        except OSError as error:
            self._stream.close()
            raise UserError(f"QEMU does not answer on {path}: {error}.", ExitCode.FAILED) from error
        except UserError:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def execute(self, command: str, arguments: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401
        """Return what QEMU answers to ``command``."""
        request = {"execute": command, "arguments": dict(arguments or {})}
        try:
            self._stream.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise UserError(f"QEMU on {self._path} is gone: {error}.", ExitCode.FAILED) from error
        while True:
            message = self._next()
            if "event" in message:
                self._events.append(message)
            elif "error" in message:
                raise UserError(f"QEMU refuses {command}: {message['error'].get('desc')}", ExitCode.FAILED)
            else:
                return message["return"]

    def wait_event(self, name: str, **data: object) -> dict[str, Any]:
        """Return the next event of that name whose data holds ``data``; UserError if it does not come in time."""
        deadline = math.inf if self._timeout is None else time.monotonic() + self._timeout
        while True:
            for event in self._events:
                if event["event"] == name and data.items() <= event.get("data", {}).items():
                    self._events.remove(event)
                    return event
            if time.monotonic() > deadline:
                raise UserError(f"QEMU did not report {name} within {self._timeout:.0f} s.", ExitCode.FAILED)
            message = self._next()
            if "event" in message:
                self._events.append(message)

    def _next(self) -> dict[str, Any]:
        while b"\n" not in self._received:
            try:
                data = self._stream.recv(65536)
            except OSError as error:
                raise UserError(f"QEMU does not answer on {self._path}: {error}.", ExitCode.FAILED) from error
            if not data:
                raise UserError(f"QEMU on {self._path} closed the connection.", ExitCode.FAILED)
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message
