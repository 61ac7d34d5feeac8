"""The example inventories: right once the release they name is pinned; before that, what to do is said."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from metis_provision.catalog.releases import PayloadKind
from metis_provision.supply.pins import Pin, add_pins

INVENTORIES = Path(__file__).resolve().parents[3] / "inventories"

LOAD = """
import json, sys
from metis_provision.fleet import run
from metis_provision.model.errors import UserError
from metis_provision.supply.settings import resolved_settings
try:
    inventory = run.load(sys.argv[1])
except UserError as error:
    sys.exit(str(error))
settings = {host.name: resolved_settings(host.data.dict(), host.name) for host in inventory}
print(json.dumps({name: [each.carrier, each.driver_version] for name, each in settings.items()}))
"""


def load(inventory: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Load an inventory in a process of its own; print each host's carrier and driver, or what is wrong."""
    command = [sys.executable, "-c", LOAD, str(inventory)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture
def pinned(tmp_path: Path) -> None:
    sha256 = hashlib.sha256(b"source").hexdigest()
    pin = Pin(version="1.6.2", file="d.tar.gz", size=6, sha256=sha256, place="d.tar.gz", pinned_by="first-use")
    add_pins(tmp_path / "pins" / "1.8.0.yml", "1.8.0", {PayloadKind.DRIVER_SOURCE: pin})


@pytest.mark.usefixtures("pinned")
@pytest.mark.parametrize(
    ("name", "carriers"),
    [
        (
            "raspberry_pi",
            {
                "pi-kitchen": "rpi5-m2-hat-plus",
                "pi-garage": "rpi5-m2-hat-plus",
                "pi-gate": "rpi5-dual-hat",
                "cruiser-1": "exaviz-cruiser",
                "cruiser-2": "exaviz-cruiser",
            },
        ),
        ("x86_fleet", {f"inference-{number:02}": "x86-slot" for number in range(1, 21)}),
    ],
)
def test_each_host_has_what_its_carrier_needs(name: str, carriers: dict[str, str], tmp_path: Path) -> None:
    loaded = load(INVENTORIES / f"{name}.py", tmp_path)
    assert json.loads(loaded.stdout) == {host: [carrier, "1.6.2"] for host, carrier in carriers.items()}


@pytest.mark.parametrize("name", ["raspberry_pi", "x86_fleet"])
def test_without_a_pin_what_to_do_is_said(name: str, tmp_path: Path) -> None:
    refused = load(INVENTORIES / f"{name}.py", tmp_path)
    assert refused.returncode == 1
    (sentence,) = refused.stderr.splitlines()  # what all hosts lack is said once
    assert "metis-provision pin 1.8.0" in sentence


def test_many_hosts_with_one_mistake_are_counted(tmp_path: Path) -> None:
    (tmp_path / "many.py").write_text(
        "hosts = [(f'h{n}', {'metis_driver': 'none', 'metis_carier': 1}) for n in range(9)]\n"
    )
    (tmp_path / "few.py").write_text(
        "hosts = [(f'h{n}', {'metis_driver': 'none', 'metis_cards': -n}) for n in range(3)]\n"
    )
    many = load(tmp_path / "many.py", tmp_path).stderr.splitlines()
    assert [line.partition(" is not")[0] for line in many] == ["h0, h1, h2 and 6 more: metis_carier"]
    few = load(tmp_path / "few.py", tmp_path).stderr.splitlines()
    assert [line.partition(" ")[0] for line in few] == ["h1:", "h2:"]
    assert [line[line.index("-") :] for line in few] == ["-1)", "-2)"]
