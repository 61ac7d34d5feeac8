"""The list of Debian packages holds everything that the lab asks for by name."""

from __future__ import annotations

from pathlib import Path

from metis_provision.lab.containers import CONTAINER_TOOLS
from metis_provision.lab.requirements import BROWSER_TOOLS, MACHINE_TOOLS

LIST = Path(__file__).resolve().parents[3] / "tools" / "packages.txt"
ALWAYS_THERE = {"apt", "coreutils"}


def test_the_list_covers_what_the_lab_needs() -> None:
    listed = {line for line in LIST.read_text().splitlines() if line and not line.startswith("#")}
    assert {*MACHINE_TOOLS.values(), *CONTAINER_TOOLS.values(), *BROWSER_TOOLS.values()} - ALWAYS_THERE <= listed
