"""Runs every tier of tests this machine can run, says which it cannot and why, and how long each took.

The virtual machines run beside the other tiers, because neither keeps two cores busy; what they print comes when they
are done. In CI (the environment variable CI is set) a tier that cannot run is a failure. Tests marked ``full`` run with
--full, and the longest modules of the virtual machines then beside the rest of them, on machines of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Tier:
    """Tests, as pytest is told which, and what a machine must have to run them."""

    name: str
    missing: Callable[[], list[str]]
    tests: tuple[str, ...]


def _vm_missing() -> list[str]:
    from metis_provision.lab.requirements import missing_requirements

    return missing_requirements()


def _container_missing() -> list[str]:
    from metis_provision.lab.containers import missing_container_requirements

    return missing_container_requirements()


def _browser_missing() -> list[str]:
    from metis_provision.lab.requirements import missing_browser_requirements

    return missing_browser_requirements()


_WITHOUT_MACHINES = (
    Tier("unit", list, ("tests/unit",)),
    Tier("browser", _browser_missing, ("tests/browser",)),
    Tier("container", _container_missing, ("tests/container",)),
)
_SWEEPS = tuple(f"tests/vm/test_{name}.py" for name in ("faults", "kernel_update", "pi"))
LANES = (_WITHOUT_MACHINES, (Tier("vm", _vm_missing, ("tests/vm",)),))
FULL_LANES = (
    _WITHOUT_MACHINES,
    (Tier("vm", _vm_missing, ("tests/vm", *(f"--ignore={module}" for module in _SWEEPS))),),
    (Tier("vm-sweeps", _vm_missing, _SWEEPS),),
)


@dataclass(frozen=True)
class Ending:
    """How a tier ended: pytest's status, and the line that says so."""

    status: int
    line: str


def main(arguments: list[str]) -> int:
    """Run the tiers that are named, all if none are; the status is the worst of them."""
    full = "--full" in arguments
    names = [argument for argument in arguments if argument != "--full"]
    every = FULL_LANES if full else LANES
    lanes = [[tier for tier in lane if not names or tier.name in names] for lane in every]
    unknown = set(names) - {tier.name for lane in lanes for tier in lane}
    if unknown:
        known = ", ".join(tier.name for lane in every for tier in lane)
        print(f"There is no tier {', '.join(sorted(unknown))}: give one of {known}.", file=sys.stderr)
        return 2
    first, *others = [lane for lane in lanes if lane]
    with ThreadPoolExecutor() as pool:
        beside = [pool.submit(_run_quietly, lane, full) for lane in others]
        endings = [_run(tier, full) for tier in first]
        for lane in beside:
            endings += lane.result()
    print("\nTiers:" + ("" if full else "\n  left out: tests marked full, which make test-full runs too"))
    for ending in endings:
        print(ending.line)
    return max(ending.status for ending in endings)


def _run_quietly(lane: list[Tier], full: bool) -> list[Ending]:
    """Run the tiers of a lane; what each prints comes in one piece when it is done."""
    endings = []
    for tier in lane:
        with tempfile.TemporaryFile("w+") as output:
            endings.append(_run(tier, full, output))
            output.seek(0)
            print(output.read(), end="", flush=True)
    return endings


def _run(tier: Tier, full: bool, output: TextIO | None = None) -> Ending:
    missing = tier.missing()
    if missing:
        line = f"  {tier.name:<10} not run: {'; '.join(missing)}"
        return Ending(1 if os.environ.get("CI") else 0, line)
    print(f"==> {tier.name} tests", flush=True, file=output)
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "--durations=5", "--durations-min=5"]
    command += [*([] if full else ["-m", "not full"]), *tier.tests]
    status = subprocess.run(command, cwd=ROOT, check=False, stdout=output, stderr=output).returncode
    minutes = (time.monotonic() - started) / 60
    return Ending(status, f"  {tier.name:<10} {'passed' if status == 0 else 'FAILED'} in {minutes:.1f} min")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
