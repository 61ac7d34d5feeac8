"""Runs every tier of tests this machine can run, says which it cannot and why, and how long each took.

The virtual machines run beside the other tiers, because neither keeps two cores busy; what they print comes when they
are done. Tests marked ``full`` run with --full, which takes hours: a tier that passed on the commit that is checked out
is remembered in build/test-full and not run again, unless it is named. A tier that cannot run is a failure with --full
and in CI (the environment variable CI is set).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO
from xml.etree import ElementTree

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


def _twin_missing() -> list[str]:
    from metis_provision.lab.requirements import missing_twin_requirements

    return [*_vm_missing(), *missing_twin_requirements()]


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
_VM = Tier("vm", _vm_missing, ("tests/vm",))
LANES = (_WITHOUT_MACHINES, (_VM,))


def _part(name: str, *modules: str, missing: Callable[[], list[str]] = _vm_missing) -> Tier:
    return Tier(name, missing, tuple(f"tests/vm/test_{module}.py" for module in modules))


_PI = _part("vm-pi", "pi", missing=_twin_missing)
_KERNEL = _part("vm-kernel", "kernel_update", "secure_boot")
_DRIVER = _part("vm-driver", "driver_package", "driver_versions", "main_job_initramfs", "runtime")
_FAULTS = _part("vm-faults", "faults", "levels")
_REST = Tier(
    _VM.name,
    _VM.missing,
    (*_VM.tests, *(f"--ignore={module}" for part in (_PI, _KERNEL, _DRIVER, _FAULTS) for module in part.tests)),
)
FULL_LANES = ((*_WITHOUT_MACHINES, _DRIVER, _PI), (_REST, _FAULTS, _KERNEL))


@dataclass(frozen=True)
class Ending:
    """How a tier ended: pytest's status, and the line that says so."""

    status: int
    line: str


@dataclass(frozen=True)
class Run:
    """What holds for all tiers of a run: with the longer sweeps, where passes are kept, those of before run anew."""

    full: bool
    memory: Path | None
    anew: bool


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
    run = Run(full, _memory() if full else None, anew=bool(names))
    first, *others = [lane for lane in lanes if lane]
    with ThreadPoolExecutor() as pool:
        beside = [pool.submit(_run_quietly, lane, run) for lane in others]
        endings = [_run(tier, run) for tier in first]
        for lane in beside:
            endings += lane.result()
    print(f"\nTiers{f' on {run.memory.name[:7]}' if run.memory else ''}:")
    if not full:
        print("  left out: tests marked full, which make test-full runs too")
    for ending in endings:
        print(ending.line)
    return max(ending.status for ending in endings)


def _memory() -> Path | None:
    """Return where it is kept what passed on this commit; None where the files are not those of a commit."""
    if shutil.which("git") is None:
        return None
    said = [
        subprocess.run(["git", *words], cwd=ROOT, check=False, capture_output=True, text=True)
        for words in (("rev-parse", "HEAD"), ("status", "--porcelain"))
    ]
    commit, changed = (git.stdout.strip() for git in said)
    if changed or any(git.returncode for git in said):
        return None
    return ROOT / "build" / "test-full" / commit


def _run_quietly(lane: list[Tier], run: Run) -> list[Ending]:
    """Run the tiers of a lane; what each prints comes in one piece when it is done."""
    endings = []
    for tier in lane:
        with tempfile.TemporaryFile("w+") as output:
            endings.append(_run(tier, run, output))
            output.seek(0)
            print(output.read(), end="", flush=True)
    return endings


def _run(tier: Tier, run: Run, output: TextIO | None = None) -> Ending:
    kept = run.memory / tier.name if run.memory else None
    if kept and kept.exists() and not run.anew:
        return Ending(0, kept.read_text())
    missing = tier.missing()
    if missing:
        line = f"  {tier.name:<10} not run: {'; '.join(missing)}"
        return Ending(1 if run.full or os.environ.get("CI") else 0, line)
    print(f"==> {tier.name} tests", flush=True, file=output)
    started = time.monotonic()
    with tempfile.NamedTemporaryFile(suffix=".xml") as results:
        command = [sys.executable, "-m", "pytest", "-q", "--durations=5", "--durations-min=5"]
        command += [*([] if run.full else ["-m", "not full"]), *tier.tests, f"--junitxml={results.name}"]
        status = subprocess.run(command, cwd=ROOT, check=False, stdout=output, stderr=output).returncode
        counted = _counted(results.read())
    minutes = (time.monotonic() - started) / 60
    ended = f"{'passed' if status == 0 else 'FAILED'} in {minutes:.1f} min{counted}"
    ending = Ending(status, f"  {tier.name:<10} {ended}")
    if kept:
        _remember(ending, kept)
    return ending


def _counted(results: bytes) -> str:
    """Return how many tests there were and were skipped, of pytest's JUnit file; nothing if that is not whole."""
    try:
        # Of pytest's own making: nothing in it is to be guarded against.
        suite = next(ElementTree.fromstring(results).iter("testsuite"))  # noqa: S314
    except ElementTree.ParseError:
        return ""
    return f", {suite.get('tests')} tests, {suite.get('skipped')} of them skipped"


def _remember(ending: Ending, kept: Path) -> None:
    """Keep how a tier ended on this commit; nothing if it failed, or if the files were changed meanwhile."""
    kept.unlink(missing_ok=True)
    if ending.status == 0 and _memory() == kept.parent:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(f"{ending.line}, on {datetime.now(UTC).date()}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
