"""QEMU's protocol, against a server that answers like QEMU, or not at all."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from metis_provision.lab.qmp import Qmp
from metis_provision.model.errors import UserError


@pytest.fixture
def serve(tmp_path):
    """Serve one connection: the greeting, then for each request received the next list of messages."""
    path = tmp_path / "qmp.sock"
    threads = []

    def start(*answers, greeting=True):
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen(1)

        def run():
            with listening, listening.accept()[0] as stream, stream.makefile("rw") as lines:
                if greeting:
                    lines.write(json.dumps({"QMP": {}}) + "\n")
                    lines.flush()
                for messages in ([{"return": {}}], *answers):
                    if not lines.readline():
                        return
                    for message in messages:
                        lines.write(json.dumps(message) + "\n")
                    lines.flush()

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return path

    yield start
    for thread in threads:
        thread.join(10)


def test_events_between_request_and_answer_are_kept(serve):
    event = {"event": "DEVICE_DELETED", "data": {"device": "card0"}}
    with Qmp(serve([event, {"return": {"status": "running"}}])) as qemu:
        assert qemu.execute("query-status") == {"status": "running"}
        assert qemu.wait_event("DEVICE_DELETED", device="card0") == event


def test_an_event_that_comes_later(serve):
    others = [{"event": "RESUME"}, {"event": "DEVICE_DELETED", "data": {"device": "other"}}]
    wanted = {"event": "DEVICE_DELETED", "data": {"device": "card0"}}
    with Qmp(serve([{"return": {}}, *others, wanted])) as qemu:
        qemu.execute("device_del", {"id": "card0"})
        assert qemu.wait_event("DEVICE_DELETED", device="card0") == wanted


def test_a_refusal_is_told_in_qemus_words(serve):
    answer = {"error": {"class": "DeviceNotFound", "desc": "Device 'card0' not found"}}
    with Qmp(serve([answer])) as qemu, pytest.raises(UserError, match="Device 'card0' not found"):
        qemu.execute("device_del", {"id": "card0"})


def test_an_event_that_does_not_come(serve):
    with Qmp(serve([{"return": {}}], []), timeout=0.2) as qemu:
        qemu.execute("device_del", {"id": "card0"})
        with pytest.raises(UserError, match="QEMU"):
            qemu.wait_event("DEVICE_DELETED", device="card0")


def test_other_events_do_not_prolong_the_wait(serve):
    with Qmp(serve([{"return": {}}, *[{"event": "RTC_CHANGE"}] * 3]), timeout=0.5) as qemu:
        qemu.execute("device_del", {"id": "card0"})
        with pytest.raises(UserError, match="QEMU"):
            qemu.wait_event("DEVICE_DELETED", device="card0")


def test_a_qemu_that_goes_away(serve):
    with Qmp(serve()) as qemu, pytest.raises(UserError, match=r"closed the connection|is gone|does not answer"):
        qemu.execute("quit")


def test_no_qemu(tmp_path):
    with pytest.raises(UserError, match="QEMU does not answer"):
        Qmp(tmp_path / "absent.sock")


def test_a_qemu_that_says_nothing(serve):
    with pytest.raises(UserError, match="does not answer"):
        Qmp(serve(greeting=False), timeout=0.1)
