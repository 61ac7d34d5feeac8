"""Runs of tests that are killed while they use the lab: what they had brought up goes without anybody's doing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fleet_box import Box, addresses, gone, namespaces

from killed_run import ended, members, run_of, wait_for
from metis_provision.lab.containers import OWNER_LABEL
from metis_provision.lab.fleet.requirements import missing_fleet_requirements
from metis_provision.lab.guard import RUN
from metis_provision.lab.process import ProcessRecord, read_record

pytestmark = pytest.mark.container


@pytest.mark.parametrize("kill", [os.kill, pytest.param(os.killpg, marks=pytest.mark.full)])
def test_a_run_that_is_bringing_a_fleet_up(tmp_path_factory: pytest.TempPathFactory, kill: Callable[..., None]) -> None:
    if missing := missing_fleet_requirements(5):
        pytest.skip("; ".join(missing))
    directory = tmp_path_factory.mktemp("killed") / "run"
    box = Box(directory / "box0")
    with run_of(directory, "tests/container/test_lab_fleet.py::test_a_cut_is_silent_and_heals") as run:
        wait_for(lambda: len(box.keepers()) > 2, run)
        gateway = box.address("rack-1").rpartition(".")[0] + ".254"
        kept = namespaces(box.keepers()) - namespaces([os.getpid()])
        assert gateway in addresses()
        kill(run.pid, signal.SIGKILL)
    assert ended(directory) == "cleared\n"
    assert members(directory) == []
    assert box.traces() == []
    assert gateway not in addresses()
    gone(kept)


@pytest.mark.full
def test_a_run_in_the_middle_of_an_apply(tmp_path_factory: pytest.TempPathFactory) -> None:
    if missing := missing_fleet_requirements(5):
        pytest.skip("; ".join(missing))
    directory = tmp_path_factory.mktemp("killed") / "run"
    box = Box(directory / "box0")
    reached = box.directory / "hosts/rack-3/changes/root/reached"
    with run_of(directory, "tests/container/test_lab_fleet.py::test_one_host_is_cut_off_in_the_middle_of_a_run") as run:
        wait_for(reached.exists, run)
        kept = namespaces(box.keepers())
        run.kill()
    assert ended(directory) == "cleared\n"
    assert members(directory) == []
    assert box.traces() == []
    gone(kept)


def containers_of(run: subprocess.Popen[str]) -> list[str]:
    listed = subprocess.run(
        ["podman", "ps", "--all", "--filter", f"label={OWNER_LABEL}", "--format", "json"],
        check=True,
        capture_output=True,
        text=True,
    )
    rows = json.loads(listed.stdout or "[]")
    return [row["Id"] for row in rows if row["Labels"][OWNER_LABEL].split()[0] == str(run.pid)]


def test_a_run_that_has_a_container(containers: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("killed") / "run"
    with run_of(directory, "tests/container/test_lab_containers.py::test_services_can_be_managed") as run:
        wait_for(lambda: containers_of(run), run)
        os.killpg(run.pid, signal.SIGKILL)
    assert ended(directory) == "cleared\n"
    assert members(directory) == []
    assert containers_of(run) == []


# A mount, and a process with a session of its own; then the end that nothing can be done about.
LEAVES = """
import os, signal, subprocess, sys
from pathlib import Path
from metis_provision.lab.guard import guarded

directory = Path(sys.argv[1])
with guarded(directory):
    inner = directory / "a place"
    inner.mkdir()
    for _ in range(2):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", inner], check=True)
    subprocess.Popen(["setsid", "sleep", "1000"], cwd=inner)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_mounts_and_processes_of_a_run(tmp_path: Path) -> None:
    outside = {**os.environ, RUN: f"{tmp_path}-of-another"}
    with subprocess.Popen(["sleep", "1000"], env=outside) as stranger:
        try:
            subprocess.run([sys.executable, "-c", LEAVES, tmp_path], check=False)
            assert ended(tmp_path) == "cleared\n"
            assert [line for line in members(tmp_path) if not line.startswith(f"{stranger.pid}:")] == []
            assert str(tmp_path) not in Path("/proc/mounts").read_text()
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_run_that_ends_by_itself_ends_its_guard(guard: ProcessRecord, tmp_path: Path) -> None:
    assert guard.is_alive()
    program = (
        "import sys\nfrom pathlib import Path\nfrom metis_provision.lab.guard import guarded\n"
        "with guarded(Path(sys.argv[1])) as process:\n    print(process.as_text())\n    assert process.is_alive()\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True)
    record = read_record(tmp_path / "guard.pid")
    assert record is not None
    assert not record.is_alive()
    assert (tmp_path / "guard.log").read_text() == ""
