"""The lists of Debian packages hold everything that the lab asks for by name."""

from __future__ import annotations

from pathlib import Path

from metis_provision.lab.containers import CONTAINER_TOOLS
from metis_provision.lab.requirements import BROWSER_TOOLS, MACHINE_TOOLS, TWIN_TOOLS

TOOLS = Path(__file__).resolve().parents[3] / "tools"
ALWAYS_THERE = {"apt", "coreutils"}


def listed(name: str) -> set[str]:
    return {line for line in (TOOLS / name).read_text().splitlines() if line and not line.startswith("#")}


def test_the_list_covers_what_the_lab_needs() -> None:
    needed = {*MACHINE_TOOLS.values(), *CONTAINER_TOOLS.values(), *BROWSER_TOOLS.values()}
    assert needed - ALWAYS_THERE <= listed("packages.txt")


def test_the_list_of_the_longer_sweeps_covers_the_rest_of_what_a_twin_needs() -> None:
    assert set(TWIN_TOOLS.values()) - ALWAYS_THERE <= listed("packages.txt") | listed("packages-full.txt")
    assert not listed("packages.txt") & listed("packages-full.txt")
