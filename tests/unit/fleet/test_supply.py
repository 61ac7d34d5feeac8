"""A run has every pinned payload on the controller before it connects to a host; a plan needs none."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State

from metis_provision.catalog.releases import PayloadKind
from metis_provision.deploys import host
from metis_provision.supply.pins import Pin, add_pins

CONTENT = b"the driver's source"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    pin = Pin(
        version="1.6.2", file="d.tar.gz", size=len(CONTENT), sha256=sha256, place="d.tar.gz", pinned_by="first-use"
    )
    add_pins(tmp_path / "pins" / "1.8.0.yml", "1.8.0", {PayloadKind.DRIVER_SOURCE: pin})
    return tmp_path


@contextmanager
def a_host(here: Path) -> Iterator[socket.socket]:
    """An inventory with one host, and its end of the line, which answers to nobody."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        data = {"metis_release": "1.8.0", "ssh_port": server.getsockname()[1]}
        (here / "inventory.py").write_text(f"hosts = [('127.0.0.1', {data!r})]\n")
        yield server


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False, timeout=60)


def stored(here: Path) -> list[bytes]:
    return [path.read_bytes() for path in (here / "cache").rglob("d.tar.gz")]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "metis-provision: d.tar.gz does not exist: nothing was fetched"),
        (CONTENT[:-1], "metis-provision: d.tar.gz has 18 bytes, and d.tar.gz should have 19: it was not kept"),
        (CONTENT[:-1] + b"!", "metis-provision: d.tar.gz is not the d.tar.gz that is wanted: its sha256 is"),
    ],
)
def test_a_payload_that_cannot_be_had_stops_an_apply_before_any_connection(
    here: Path, content: bytes | None, sentence: str
) -> None:
    if content is not None:
        (here / "d.tar.gz").write_bytes(content)
    with a_host(here) as server:
        done = run("metis_provision.cli", "apply", "inventory.py", "-y")
        with pytest.raises(BlockingIOError):
            server.accept()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(sentence)
    assert len(done.stderr.splitlines()) == 1
    assert stored(here) == []


def unreachable(here: Path) -> None:
    (here / "inventory.py").write_text(
        "hosts = [('127.0.0.1', {'metis_release': '1.8.0', 'ssh_port': 1, 'ssh_connect_retries': 0})]\n"
    )


def test_an_apply_fetches_first(here: Path) -> None:
    (here / "d.tar.gz").write_bytes(CONTENT)
    unreachable(here)
    assert run("metis_provision.cli", "apply", "inventory.py", "-y").returncode == 3
    assert stored(here) == [CONTENT]


@pytest.mark.parametrize("command", ["plan", "verify"])
def test_a_plan_or_a_look_fetches_nothing(here: Path, command: str) -> None:
    unreachable(here)
    assert run("metis_provision.cli", command, "inventory.py").returncode == 3
    assert stored(here) == []


@pytest.mark.parametrize(("option", "fetches"), [("-y", True), ("--dry", False)])
def test_a_plain_pyinfra_run_fetches_before_anything_changes(
    here: Path, monkeypatch: pytest.MonkeyPatch, option: str, fetches: bool
) -> None:
    monkeypatch.setattr("pyinfra.is_cli", True)
    monkeypatch.setattr(sys, "argv", ["pyinfra", "inventory.py", "deploys/metis.py", option])
    state = State(Inventory(([("pi-7", {"metis_release": "1.8.0"})], {})), check_for_changes=False)
    if fetches:
        with pytest.raises(PyinfraError, match=r"d\.tar\.gz does not exist: nothing was fetched"):
            host._begin(state, provisions=True)
    else:
        host._begin(state, provisions=True)
    host._begin(state, provisions=False)
