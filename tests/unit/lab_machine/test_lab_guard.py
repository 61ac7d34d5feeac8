"""What is cleared after a run that was killed, and what is not touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from metis_provision.lab import guard
from metis_provision.lab.process import read_record, start_recorded

# Starts a process that outlives it, then is killed.
KILLED = """
import os, signal, sys
from pathlib import Path
from metis_provision.lab.guard import guarded
from metis_provision.lab.process import start_recorded

directory = Path(sys.argv[1])
with guarded(directory):
    start_recorded(["sleep", "1000"], directory / "sleep.pid", directory / "log")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def no_podman(monkeypatch):
    monkeypatch.setattr(guard.shutil, "which", lambda name: None)


def host(directory, name):
    """A directory of the lab's with a process that nobody of this run has started."""
    place = directory / "state0/metis-provision/lab" / name
    place.mkdir(parents=True)
    return start_recorded(["sleep", "1000"], place / "qemu.pid", place / "qemu.log")


def test_a_process_with_a_session_of_its_own_goes_with_the_run(tmp_path):
    run = subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    assert run.returncode == -signal.SIGKILL
    read_record(tmp_path / "guard.pid").wait()
    assert (tmp_path / "guard.log").read_text() == "cleared\n"
    assert not read_record(tmp_path / "sleep.pid").is_alive()


def test_hosts_are_taken_down_and_one_that_cannot_be_does_not_keep_the_others(tmp_path, monkeypatch, caplog, no_podman):
    damaged, whole, another = (host(tmp_path / place, name) for place, name in (("a", "one"), ("a", "two"), ("b", "x")))
    try:
        (tmp_path / "a/state0/metis-provision/lab/one/slot0.pid").write_text("of another kind")
        guard.clear(tmp_path / "a")
        assert not whole.is_alive()
        assert another.is_alive()
        assert [path.name for path in (tmp_path / "a/state0/metis-provision/lab").iterdir()] == ["one"]
        assert "does not hold a process id, a start time and a boot id" in caplog.text
    finally:
        for process in (damaged, whole, another):
            process.terminate()


def test_mounts_are_known_by_their_place():
    mountinfo = (
        "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        "30 22 0:40 / /tmp/run/a rw - tmpfs tmpfs rw\n"
        "31 30 0:41 / /tmp/run/a/b\\040c rw - tmpfs tmpfs rw\n"
        "32 22 0:42 / /tmp/runner rw - tmpfs tmpfs rw\n"
    )
    assert guard.mount_points(mountinfo, Path("/tmp/run")) == ["/tmp/run/a", "/tmp/run/a/b c"]


def test_a_mount_that_stays_is_told(monkeypatch, tmp_path, caplog, no_podman):
    monkeypatch.setattr(guard, "mount_points", lambda text, directory: [str(tmp_path)])
    guard.clear(tmp_path)
    assert "not mounted" in caplog.text or "permi" in caplog.text


def test_the_mark_of_a_run_around_this_one_comes_back(monkeypatch, tmp_path):
    monkeypatch.setenv(guard.RUN, "/outer")
    with guard.guarded(tmp_path):
        assert os.environ[guard.RUN] == str(tmp_path)
    assert os.environ[guard.RUN] == "/outer"


def test_an_owner_that_is_none_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="'me' is not a process id"):
        guard.main([str(tmp_path), "me"])
