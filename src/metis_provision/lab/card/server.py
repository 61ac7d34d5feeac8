"""The card's event loop: QEMU on one socket, the control socket beside it, SIGTERM to end."""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from metis_provision.lab.card import control
from metis_provision.lab.card.connection import Connection, Disconnected, InterruptLines
from metis_provision.lab.card.device import MetisCard
from metis_provision.lab.card.memory import GuestMemory
from metis_provision.lab.card.profiles import ANY_PORT, Port, Profile
from metis_provision.model.errors import UserError

logger = logging.getLogger(__name__)


class ListeningSocket:
    """A UNIX socket that replaces a dead predecessor and takes its file away again."""

    def __init__(self, path: Path, backlog: int) -> None:
        """Listen on ``path``; UserError if it is in use, is no socket, or cannot be made."""
        _remove_stale(path)
        self.stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Renamed into place only when it listens: whoever sees the file can connect.
        unready = path.with_name(f"{path.name}.new")
        try:
            unready.unlink(missing_ok=True)
            self.stream.bind(str(unready))
            self.stream.listen(backlog)
            self._identity = unready.stat().st_ino
            unready.rename(path)
        except OSError as error:
            self.stream.close()
            raise UserError(f"The virtual card cannot listen on {path}: {error}.") from error
        self.stream.setblocking(False)
        self._path = path

    def close(self) -> None:
        """Stop listening; the file goes too unless a successor has put its own there."""
        self.stream.close()
        try:
            if self._path.stat().st_ino == self._identity:
                self._path.unlink()
        except FileNotFoundError:
            return


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise UserError(f"{path} is there already and is no socket; name another path.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(str(path)) != errno.ECONNREFUSED:
            raise UserError(f"Another process already serves {path}; end it or name another path.")
    path.unlink()


class ControlClient:
    """One client of the control socket; bytes in, lines answered."""

    def __init__(self, stream: socket.socket) -> None:
        """Serve a non-blocking ``stream``."""
        self.stream = stream
        self._received = bytearray()

    def receive(self, respond: Callable[[bytes], bytes]) -> None:
        """Answer the requests that are complete; Disconnected at the end or for a client that floods."""
        try:
            data = self.stream.recv(control.MAX_LINE)
        except BlockingIOError:
            return
        except OSError as error:
            raise Disconnected(str(error)) from error
        if not data:
            raise Disconnected("the client closed the connection")
        self._received += data
        *lines, rest = self._received.split(b"\n")
        self._received = rest
        for line in lines:
            self._send(respond(bytes(line)))
        if len(rest) > control.MAX_LINE:
            raise Disconnected("a request longer than the card reads")

    def _send(self, data: bytes) -> None:
        # An answer fits the socket's buffer; a client that lets answers pile up is dropped, not waited for.
        try:
            self.stream.sendall(data, socket.MSG_NOSIGNAL)
        except OSError as error:
            raise Disconnected(str(error)) from error


class CardServer:
    """A card and its two sockets."""

    def __init__(self, profile: Profile, vfio_path: Path, control_path: Path, port: Port = ANY_PORT) -> None:
        """Make the sockets; once the control socket accepts, the other one does too."""
        self._vfio = ListeningSocket(vfio_path, backlog=1)
        try:
            self._control = ListeningSocket(control_path, backlog=16)
        except UserError:
            self._vfio.close()
            raise
        self._memory = GuestMemory()
        self._lines = InterruptLines()
        self.card = MetisCard(profile, self._memory, self._lines.raise_msi, port)
        self._client: Connection | None = None
        self._selector = selectors.DefaultSelector()
        self._stopping, self._stop = socket.socketpair()
        self._stop.setblocking(False)
        self._selector.register(self._stopping, selectors.EVENT_READ)
        self._selector.register(self._vfio.stream, selectors.EVENT_READ, self._accept_vfio)
        self._selector.register(self._control.stream, selectors.EVENT_READ, self._accept_control)

    def stop(self) -> None:
        """Make ``serve`` return; safe in a signal handler and from another thread."""
        try:
            self._stop.send(b"\0")
        except BlockingIOError:
            return  # it has been asked to already

    def serve(self) -> None:
        """Serve until ``stop``; then close everything and remove the sockets."""
        try:
            while True:
                for key, _ in self._selector.select():
                    if key.data is None:
                        return
                    key.data()
        finally:
            self._close()

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        self._stop.close()
        self._vfio.close()
        self._control.close()

    def _accept_vfio(self) -> None:
        try:
            stream, _ = self._vfio.stream.accept()
        except OSError as error:
            logger.warning("a connection was lost while it was accepted: %s", error)
            return
        stream.setblocking(False)
        # A card that is plugged in again has lost its power in between.
        self.card.power_on()
        client = Connection(stream, self.card, self._memory, self._lines)
        self._client = client
        # One host at a time: the next one waits in the queue of the listening socket.
        self._selector.unregister(self._vfio.stream)
        self._selector.register(stream, selectors.EVENT_READ, lambda: self._serve_vfio(stream, client))
        logger.info("a host connected")

    def _serve_vfio(self, stream: socket.socket, client: Connection) -> None:
        try:
            if client.wants_to_send:
                client.flush()
            else:
                client.receive()
        except Disconnected as reason:
            self._selector.unregister(stream)
            client.close()
            self._client = None
            self._selector.register(self._vfio.stream, selectors.EVENT_READ, self._accept_vfio)
            logger.info("the host is gone: %s", reason)
            return
        key = self._selector.get_key(stream)
        events = selectors.EVENT_WRITE if client.wants_to_send else selectors.EVENT_READ
        if key.events != events:
            self._selector.modify(stream, events, key.data)

    def _accept_control(self) -> None:
        try:
            stream, _ = self._control.stream.accept()
        except OSError as error:
            logger.warning("a control connection was lost while it was accepted: %s", error)
            return
        stream.setblocking(False)
        client = ControlClient(stream)
        self._selector.register(stream, selectors.EVENT_READ, lambda: self._serve_control(client))

    def _serve_control(self, client: ControlClient) -> None:
        try:
            client.receive(lambda line: control.answer(self.card, line, connected=self._client is not None))
        except Disconnected:
            self._selector.unregister(client.stream)
            client.stream.close()
