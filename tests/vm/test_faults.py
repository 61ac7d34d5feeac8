"""Every fault of the lab's table on a machine: seen by its own tools, told by its checks, healed as the table says.

In `make test` a sample of the quick ones runs (fault_sample.py), in `make test-full` all of them.
"""

from __future__ import annotations

import pytest
from fault_sample import SAMPLE
from guest import deploy, findings, ours, reported

from metis_provision.lab.faults import Fault, Heals, faults
from metis_provision.lab.machine import Machine
from metis_provision.lab.switching import FaultyMachine
from metis_provision.model.errors import UserError

UNREACHABLE = 3
LOOK_SECONDS = 300.0


def _rows() -> list[object]:
    return [
        pytest.param(fault, id=name, marks=() if name in SAMPLE else pytest.mark.full)
        for name, fault in faults().items()
    ]


@pytest.fixture(scope="module")
def green(provisioned: Machine) -> Machine:
    assert findings(provisioned)[0] == 0
    return provisioned


@pytest.mark.parametrize("fault", _rows())
def test_a_fault_is_seen_told_and_healed(green: Machine, fault: Fault) -> None:
    exercise(green, fault)


def exercise(machine: Machine, fault: Fault) -> None:
    """Switch a fault on, look at its effect and at what is said of it, heal it; the machine is green afterwards."""
    faulty = FaultyMachine(machine)
    switched_off = False
    try:
        faulty.switch(fault, on=True)
        if fault.cuts_off:
            _is_unreachable(machine)
        else:
            _is_seen_and_told(machine, fault)
        if fault.heals is Heals.RESCAN:
            _heal_by_rescans(machine, faulty)
        faulty.switch(fault, on=False)
        switched_off = True
        _heal(machine, fault)
    finally:
        if not switched_off:
            faulty.switch(fault, on=False)


def _is_seen_and_told(machine: Machine, fault: Fault) -> None:
    assert fault.look is not None
    done = machine.run("sh", "-c", fault.look, check=False, timeout=LOOK_SECONDS)
    assert fault.is_shown_by(done.stdout + done.stderr), done.stdout + done.stderr
    _, host = reported(machine, "verify", **fault.settings)
    found = {row["code"]: row for row in host["findings"] if row["answer"] in {"warn", "fail"}}
    assert set(fault.codes) <= found.keys(), {code: row["seen"] for code, row in found.items()}
    assert all(found[code]["next"] for code in fault.codes)
    assert host["standing"] != "green"


def _is_unreachable(machine: Machine) -> None:
    with pytest.raises((UserError, OSError)):
        machine.run("true", timeout=5)
    assert ours(machine, "verify", cards=1).returncode == UNREACHABLE


def _heal_by_rescans(machine: Machine, faulty: FaultyMachine) -> None:
    """As often as it takes, which the card's own counter knows; the fault stays on."""
    for _ in range(4):
        faulty.rescan()
        if machine.run("axdevice", check=False).returncode == 0:
            break
    assert findings(machine) == (0, {}), "the rescan alone makes it green"


def _heal(machine: Machine, fault: Fault) -> None:
    match fault.heals:
        case Heals.DEPLOY:
            assert not fault.codes or findings(machine)[0] in (0, 1)
            deploy(machine)
        case Heals.REBOOT:
            assert machine.reboot()
        case Heals.POWER_CYCLE:
            status, found = findings(machine)
            assert status == 1, "switched off alone it is not healed"
            assert any("power" in row["next"] for row in found.values()), "the operator is told what to do"
            machine.power_cycle()
    status, found = findings(machine, **fault.settings)
    assert (status, found) == (0, {})
