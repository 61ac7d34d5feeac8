"""The watch over a connection: what the kernel is told, and where there is nothing to tell."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace

import pytest
from paramiko import (
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    Channel,
    ECDSAKey,
    ServerInterface,
    SSHException,
    Transport,
)
from pyinfra.connectors.ssh import SSHConnector

from metis_provision.operations import connection
from metis_provision.operations.connection import GIVE_UP_SECONDS, is_lost, watch


def host_with(transport):
    connector = SSHConnector.__new__(SSHConnector)
    connector.client = SimpleNamespace(get_transport=lambda: transport)
    return SimpleNamespace(connector=connector)


@pytest.fixture
def stream():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        yield client


def test_the_kernel_gives_up_for_us(stream):
    transport = Transport(stream)
    watch(host_with(transport))
    assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == GIVE_UP_SECONDS * 1000


class Doorkeeper(ServerInterface):
    """A host that lets everybody in and never gets round to what they ask for."""

    def __init__(self) -> None:
        self.gone = threading.Event()

    def check_auth_none(self, username):
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind, chanid):
        self.gone.wait()
        return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED


def test_a_host_that_goes_down_after_it_let_us_in_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(connection, "GIVE_UP_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near, far = socket.create_connection(listener.getsockname()), listener.accept()[0]
    doorkeeper, server, client = Doorkeeper(), Transport(far), Transport(near)
    try:
        server.add_server_key(ECDSAKey.generate())
        server.start_server(event=threading.Event(), server=doorkeeper)
        client.start_client()
        client.auth_none("root")
        watch(host_with(client))
        with pytest.raises(SSHException, match="Timeout opening channel"):
            client.open_session()
    finally:
        doorkeeper.gone.set()
        client.close()
        server.close()


def test_through_a_jump_host_the_way_to_that_one_is_watched(stream):
    jump = Transport(stream)
    channel = Channel(1)
    channel._set_transport(jump)
    watch(host_with(Transport(channel)))
    assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == GIVE_UP_SECONDS * 1000


def test_what_is_no_socket_is_left_alone():
    class Proxy:
        def settimeout(self, seconds):
            pass

    watch(host_with(Transport(Proxy())))


def test_a_connection_that_is_no_more(stream):
    assert is_lost(host_with(Transport(stream)))
    alive = SimpleNamespace(is_active=lambda: True)
    assert not is_lost(host_with(alive))


@pytest.mark.parametrize("host", [SimpleNamespace(connector=object()), host_with(None)])
def test_without_ssh_nothing_is_watched_and_nothing_lost(host):
    watch(host)
    assert not is_lost(host)
