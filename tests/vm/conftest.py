"""Machines of the lab for tests, in a state directory of their own, so that a person's machines stay untouched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_sample import SAMPLE, SEED
from guest import deploy

from metis_provision.lab.lifecycle import Wish, down, up
from metis_provision.lab.machine import Machine
from metis_provision.lab.process import ProcessRecord
from metis_provision.lab.requirements import missing_requirements

# These look at the machine as `lab up` leaves it; all others take it provisioned and leave it so.
BEFORE_THE_OTHERS = ("test_lab.py", "test_main_job.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = [at for at, item in enumerate(items) if Path(__file__).parent in item.path.parents]
    ours = sorted((items[at] for at in places), key=lambda item: item.path.name not in BEFORE_THE_OTHERS)
    for at, item in zip(places, ours, strict=True):
        item.add_marker(pytest.mark.vm)
        items[at] = item


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"sample of faults: {', '.join(SAMPLE)} (METIS_FAULT_SEED={SEED})")


@pytest.fixture(scope="session")
def lab(guard: ProcessRecord, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A state directory for this run; skips where the lab cannot run, and fails there in CI."""
    if missing := missing_requirements():
        reason = "; ".join(missing)
        if os.environ.get("CI"):
            pytest.fail(f"the machine tier cannot run here: {reason}")
        pytest.skip(reason)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("lab")))
        yield


@pytest.fixture(scope="session")
def machine(lab: None) -> Iterator[Machine]:
    """A machine with a card, as ``lab up`` makes it; shared by the session, so tests put back what they change."""
    made = up(Wish(name="vm"))
    yield made
    down(made.name)


@pytest.fixture(scope="session")
def provisioned(machine: Machine) -> Machine:
    """The shared machine, as wanted with the settings of ``inventories/lab.py``."""
    deploy(machine)
    return machine
