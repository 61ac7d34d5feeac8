"""A recorded process is found again exactly, and nothing else is ever ended in its place."""

from __future__ import annotations

import dataclasses
import os
import time

import pytest

from metis_provision.lab.process import ProcessRecord, kill_while_found, read_record, start_recorded
from metis_provision.model.errors import UserError


@pytest.fixture
def sleeper(tmp_path):
    process = start_recorded(["sleep", "1000"], tmp_path / "sleep.pid", tmp_path / "log")
    yield process
    process.terminate()


def test_a_started_process_is_recorded_and_ended(tmp_path, sleeper):
    assert sleeper.is_alive()
    assert read_record(tmp_path / "sleep.pid") == sleeper
    sleeper.terminate()
    assert not sleeper.is_alive()
    sleeper.terminate()


def test_the_process_leads_a_session_of_its_own(sleeper):
    assert os.getsid(sleeper.pid) != os.getsid(0)


@pytest.mark.parametrize("change", [{"start_ticks": 1}, {"boot_id": "another"}])
def test_another_process_with_the_same_number_is_left_alone(sleeper, change):
    stranger = dataclasses.replace(sleeper, **change)
    assert not stranger.is_alive()
    stranger.terminate()
    assert sleeper.is_alive()


def test_waiting_for_a_stranger_or_for_one_that_has_ended_is_over_at_once(sleeper):
    dataclasses.replace(sleeper, start_ticks=1).wait()
    sleeper.terminate()
    sleeper.wait()


def test_only_what_is_still_the_one_is_killed(sleeper, monkeypatch):
    monkeypatch.setattr("metis_provision.lab.process.END_SECONDS", 0.1)
    found = [sleeper.pid]
    with pytest.raises(UserError, match=rf"Processes of the box did not end: \[{sleeper.pid}\]\."):
        kill_while_found(lambda: found, lambda pid: False, "the box")
    assert sleeper.is_alive()
    kill_while_found(lambda: found if sleeper.is_alive() else [], lambda pid: pid == sleeper.pid, "the box")
    assert not sleeper.is_alive()


def test_a_process_that_ignores_sigterm_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("metis_provision.lab.process.TERM_SECONDS", 0.2)
    ready = tmp_path / "ready"
    command = ["sh", "-c", f"trap '' TERM; touch {ready}; while :; do sleep 0.05; done"]
    process = start_recorded(command, tmp_path / "stubborn.pid", tmp_path / "log")
    while not ready.exists():
        time.sleep(0.01)
    process.terminate()
    assert not process.is_alive()


def test_output_and_environment(tmp_path):
    process = start_recorded(
        ["sh", "-c", 'echo "$GREETING"'], tmp_path / "x.pid", tmp_path / "log", {"GREETING": "hello"}
    )
    while process.is_alive():
        time.sleep(0.01)
    assert (tmp_path / "log").read_text() == "hello\n"


def test_no_record_is_no_process(tmp_path):
    assert read_record(tmp_path / "none.pid") is None


@pytest.mark.parametrize("text", ["", "12", "12 34", "one two three", "1 2 3 4"])
def test_a_damaged_record_is_refused(tmp_path, text):
    path = tmp_path / "x.pid"
    path.write_text(text)
    with pytest.raises(UserError, match="end that process by hand"):
        read_record(path)


def test_a_number_nobody_has():
    process = ProcessRecord(2**22 + 1, 1, "boot")
    assert not process.is_alive()
    process.terminate()


def test_a_program_that_does_not_exist_is_not_alive(tmp_path):
    process = start_recorded(["/nonexistent/program"], tmp_path / "x.pid", tmp_path / "log")
    while process.is_alive():
        time.sleep(0.01)
    assert "not found" in (tmp_path / "log").read_text()
