"""A web server on this machine that can misbehave in the ways real ones do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

Answer = Callable[[BaseHTTPRequestHandler], None]


class Web:
    """What is served below ``address``, and what was asked for."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.released = threading.Event()

    def url(self, path: str) -> str:
        return f"{self.address}/{path}"

    def file(self, path: str, content: bytes, *, kind: str = "application/octet-stream") -> str:
        """Serve a file as a server should."""
        return self.cut(path, content, len(content), kind=kind)

    def cut(self, path: str, content: bytes, said: int | None, *, kind: str = "application/octet-stream") -> str:
        """Say ``said`` bytes (None: say nothing), send ``content``, hang up."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.send_header("Content-Type", kind)
            if said is not None:
                request.send_header("Content-Length", str(said))
            request.end_headers()
            request.wfile.write(content)

        return self.serve(path, answer)

    def chunked(self, path: str, content: bytes, *, ended: bool) -> str:
        """Send one chunk, with the mark of the end or without it."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.protocol_version = "HTTP/1.1"
            request.send_response(200)
            request.send_header("Transfer-Encoding", "chunked")
            request.end_headers()
            request.wfile.write(b"%x\r\n%s\r\n" % (len(content), content) + (b"0\r\n\r\n" if ended else b""))
            request.close_connection = True

        return self.serve(path, answer)

    def stalling(self, path: str, content: bytes) -> str:
        """Send half of a file, then nothing until the test is over."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.send_header("Content-Length", str(len(content)))
            request.end_headers()
            request.wfile.write(content[: len(content) // 2])
            request.wfile.flush()
            self.released.wait()

        return self.serve(path, answer)

    def status(self, path: str, code: int, **headers: str) -> str:
        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(code)
            for name, value in headers.items():
                request.send_header(name, value)
            request.end_headers()

        return self.serve(path, answer)

    def serve(self, path: str, answer: Answer) -> str:
        self.answers[path] = answer
        return self.url(path)
