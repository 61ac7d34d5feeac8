"""A run of tests that is killed while it brings a machine up leaves neither QEMU nor a card."""

from __future__ import annotations

import os
import signal

import pytest

from killed_run import ended, members, run_of, wait_for
from metis_provision.lab.process import read_record


@pytest.mark.full
def test_a_run_that_is_bringing_a_machine_up(lab: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("killed") / "run"
    machine = directory / "lab0/metis-provision/lab/vm"
    with run_of(directory, "tests/vm/test_lab.py::test_operator_may_do_everything_with_sudo") as run:
        wait_for((machine / "qemu.pid").exists, run)
        records = [read_record(machine / f"{name}.pid") for name in ("qemu", "slot0")]
        assert [record is not None and record.is_alive() for record in records] == [True, True]
        os.killpg(run.pid, signal.SIGKILL)
    assert ended(directory) == "cleared\n"
    assert members(directory) == []
    assert not any(record is None or record.is_alive() for record in records)
    assert list(machine.parent.iterdir()) == []
