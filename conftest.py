"""What holds for every run of pytest: the minutes of each module told at its end, and nothing left if it is killed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import pytest

from metis_provision.lab.guard import guarded
from metis_provision.lab.process import ProcessRecord

LONG_SECONDS = 30.0
"""A module that takes less is one of the others: there are hundreds of them, and nothing to be gained in any."""
OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
"""pytest's own categories, in the order they are told; a set-up or tear-down that went well is in none of them."""


@pytest.fixture(scope="session")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessRecord]:
    """Sees that processes, mounts and hosts of the lab are cleared away if this run is killed."""
    with guarded(tmp_path_factory.getbasetemp()) as process:
        yield process


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell the minutes of each long module at the end of a run."""
    for line in minutes_per_module(terminalreporter.stats):
        terminalreporter.write_line(line)


def minutes_per_module(stats: Mapping[str, Sequence[object]]) -> Iterator[str]:
    """Yield a line for each module above ``LONG_SECONDS``, longest first, and one for all others; none if none is.

    A module's time is that of its tests with their set-up and tear-down: a fixture of the session counts where it
    was first asked for.
    """
    seconds: defaultdict[str, float] = defaultdict(float)
    outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for outcome, reports in stats.items():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                module = report.nodeid.partition("::")[0]
                seconds[module] += report.duration
                outcomes[module][outcome] += 1
    long = sorted((module for module in seconds if seconds[module] > LONG_SECONDS), key=lambda module: -seconds[module])
    if not long:
        return
    yield "minutes per module:"
    for module in long:
        yield _line(seconds[module], module, outcomes[module])
    others = seconds.keys() - set(long)
    if others:
        counted = sum((outcomes[module] for module in others), Counter())
        yield _line(sum(seconds[module] for module in others), f"others ({len(others)})", counted)


def _line(seconds: float, what: str, outcomes: Counter[str]) -> str:
    counted = ", ".join(f"{outcomes[outcome]} {outcome}" for outcome in OUTCOMES if outcomes[outcome])
    return f"{seconds / 60:6.1f} {what}: {counted}"
