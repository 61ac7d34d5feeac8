"""A release and its pins fill in what a host needs; what contradicts them is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from metis_provision.catalog.releases import PayloadKind
from metis_provision.model.errors import UserError
from metis_provision.model.settings import Settings
from metis_provision.supply.checksums import payload_mistakes
from metis_provision.supply.pins import Pin, add_pins, pins_path
from metis_provision.supply.settings import pinned_payloads, resolved_settings

DRIVER = Pin(
    version="1.6.2", file="d.tar.gz", size=1, sha256="a" * 64, place="https://x.invalid/d", pinned_by="catalogue"
)
RUNTIME = DRIVER.model_copy(update={"version": "1.8.0", "file": "r.deb", "sha256": "b" * 64})


@pytest.fixture(autouse=True)
def pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = pins_path("pins", "1.8.0")
    add_pins(path, "1.8.0", {PayloadKind.DRIVER_SOURCE: DRIVER, PayloadKind.RUNTIME_DEB: RUNTIME})
    return path


def resolved(**data: object) -> Settings:
    return resolved_settings(keys(data), "pi-7")


def keys(data: dict[str, object]) -> dict[str, object]:
    return {f"metis_{key}": value for key, value in data.items()}


def test_a_release_that_is_pinned_is_all_a_host_needs(cache: Path) -> None:
    settings = resolved(release="1.8.0", runtime="deb")
    assert (settings.driver_version, settings.driver_sha256) == ("1.6.2", "a" * 64)
    assert (settings.runtime_version, settings.runtime_sha256) == ("1.8.0", "b" * 64)
    assert settings.driver_source == str(cache / ("a" * 64) / "d.tar.gz")
    assert pinned_payloads(keys({"release": "1.8.0", "runtime": "deb"})) == (DRIVER, RUNTIME)


def test_only_what_a_host_installs_is_needed() -> None:
    assert pinned_payloads(keys({"release": "1.8.0"})) == (DRIVER,)
    assert pinned_payloads(keys({"release": "1.8.0", "driver": "none"})) == ()
    assert pinned_payloads({}) == ()


def test_a_plan_needs_no_payload() -> None:
    assert payload_mistakes(resolved(release="1.8.0", runtime="deb")) == []


def test_a_file_of_the_operators_is_held_against_the_pin(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    settings = resolved(release="1.8.0", driver_source="mine")
    assert (settings.driver_source, settings.driver_sha256) == ("mine", "a" * 64)
    assert pinned_payloads(keys({"release": "1.8.0", "driver_source": "mine"})) == ()
    (mistake,) = payload_mistakes(settings)
    assert "metis_driver_sha256 does not match mine" in mistake


def test_pins_elsewhere_are_found(tmp_path: Path, pins: Path) -> None:
    pins.rename(tmp_path / "1.8.0.yml")
    assert resolved(release="1.8.0", pins=str(tmp_path)).driver_sha256 == "a" * 64


def test_a_release_the_catalogue_does_not_have_is_what_its_pins_say() -> None:
    add_pins(pins_path("pins", "2.0.0"), "2.0.0", {PayloadKind.DRIVER_SOURCE: DRIVER})
    assert resolved(release="2.0.0").driver_version == "1.6.2"


def test_a_driver_pinned_for_a_series_wins_over_the_newest() -> None:
    older = DRIVER.model_copy(update={"version": "1.4.16"})
    add_pins(pins_path("pins", "1.6"), "1.6", {PayloadKind.DRIVER_SOURCE: older})
    assert resolved(release="1.6").driver_version == "1.4.16"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"release": "1.8.0", "driver_sha256": "c" * 64}, "pins/1.8.0.yml pins " + "a" * 64 + ": drop one of the two"),
        ({"release": "1.8.0", "driver_sha256": "SKIP"}, "metis_driver_sha256 is SKIP"),
        ({"release": "1.8.0", "driver_sha256": "skip"}, "metis_driver_sha256 is SKIP"),
        ({"release": "1.8.0", "pins": 7}, "metis_pins input should be a valid string"),
        ({"release": "1.5.3"}, "metis_driver_source is missing: set version, source and sha256 of the driver, pin it "),
        ({"release": "1.5.3"}, "(metis-provision pin 1.5.3)"),
        ({"release": "1.8.0", "driver": "dkmss"}, "metis_driver input should be 'dkms', 'package', 'vendor' or 'none'"),
        ({"release": "1.8.0", "driver": []}, "metis_driver input should be 'dkms', 'package', 'vendor' or 'none'"),
        ({"release": "../1.8.0"}, "'../1.8.0' is not a release of the catalogue"),
        (
            {"release": "1.8.0", "driver_source": "https://x.invalid/d", "nothing": 1},
            "metis_nothing is not a setting",
        ),
    ],
)
def test_contradictions_are_one_sentence(data: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError) as raised:
        resolved(**data)
    (line,) = str(raised.value).splitlines()
    assert line.startswith("pi-7: ")
    assert sentence in line


def test_another_version_of_a_series_than_the_pinned_is_refused() -> None:
    add_pins(
        pins_path("pins", "1.6"), "1.6", {PayloadKind.DRIVER_SOURCE: DRIVER.model_copy(update={"version": "1.4.16"})}
    )
    with pytest.raises(
        UserError, match=r"metis_driver_version is 1\.4\.17, and pins/1\.6\.yml pins 1\.4\.16: drop one"
    ):
        resolved(release="1.6", driver_version="1.4.17")


def test_a_spoilt_pins_file_is_one_sentence(pins: Path) -> None:
    pins.write_text(pins.read_text().replace("a" * 64, "SKIP"))
    with pytest.raises(UserError, match=r"pi-7: pins/1\.8\.0\.yml: driver-source\.sha256: is SKIP"):
        resolved(release="1.8.0")


def test_an_address_is_not_a_path() -> None:
    (mistake,) = payload_mistakes(resolved(release="1.8.0", driver_source="https://x.invalid/d"))
    assert "is an address; a file's path goes there, and metis-provision pin fetches" in mistake
