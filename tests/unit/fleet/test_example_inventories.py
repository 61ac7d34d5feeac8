"""The example inventories: right once the release they name is pinned; before that, what to do is said."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from metis_provision.catalog.releases import PayloadKind
from metis_provision.fleet import run
from metis_provision.model.errors import UserError
from metis_provision.supply.pins import Pin, add_pins
from metis_provision.supply.settings import resolved_settings

INVENTORIES = Path(__file__).resolve().parents[3] / "inventories"


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
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
def test_each_host_has_what_its_carrier_needs(name: str, carriers: dict[str, str]) -> None:
    inventory = run.load(str(INVENTORIES / f"{name}.py"))
    found = {host.name: resolved_settings(host.data.dict(), host.name) for host in inventory}
    assert {host: settings.carrier for host, settings in found.items()} == carriers
    assert {settings.driver_version for settings in found.values()} == {"1.6.2"}


@pytest.mark.parametrize("name", ["raspberry_pi", "x86_fleet"])
def test_without_a_pin_what_to_do_is_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"metis-provision pin 1\.8\.0") as refused:
        run.load(str(INVENTORIES / f"{name}.py"))
    assert len(str(refused.value).splitlines()) == 1, "what all hosts lack is said once"


def test_many_hosts_with_one_mistake_are_counted(tmp_path: Path) -> None:
    (tmp_path / "many.py").write_text(
        "hosts = [(f'h{n}', {'metis_driver': 'none', 'metis_carier': 1}) for n in range(9)]\n"
    )
    (tmp_path / "few.py").write_text(
        "hosts = [(f'h{n}', {'metis_driver': 'none', 'metis_cards': -n}) for n in range(3)]\n"
    )
    with pytest.raises(UserError, match=r"^h0, h1, h2 and 6 more: metis_carier is not a setting"):
        run.load(str(tmp_path / "many.py"))
    with pytest.raises(UserError, match=r"^h1: metis_cards .*-1\)\nh2: metis_cards .*-2\)$"):
        run.load(str(tmp_path / "few.py"))
