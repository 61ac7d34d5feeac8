"""The connection to a host, watched: one that no longer answers fails its host, and holds up nobody else's run."""

from __future__ import annotations

import socket

from paramiko import Channel, Transport
from pyinfra.api.host import Host
from pyinfra.connectors.ssh import SSHConnector

KEEPALIVE_SECONDS = 15
"""How often something is sent while a command runs and says nothing."""
GIVE_UP_SECONDS = 60
"""How long that may stay unacknowledged; a shorter break is lived through."""


def watch(host: Host) -> None:
    """Have the kernel end the connection once the host's has acknowledged nothing for ``GIVE_UP_SECONDS``.

    Without it a host that loses its network while a command runs is waited for without end, and every other one with
    it. Through a jump host this watches the way to that one; the rest of the way is for its sshd to watch. A command
    that the host has not let begin in that time is given up as well: something in between may acknowledge for a host
    that has gone, and paramiko would wait for an hour.
    """
    transport = _transport(host)
    if transport is None:
        return
    transport.set_keepalive(KEEPALIVE_SECONDS)
    transport.channel_timeout = GIVE_UP_SECONDS  # type: ignore[attr-defined] # missing in its stubs
    stream = transport.sock
    while isinstance(stream, Channel):
        stream = stream.get_transport().sock
    # A proxy command has no socket, and only Linux has this option (tcp(7)).
    if isinstance(stream, socket.socket) and hasattr(socket, "TCP_USER_TIMEOUT"):
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GIVE_UP_SECONDS * 1000)


def is_lost(host: Host) -> bool:
    """Return whether there was a connection by ssh and it is no more."""
    transport = _transport(host)
    return transport is not None and not transport.is_active()


def _transport(host: Host) -> Transport | None:
    connector = host.connector
    client = connector.client if isinstance(connector, SSHConnector) else None
    return client.get_transport() if client is not None else None
