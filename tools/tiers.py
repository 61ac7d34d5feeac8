"""Runs every tier of tests this machine can run, says which it cannot and why, and how long each took.

In CI (the environment variable CI is set) a tier that cannot run is a failure. Tests marked ``full`` run with --full.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Tier:
    """A directory of tests, and what a machine must have to run it."""

    name: str
    missing: Callable[[], list[str]]


def _vm_missing() -> list[str]:
    from metis_provision.lab.requirements import missing_requirements

    return missing_requirements()


def _container_missing() -> list[str]:
    from metis_provision.lab.containers import missing_container_requirements

    return missing_container_requirements()


def _browser_missing() -> list[str]:
    from metis_provision.lab.requirements import missing_browser_requirements

    return missing_browser_requirements()


TIERS = (
    Tier("unit", list),
    Tier("browser", _browser_missing),
    Tier("container", _container_missing),
    Tier("vm", _vm_missing),
)


def main(arguments: list[str]) -> int:
    """Run the tiers that are named, all if none are; the status is the worst of them."""
    full = "--full" in arguments
    names = [argument for argument in arguments if argument != "--full"]
    report: list[str] = [] if full else ["  left out: tests marked full, which make test-full runs too"]
    worst = 0
    for tier in (tier for tier in TIERS if not names or tier.name in names):
        missing = tier.missing()
        if missing:
            report.append(f"  {tier.name:<10} not run: {'; '.join(missing)}")
            worst = max(worst, 1 if os.environ.get("CI") else 0)
            continue
        started = time.monotonic()
        print(f"==> {tier.name} tests", flush=True)
        command = [sys.executable, "-m", "pytest", "-q", "--durations=5", "--durations-min=5"]
        command += [*([] if full else ["-m", "not full"]), f"tests/{tier.name}"]
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        minutes = (time.monotonic() - started) / 60
        report.append(f"  {tier.name:<10} {'passed' if status == 0 else 'FAILED'} in {minutes:.1f} min")
        worst = max(worst, status)
    print("\nTiers:\n" + "\n".join(report))
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
