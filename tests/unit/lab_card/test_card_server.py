"""The card process: sockets, control requests, reconnecting hosts, stale files, a clean end."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest
from fake_host import HEADER

from metis_provision.lab.card import control
from metis_provision.lab.card.__main__ import main
from metis_provision.lab.card.control import CardControl
from metis_provision.lab.card.faults import BEHAVIOURS
from metis_provision.lab.card.profiles import PROFILES
from metis_provision.lab.card.protocol import Command
from metis_provision.lab.card.server import CardServer
from metis_provision.model.errors import UserError


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "card.sock", tmp_path / "card.control"


@contextlib.contextmanager
def serving(paths, profile="m2"):
    server = CardServer(PROFILES[profile], *paths)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


@pytest.fixture
def server(paths):
    with serving(paths) as server:
        yield server


@pytest.fixture
def card(server, paths):
    return CardControl(paths[1])


class Qemu:
    """Just enough of QEMU to connect, read and leave."""

    def __init__(self, path):
        self.stream = socket.socket(socket.AF_UNIX)
        self.stream.settimeout(30)
        self.stream.connect(str(path))

    def ask(self, command, payload):
        self.stream.sendall(HEADER.pack(1, command, 16 + len(payload), 0, 0) + payload)
        size = HEADER.unpack(self.stream.recv(16, socket.MSG_WAITALL))[2]
        return self.stream.recv(size - 16, socket.MSG_WAITALL)

    def greet(self):
        self.ask(Command.VERSION, bytes(4))
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()

    def read(self, region, offset, count):
        return self.ask(Command.REGION_READ, struct.pack("<QII", offset, region, count))[16:]


def talk(path, data):
    """Send bytes to the control socket and return all lines that come back."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(30)
        stream.connect(str(path))
        stream.sendall(data)
        stream.shutdown(socket.SHUT_WR)
        with stream.makefile("rb") as lines:
            return [json.loads(line) for line in lines]


def until(condition):
    """Wait for what another thread is about to do."""
    while not condition():
        time.sleep(0.01)


def test_status_and_faults_over_the_control_socket(card, paths):
    assert card.status()["profile"] == "m2"
    assert card.status()["connected"] is False
    assert card.fault("narrow-link", True) == {"faults": ["narrow-link"]}
    assert card.status()["link_width"] == 1
    assert card.fault("narrow-link", False) == {"faults": []}
    assert card.faults() == list(BEHAVIOURS)


def test_another_port_counts_from_the_next_reset_on(card, paths):
    card.port(2, 1)
    assert card.status()["link_width"] == 4
    with Qemu(paths[0]) as host:
        host.greet()
        until(lambda: card.status()["link_width"] == 1)


def test_a_fault_nobody_knows(card):
    with pytest.raises(UserError, match=r"card refused: No fault is called 'meltdown'; known are hot-removal"):
        card.fault("meltdown")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"status"',
        b"\xff\xfe",
        b'{"status": false}',
        b'{"status": true, "more": 1}',
        b'{"fault": "hang"}',
        b'{"port": 3}',
        b'{"port": ["3", 1]}',
        b'{"fault": "hang", "on": 1}',
        b'{"fault": 7, "on": true}',
        b"[" * 2000,
    ],
)
def test_requests_that_make_no_sense_are_answered(card, paths, line):
    (answer,) = talk(paths[1], line + b"\n")
    assert answer["ok"] is False
    assert answer["error"].startswith("The request is ")
    assert answer["error"].endswith(".")
    assert card.status()["faults"] == []


def test_several_requests_in_one_go(card, paths):
    answers = talk(paths[1], b'{"fault": "hang", "on": true}\n{"status": true}\n{"fault": "hang", "on": false}\n')
    assert [answer["ok"] for answer in answers] == [True] * 3
    assert [answer["faults"] for answer in answers] == [["hang"], ["hang"], []]


def test_a_flood_without_an_end_of_line_is_cut_off(card, paths):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(30)
        stream.connect(str(paths[1]))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(64):
                stream.sendall(b"x" * control.MAX_LINE)
        with contextlib.suppress(ConnectionResetError):
            assert stream.recv(1) == b""
    assert card.status()["faults"] == []


def test_a_client_that_leaves_in_the_middle(card, paths):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(str(paths[1]))
        stream.sendall(b'{"status"')
    assert card.status()["profile"] == "m2"


def test_a_host_may_come_again(server, card, paths):
    for time_around in (1, 2, 3):
        qemu = Qemu(paths[0]).greet()
        assert qemu.read(7, 0, 4) == struct.pack("<HH", 0x1F9D, 0x1100)
        status = card.status()
        assert status["connected"] is True
        assert status["counters"]["resets"] == time_around
        qemu.stream.close()
        until(lambda: card.status()["connected"] is False)


def test_a_second_host_waits_for_the_first_to_leave(server, paths):
    first, second = Qemu(paths[0]).greet(), Qemu(paths[0])
    assert first.read(7, 0, 2) == b"\x9d\x1f"
    first.stream.close()
    assert second.greet().read(7, 0, 2) == b"\x9d\x1f"
    second.stream.close()


def test_a_host_that_talks_nonsense_is_left_and_the_next_served(server, paths):
    rude = Qemu(paths[0])
    rude.stream.sendall(b"\0" * 16)
    assert HEADER.unpack(rude.stream.recv(16, socket.MSG_WAITALL))[3] == 0x21
    assert rude.stream.recv(1) == b""
    rude.stream.close()
    with Qemu(paths[0]) as qemu:
        assert qemu.greet().read(7, 0, 2) == b"\x9d\x1f"


def test_faults_outlive_a_connection(server, card, paths):
    card.fault("narrow-link")
    qemu = Qemu(paths[0]).greet()
    assert qemu.read(7, 0x52, 2) == b"\x13\x00"
    qemu.stream.close()


def test_both_sockets_are_gone_afterwards(paths):
    with serving(paths):
        assert all(path.is_socket() for path in paths)
        qemu = Qemu(paths[0]).greet()
    qemu.stream.close()
    assert not any(path.exists() for path in paths)
    with pytest.raises(UserError, match="does not answer"):
        CardControl(paths[1]).status()


def test_a_successors_socket_is_left_alone(paths):
    with serving(paths):
        paths[0].unlink()
        paths[0].write_text("somebody else's")
    assert paths[0].read_text() == "somebody else's"


def test_stale_sockets_are_replaced(paths):
    for path in paths:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    with serving(paths):
        assert CardControl(paths[1]).status()["profile"] == "m2"


def test_a_card_in_use_is_not_replaced(server, paths):
    with pytest.raises(UserError, match="Another process already serves"):
        CardServer(PROFILES["m2"], *paths)
    assert CardControl(paths[1]).status()["profile"] == "m2"


def test_a_file_in_the_way_is_not_removed(paths):
    paths[1].write_text("precious")
    with pytest.raises(UserError, match="is no socket"):
        CardServer(PROFILES["m2"], *paths)
    assert paths[1].read_text() == "precious"
    assert not paths[0].exists()


@pytest.mark.parametrize("name", ["missing/card.sock", "x" * 200])
def test_a_path_that_cannot_be_listened_on(tmp_path, name):
    with pytest.raises(UserError, match="cannot listen"):
        CardServer(PROFILES["m2"], tmp_path / name, tmp_path / "card.control")


def test_an_answer_that_is_none(tmp_path):
    path = tmp_path / "liar"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def lie():
            stream, _ = listener.accept()
            with stream:
                stream.recv(100)
                stream.sendall(b"yes\n")

        liar = threading.Thread(target=lie)
        liar.start()
        with pytest.raises(UserError, match="does not answer"):
            CardControl(path).status()
        liar.join()


def test_the_process_serves_and_ends_on_sigterm(paths):
    command = [sys.executable, "-m", "metis_provision.lab.card", "--profile", "pcie"]
    command += ["--socket", os.fspath(paths[0]), "--control", os.fspath(paths[1])]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        until(lambda: paths[1].exists() or process.poll() is not None)
        assert CardControl(paths[1]).status()["profile"] == "pcie"
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate()
    assert process.returncode == 0
    assert output == b""
    assert not any(path.exists() for path in paths)


def test_the_process_needs_nothing_but_the_standard_library():
    script = (
        "import sys, metis_provision.lab.card.__main__\n"
        "foreign = {name.split('.')[0] for name in sys.modules} - sys.stdlib_module_names\n"
        "print(sorted(name for name in foreign if not name.startswith('_')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pydantic" not in done.stdout
    assert "yaml" not in done.stdout
    assert "'metis_provision'" in done.stdout


def test_a_bad_path_is_one_line_and_an_exit_code(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--socket", str(tmp_path / "no/such"), "--control", str(tmp_path / "control")])
    assert ended.value.code == 4
    assert capsys.readouterr().err.count("\n") == 1
