"""A state directory and a cache of each test's own."""

from __future__ import annotations

import pytest

from metis_provision.lab import machine as machines
from metis_provision.lab.machine import Machine
from metis_provision.lab.paths import state_dir
from metis_provision.lab.qemu import Acceleration
from metis_provision.lab.topology import ONE_CARD


@pytest.fixture(autouse=True)
def own_directories(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def make_machine():
    """Write the state of a machine that nobody has started."""

    def make(name="demo", **changes):
        (state_dir() / name).mkdir(parents=True)
        values = {
            "ssh_port": 22001,
            "acceleration": Acceleration.TCG,
            "memory": 1024,
            "cpus": 2,
            "topology": ONE_CARD,
            "image": "0" * 20,
            "ready": True,
        }
        return machines.save(Machine(name=name, **{**values, **changes}))

    return make
