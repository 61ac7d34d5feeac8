"""Versions that do not belong together are refused, and the pair that would is named."""

from __future__ import annotations

import pytest

from metis_provision.model.errors import UserError
from metis_provision.supply.settings import resolved_settings

PAYLOAD = {"metis_driver_source": "d.tar.gz", "metis_driver_sha256": "a" * 64}


def resolved(**data: object) -> tuple[str | None, str | None]:
    found = resolved_settings({**PAYLOAD, **{f"metis_{key}": value for key, value in data.items()}}, "pi-7")
    return found.driver_version, found.runtime_version


@pytest.mark.parametrize(
    ("data", "versions"),
    [
        ({"release": "1.8.0"}, ("1.6.2", "1.8.0")),
        ({"release": "1.6"}, ("1.4.17", None)),
        ({"release": "1.6.1"}, ("1.4.17", "1.6.1")),
        ({"release": "1.8.0", "driver_version": "1.6.2"}, ("1.6.2", "1.8.0")),
        ({"release": "1.8.0", "runtime_version": "1.8.0-1"}, ("1.6.2", "1.8.0-1")),
        ({"release": "1.6", "driver_version": "1.4.16", "runtime_version": "1.6.0"}, ("1.4.16", "1.6.0")),
        ({"release": "1.8.0", "driver": "none"}, ("1.6.2", "1.8.0")),
        ({"driver_version": "1.6.2", "runtime_version": "1.8.0"}, ("1.6.2", "1.8.0")),
        ({"driver_version": "1.4.16", "runtime_version": "1.6.1"}, ("1.4.16", "1.6.1")),
        ({"driver_version": "1.6.2"}, ("1.6.2", None)),
        # what came out after the catalogue: of the right series, or nothing of it known
        ({"driver_version": "1.6.2", "runtime_version": "1.8.1"}, ("1.6.2", "1.8.1")),
        ({"driver_version": "1.6.3", "runtime_version": "1.8.0"}, ("1.6.3", "1.8.0")),
        ({"driver_version": "3.0", "runtime_version": "2.9"}, ("3.0", "2.9")),
    ],
)
def test_versions_that_belong_together_pass(data: dict[str, object], versions: tuple[str, str]) -> None:
    assert resolved(**data) == versions


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            {"release": "1.8.0", "driver_version": "1.4.4"},
            "metis_driver_version 1.4.4 does not belong to metis_release 1.8.0, whose driver is 1.6.2: drop it, "
            "or set metis_release = '1.5.3', to which it belongs",
        ),
        (
            {"release": "1.6", "driver_version": "1.9.9"},
            "metis_driver_version 1.9.9 does not belong to metis_release 1.6, whose driver is 1.4.17 or 1.4.16: drop",
        ),
        (
            {"release": "1.8.0", "runtime_version": "1.6.1"},
            "metis_runtime_version 1.6.1 does not belong to metis_release 1.8.0, whose runtime is 1.8.0: drop it, "
            "or set metis_release = '1.6', to which it belongs",
        ),
        (
            {"driver_version": "1.6.2", "runtime_version": "1.5.3"},
            "metis_driver_version 1.6.2 and metis_runtime_version 1.5.3 do not belong together: driver 1.6.2 goes with "
            "runtime 1.8.0; runtime 1.5.3 goes with driver 1.4.4; drop both and set metis_release = '1.8.0' or '1.5.3'",
        ),
        (
            {"driver_version": "1.6.2", "runtime_version": "1.7.0"},
            "driver 1.6.2 goes with runtime 1.8.0; drop both and set metis_release = '1.8.0'",
        ),
        (
            {"driver_version": "1.7.0", "runtime_version": "1.8.0"},
            "runtime 1.8.0 goes with driver 1.6.2; drop both and set metis_release = '1.8.0'",
        ),
        (
            {"release": "1.8.0", "runtime_version": "1.8.0-rc1"},
            "metis_runtime_version 1.8.0-rc1 does not belong to metis_release 1.8.0, whose runtime is 1.8.0: drop it",
        ),
        ({"release": "1.8.1"}, "metis_release: '1.8.1' is not a release of the catalogue; did you mean '1.8.0'?"),
        ({"release": "latest"}, "metis_release: 'latest' is not a release of the catalogue; there are 1.8.0,"),
        ({"release": 1.6}, "metis_release input should be a valid string (it is 1.6)"),
        ({"release": "1.8.0", "driver_version": 2}, "metis_driver_version input should be a valid string (it is 2)"),
    ],
)
def test_versions_that_do_not_are_refused_in_one_sentence(data: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError) as raised:
        resolved(**data)
    (line,) = str(raised.value).splitlines()
    assert line.startswith("pi-7: ")
    assert sentence in line


def test_both_versions_outside_a_release_are_two_sentences() -> None:
    with pytest.raises(UserError) as raised:
        resolved(release="1.8.0", driver_version="1.2.4", runtime_version="1.4.2")
    assert len(str(raised.value).splitlines()) == 2
