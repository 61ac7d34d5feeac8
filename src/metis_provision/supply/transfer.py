"""Copies a file from an address or a path to a stream, and says in one sentence what kept it from arriving whole."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import version
from pathlib import Path
from typing import IO

from metis_provision.model.errors import ExitCode, UserError

PATIENCE = 60.0
"""Seconds without a byte after which a server is given up."""
_CHUNK = 1 << 18
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

Progress = Callable[[int, int | None], None]
"""Told the bytes that have arrived, and how many there will be if the source says so."""


class TransferFailed(UserError):
    """The file did not arrive; the operator's words were all right."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.FAILED)


class NotThere(TransferFailed):
    """The source answers, and has no such file."""


def is_address(place: str) -> bool:
    """Whether a place is a URL rather than a path."""
    return "://" in place


def place_mistake(place: str) -> str | None:
    """Why nothing can be fetched from a place whatever answers there; None if it may be tried."""
    if not is_address(place):
        return None
    try:
        address = urllib.parse.urlsplit(place)
        _ = address.port
    except ValueError as error:
        return f"{place!r} is not an address ({error})"
    if address.scheme not in {"http", "https"}:
        return f"{place!r} is neither an http:// or https:// address nor a path"
    if address.username is not None:
        return f"the address of {address.hostname} holds a login, which would be written down: use one without"
    if not address.hostname or not place.isprintable() or " " in place:
        return f"{place!r} is not an address"
    return None


@dataclass(frozen=True, slots=True)
class Arrived:
    """What came: its size in bytes, and whether its source would have let a cut-off be noticed."""

    size: int
    whole: bool


def transfer(place: str, write: Callable[[bytes], object], progress: Progress, patience: float = PATIENCE) -> Arrived:
    """Hand the file at ``place`` (a URL, or a path) to ``write``, piece by piece.

    Raises UserError for a place that cannot be one, NotThere, TransferFailed; what was written is worth nothing then.
    """
    mistake = place_mistake(place)
    if mistake:
        raise UserError(mistake)
    size = 0
    with _reading(place), _opened(place, patience) as source:
        while chunk := source.stream.read(_CHUNK):
            with writing():
                write(chunk)
            size += len(chunk)
            progress(size, source.length)
    if source.length is not None and size != source.length:
        raise TransferFailed(
            f"{place} was cut short: {size} of {source.length} bytes came, none was kept; run it again"
        )
    if size == 0:
        raise TransferFailed(f"{place} is empty: nothing was kept")
    return Arrived(size, source.whole)


@contextmanager
def writing() -> Iterator[None]:
    """Tell a full or broken disk of this machine apart from a source that fails."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise TransferFailed(
                "the disk of this machine is full: nothing was kept; make room, run it again"
            ) from error
        raise TransferFailed(f"it could not be written on this machine ({error.strerror}): nothing was kept") from error


@dataclass(frozen=True, slots=True)
class _Source:
    stream: IO[bytes]
    length: int | None
    whole: bool
    """Whether the end of the stream is known to be the end of the file."""


@contextmanager
def _opened(place: str, patience: float) -> Iterator[_Source]:
    if not is_address(place):
        with Path(place).expanduser().open("rb") as stream:
            yield _Source(stream, None, whole=True)
        return
    agent = f"metis-provision/{version('metis-provision')}"
    request = urllib.request.Request(place, headers={"User-Agent": agent})  # noqa: S310 - only http and https get here
    with urllib.request.build_opener(_KeepsEncrypted()).open(request, timeout=patience) as response:
        if response.headers.get_content_type() == "text/html":
            raise TransferFailed(
                f"{place} answers with a web page, not with the file: a login or a portal is in between"
            )
        length = _length(response.headers)
        yield _Source(response, length, whole=length is not None or response.chunked)


def _length(headers: Message) -> int | None:
    stated = str(headers.get("Content-Length", ""))
    return int(stated) if stated.isdecimal() else None


class _KeepsEncrypted(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.type == "https" and not newurl.startswith("https:"):
            raise TransferFailed(f"{req.full_url} leads to an address without encryption ({newurl}): not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _reading(place: str) -> Iterator[None]:
    """Turn what libraries raise about a source into one sentence."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise _refused(place, error.code, str(error.reason)) from error
    except urllib.error.URLError as error:
        raise TransferFailed(f"{place}: {_why(error.reason)}") from error
    except FileNotFoundError as error:
        raise NotThere(f"{place} does not exist: nothing was fetched") from error
    except (OSError, http.client.HTTPException) as error:
        raise TransferFailed(f"{place}: {_why(error)}") from error


def _refused(place: str, status: int, reason: str) -> TransferFailed:
    told = f"{place}: the server answers {status} {reason}".rstrip()
    if status in {404, 410}:
        return NotThere(f"{told}: there is no such file")
    if status in {401, 403, 407}:
        return TransferFailed(f"{told}: it wants a login; fetch the file by hand and give it with --from")
    return TransferFailed(f"{told}: try again later, or give the file with --from")


def _why(reason: object) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted here ({reason.verify_message}): nothing was fetched"
    if isinstance(reason, socket.gaierror):
        return "its name cannot be resolved: no network here, or a proxy is needed (https_proxy)"
    if isinstance(reason, TimeoutError):
        return "no byte came for too long: nothing was kept; run it again"
    if isinstance(reason, ConnectionRefusedError):
        return f"nobody answers there ({_plain(reason)}): nothing was fetched"
    if isinstance(reason, http.client.IncompleteRead | ConnectionError):
        return f"the connection broke ({_plain(reason)}): nothing was kept; run it again"
    if isinstance(reason, OSError):
        return f"it cannot be read ({_plain(reason)}): nothing was kept"
    return f"it does not speak HTTP as it should ({_plain(reason)}): nothing was kept"


def _plain(reason: object) -> str:
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason) or type(reason).__name__
