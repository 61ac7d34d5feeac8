"""The program that names cards: counted over the bus, and those behind a late card counted anew."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from metis_provision.desired import access
from metis_provision.model.settings import Settings

METIS, NPU = ("0x1f9d", "0x1100", "0x120000"), ("0x8086", "0x7d1d", "0x120000")
SHELLS = [words for words in (["dash"], ["bash"], ["busybox", "sh"]) if shutil.which(words[0])]


class Bus:
    """A made-up /sys with PCI functions, and the program."""

    def __init__(self, root: Path, shell: list[str]) -> None:
        self.root, self.shell = root, shell
        self.program = root / "card-names"
        self.program.write_bytes(access.files(Settings(driver="none"))[0].content)  # type: ignore[arg-type]

    def add(self, bdf: str, identity: tuple[str, str, str], node: str = "") -> Path:
        """A function, and the file that makes udev look at its node again."""
        function = self.root / "sys/bus/pci/devices" / bdf
        function.mkdir(parents=True)
        for name, value in zip(("vendor", "device", "class"), identity, strict=True):
            (function / name).write_text(f"{value}\n")
        event = function / (node or "metis/none") / "uevent"
        if node:
            event.parent.mkdir(parents=True)
            event.write_text("")
        return event

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.shell, str(self.program), *arguments],
            env={**os.environ, "METIS_ROOT": str(self.root)},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(params=SHELLS, ids=lambda words: words[0])
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Bus:
    return Bus(tmp_path, request.param)


def test_cards_are_counted_in_the_order_of_their_addresses(bus: Bus) -> None:
    bus.add("0000:0a:00.0", METIS)
    bus.add("0000:02:00.0", NPU)
    bus.add("0000:01:00.0", METIS)
    assert bus.run("0000:01:00.0").stdout == "axelera0 metis-0:1:0\n"
    assert bus.run("0000:0a:00.0").stdout == "axelera1 metis-0:a:0\n"


def test_only_cards_behind_a_late_one_are_looked_at_again(bus: Bus) -> None:
    first = bus.add("0000:01:00.0", METIS, "metis/metis-0-1-0")
    late = bus.add("0000:02:00.0", METIS, "metis/metis-0-2-0")
    npu = bus.add("0000:03:00.0", NPU, "accel/accel0")
    behind = [
        bus.add("0000:04:00.0", METIS, "metis/metis-0-4-0"),
        bus.add("0000:05:00.0", METIS, "accel/accel1"),
    ]
    bus.add("0000:06:00.0", METIS)
    done = bus.run("--recount", "0000:02:00.0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [event.read_text() for event in behind] == ["change\n", "change\n"]
    assert [event.read_text() for event in (first, late, npu)] == ["", "", ""]


def test_what_is_no_card_has_no_name(bus: Bus) -> None:
    bus.add("0000:03:00.0", NPU)
    for arguments in (["0000:03:00.0"], ["--recount", "0000:03:00.0"], ["0000:09:00.0"]):
        done = bus.run(*arguments)
        assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("arguments", [[], ["--recount"], ["a", "b"]])
def test_mistakes_are_told(bus: Bus, arguments: list[str]) -> None:
    done = bus.run(*arguments)
    assert done.returncode == 2
    assert "usage: card-names" in done.stderr
