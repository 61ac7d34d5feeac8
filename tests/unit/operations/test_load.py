"""Loading the driver, and loading it anew, with the real script against a modprobe that says what it was asked."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from metis_provision.desired.difference import CardChange
from metis_provision.operations.commands import load_command

NOTHING = CardChange(load=None, trigger=())


@pytest.fixture
def run(tmp_path: Path):  # type: ignore[no-untyped-def] # a function
    """Runs a change's command with a /run of its own; gives its result and what modprobe was asked."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a /run of its own")
    asked = tmp_path / "asked"

    def go(
        change: CardChange, modprobe: str = "", before: str = ""
    ) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        asked.write_text("")
        (tmp_path / "modprobe").write_text(f'#!/bin/sh\necho "$*" >>{asked}\n{modprobe}\n')
        (tmp_path / "modprobe").chmod(0o755)
        prepare = f"mount -t tmpfs none /run && mkdir /run/metis-provision && {before or ':'}"
        inner = f"{prepare} && sh -c {shlex.quote(load_command(change))}"
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", inner],
            env={"PATH": f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done, asked.read_text().splitlines()

    return go


def test_a_module_is_loaded(run) -> None:  # type: ignore[no-untyped-def]
    done, asked = run(CardChange(load="metis", trigger=()))
    assert (done.returncode, asked) == (0, ["metis"])


def test_a_module_is_loaded_anew(run) -> None:  # type: ignore[no-untyped-def]
    done, asked = run(CardChange(load=None, trigger=(), reload="metis"))
    assert (done.returncode, asked) == (0, ["-r metis", "metis"])


def test_nothing_is_asked_for_nothing(run) -> None:  # type: ignore[no-untyped-def]
    done, asked = run(NOTHING)
    assert (done.returncode, asked) == (0, [])


def test_a_module_in_use_stays(run) -> None:  # type: ignore[no-untyped-def]
    done, asked = run(CardChange(None, (), "metis"), "echo 'modprobe: FATAL: Module metis is in use.' >&2; exit 1")
    assert done.returncode == 1
    assert asked == ["-r metis"]
    assert "the old one stays until the next boot: modprobe: FATAL: Module metis is in use." in done.stderr


def test_a_signature_that_the_kernel_refuses_is_named(run) -> None:  # type: ignore[no-untyped-def]
    refusal = "[ \"$1\" = -r ] || { echo 'could not insert: Key was rejected by service' >&2; exit 1; }"
    done, asked = run(CardChange(None, (), "metis"), refusal)
    assert done.returncode == 1
    assert asked == ["-r metis", "metis"]
    assert "the kernel refused the module's signature" in done.stderr


def test_it_waits_for_a_program_of_ours_that_asks_the_card(run) -> None:  # type: ignore[no-untyped-def]
    hold = ": >/run/metis-provision/asking && { flock /run/metis-provision/asking sleep 1 & } && sleep 0.2"
    busy = "! flock -n /run/metis-provision/asking true || { echo 'nobody held the turn' >&2; exit 1; }"
    done, asked = run(CardChange(None, (), "metis"), busy, hold)
    assert (done.returncode, asked) == (0, ["-r metis", "metis"]), done.stderr
