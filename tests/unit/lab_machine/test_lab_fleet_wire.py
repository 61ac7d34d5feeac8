"""The wire of a fleet over sockets in place of interfaces, and with a clock that the tests move."""

from __future__ import annotations

import socket
import subprocess

import pytest

from metis_provision.lab.fleet import server
from metis_provision.lab.fleet.control import REQUESTS, Adjust, WireControl
from metis_provision.lab.fleet.server import set_netem
from metis_provision.lab.fleet.wire import End, Wire
from metis_provision.model.errors import UserError


def packet(source, target, version=4):
    header = bytes([version << 4 | 5]) + bytes(11) + socket.inet_aton(source) + socket.inet_aton(target)
    return header + f"{source}>{target}".encode()


class Bench:
    """A wire with three ends; what is late waits in ``later``."""

    def __init__(self):
        self.later = []
        self.wire = Wire(lambda seconds, callback: self.later.append((seconds, callback)))
        self.sockets, self.ends = {}, {}
        for address in ("198.18.0.1", "198.18.0.2", "198.18.0.254"):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setblocking(False)
            theirs.setblocking(False)
            self.sockets[address] = theirs
            self.ends[address] = End(address, socket.inet_aton(address), ours.detach())
            self.wire.attach(self.ends[address])

    def send(self, source, target, **options):
        self.sockets[source].send(packet(source, target, **options))
        self.wire.receive(self.ends[source])

    def received(self, address):
        try:
            return self.sockets[address].recv(100)
        except BlockingIOError:
            return None


@pytest.fixture
def bench():
    made = Bench()
    yield made
    for end in list(made.wire.ends.values()):
        made.wire.detach(end)
    for stream in made.sockets.values():
        stream.close()


ONE, TWO, HERE = "198.18.0.1", "198.18.0.2", "198.18.0.254"


def test_a_packet_goes_where_its_header_says(bench):
    bench.send(HERE, ONE)
    assert bench.received(ONE) == packet(HERE, ONE)
    assert bench.received(TWO) is None
    bench.send(ONE, TWO)
    assert bench.received(TWO) == packet(ONE, TWO)


@pytest.mark.parametrize("sent", [packet(ONE, "198.18.0.9"), packet(ONE, TWO, version=6), b"", b"\x45short"])
def test_what_has_nowhere_to_go_is_dropped(bench, sent):
    bench.sockets[ONE].send(sent)
    if sent:
        bench.wire.receive(bench.ends[ONE])
    assert [bench.received(address) for address in (ONE, TWO, HERE)] == [None, None, None]


def test_only_what_a_delayed_end_sends_is_late(bench):
    bench.ends[ONE].delay = 0.08
    bench.send(HERE, ONE)
    assert bench.received(ONE)
    bench.send(ONE, HERE)
    assert bench.received(HERE) is None
    ((seconds, deliver),) = bench.later
    assert seconds == 0.08
    deliver()
    assert bench.received(HERE) == packet(ONE, HERE)


def test_a_cut_end_neither_sends_nor_gets_and_its_neighbour_does(bench):
    bench.ends[ONE].cut = True
    bench.send(ONE, HERE)
    bench.send(HERE, ONE)
    bench.send(HERE, TWO)
    assert bench.received(HERE) is None
    assert bench.received(ONE) is None
    assert bench.received(TWO)
    bench.ends[ONE].cut = False
    bench.send(ONE, HERE)
    assert bench.received(HERE)


def test_a_cut_takes_what_is_on_its_way(bench):
    bench.ends[ONE].delay = 1.0
    bench.send(ONE, HERE)
    bench.ends[ONE].cut = True
    bench.later[0][1]()
    assert bench.received(HERE) is None


def test_a_packet_to_an_end_that_has_gone_is_lost(bench):
    bench.ends[ONE].delay = 1.0
    bench.send(ONE, TWO)
    bench.wire.detach(bench.ends[TWO])
    bench.later[0][1]()
    bench.send(HERE, TWO)
    assert bench.received(TWO) == b""


def test_a_full_end_loses_packets_and_stops_nobody(bench):
    for _ in range(10_000):
        bench.wire._carry(bench.ends[HERE], packet(HERE, ONE))
    bench.send(HERE, TWO)
    assert bench.received(TWO)


def test_two_ends_with_one_address(bench):
    with pytest.raises(ValueError, match=r"has the address of 198\.18\.0\.1"):
        bench.wire.attach(End("other", socket.inet_aton(ONE), -1))


@pytest.fixture
def tc(monkeypatch):
    """A tc whose exit status can be set, and that notes what it was asked."""
    calls, status = [], [0]

    def run(words, **options):
        calls.append(words)
        if status[0] is None:
            raise FileNotFoundError("tc")
        return subprocess.CompletedProcess(words, status[0])

    monkeypatch.setattr(server.subprocess, "run", run)
    return calls, status


def test_netem_delays_where_the_kernel_has_it(tc):
    assert set_netem("eth0", 0.08, there=False)
    assert tc[0] == [["tc", "qdisc", "replace", "dev", "eth0", "root", "netem", "delay", "80000us"]]


@pytest.mark.parametrize("status", [2, None])
def test_without_netem_or_tc_it_is_for_the_wire_to_delay(tc, status):
    tc[1][0] = status
    assert not set_netem("eth0", 0.08, there=False)


def test_healing_takes_netem_away_and_only_where_it_was(tc):
    assert not set_netem("eth0", 0.0, there=True)
    assert tc[0] == [["tc", "qdisc", "del", "dev", "eth0", "root"]]
    tc[0].clear()
    assert not set_netem("eth0", 0.0, there=False)
    assert tc[0] == []


def test_a_request_is_read_back_as_it_was_written():
    wish = Adjust(name="rack-1", delay=0.5)
    assert REQUESTS.validate_json(wish.model_dump_json()) == wish


def test_a_wire_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="wire does not answer"):
        WireControl(tmp_path / "absent").ask(Adjust(name="rack-1"))
