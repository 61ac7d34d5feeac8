"""What the machine tests do to a guest and ask of it: deploy, verify, look with its own tools, break something."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from metis_provision.lab.card.control import CardControl
from metis_provision.lab.inventory import host_data
from metis_provision.lab.machine import Machine
from metis_provision.lab.topology import FIRST_SLOT
from metis_provision.lab.waiting import asked_until

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
INVENTORY = "inventories/lab.py"
WAIT_SECONDS = 180.0
HOLD = "exec 3<>/dev/axelera0; exec sleep 600"

Done = subprocess.CompletedProcess[str]


def pyinfra(machine: Machine, *arguments: str, **settings: object) -> Done:
    """Run the deploy on the machine; ``settings`` are those of the inventory, without their ``metis_``."""
    return _run([str(BIN / "pyinfra"), *_hosts(machine, settings), "deploys/metis.py", *arguments])


def ours(machine: Machine, verb: str, *arguments: str, **settings: object) -> Done:
    """Run ``metis-provision`` on the machine."""
    return _run([str(BIN / "metis-provision"), verb, *_hosts(machine, settings), *arguments])


def _hosts(machine: Machine, settings: dict[str, object]) -> list[str]:
    if not settings:
        return [INVENTORY, "--limit", machine.name]
    data = host_data(machine) | {f"metis_{key}": value for key, value in settings.items()}
    inventory = machine.directory / "inventory.py"
    inventory.write_text(f"hosts = [({machine.name!r}, {data!r})]\n")
    return [str(inventory)]


def _run(command: list[str]) -> Done:
    environment = {**os.environ, "PYINFRA_PROGRESS": "off"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def deploy(machine: Machine, **settings: object) -> Done:
    """Run the deploy and require that it succeeds."""
    done = pyinfra(machine, "-y", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def changed_nothing(done: Done) -> bool:
    """Whether a deploy succeeded and each of its operations found its concern as wanted."""
    total = next(line for line in done.stderr.splitlines() if "Grand total" in line)
    hosts, success, error, unchanged = total.split()[2:]
    return done.returncode == 0 and (success, error, unchanged) == ("-", "-", hosts)


def reported(machine: Machine, verb: str, *arguments: str, **settings: object) -> tuple[int, dict[str, Any]]:
    """Exit status of ``metis-provision``, and what its JSON says of the machine."""
    done = ours(machine, verb, *arguments, "--json", **settings)
    assert done.stdout, done.stderr
    (host,) = json.loads(done.stdout)["hosts"]
    return done.returncode, host


def findings(machine: Machine, **settings: object) -> tuple[int, dict[str, dict[str, str]]]:
    """Exit status of a verification, and its findings that are not a pass or skip, by code."""
    status, host = reported(machine, "verify", **settings)
    return status, {f["code"]: f for f in host["findings"] if f["answer"] not in {"pass", "skip"}}


def said(machine: Machine, *command: str, check: bool = True, timeout: float = 120.0) -> str:
    """What ``command`` prints as root on the machine."""
    return machine.run(*command, check=check, timeout=timeout).stdout.strip()


def shell(machine: Machine, script: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run ``script`` as root on the machine, whatever becomes of it."""
    return subprocess.run(machine.ssh_command(script, batch=True), input=stdin, capture_output=True, check=False)


def put(machine: Machine, path: str, content: str) -> None:
    """Write a file on the machine."""
    done = shell(machine, f"mkdir -p '{path.rpartition('/')[0]}' && cat >'{path}'", content.encode())
    assert done.returncode == 0, done.stderr


def owner_and_mode(machine: Machine, path: str) -> str:
    """Who has the file behind ``path``, such as ``root:axelera 660``."""
    return said(machine, "stat", "-L", "-c", "%U:%G %a", path)


def is_active(machine: Machine, unit: str) -> bool:
    """Whether a unit of systemd is active."""
    return said(machine, "systemctl", "is-active", unit, check=False) == "active"


def wait_for(condition: Callable[[], bool], what: str = "what was waited for") -> None:
    """Return once ``condition`` holds; the test fails if it does not come about."""
    if not asked_until(condition, WAIT_SECONDS, 0.5):
        pytest.fail(f"not seen within {WAIT_SECONDS:.0f} s: {what}")


@contextmanager
def fault(machine: Machine, name: str, slot: str = FIRST_SLOT) -> Iterator[Callable[[], object]]:
    """Switch a fault of a card on; what is yielded switches it off, as the end does anyway."""
    control = CardControl(machine.card(slot).control)
    control.fault(name, on=True)
    try:
        yield lambda: control.fault(name, on=False)
    finally:
        control.fault(name, on=False)


@contextmanager
def held(machine: Machine) -> Iterator[str]:
    """A process on the machine that has the first card open; its id."""
    machine.run("systemd-run", "--unit=holder", "--collect", "--quiet", "sh", "-c", HOLD)
    try:
        process = said(machine, "systemctl", "show", "--property=MainPID", "--value", "holder.service")
        wait_for(lambda: said(machine, "cat", f"/proc/{process}/comm", check=False) == "sleep", "the holder")
        yield process
    finally:
        machine.run("systemctl", "stop", "holder.service", check=False)
