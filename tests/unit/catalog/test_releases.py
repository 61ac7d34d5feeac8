"""The release catalogue holds what its sources say, and no guess."""

from __future__ import annotations

import pytest
import yaml
from pydantic import ValidationError

from metis_provision.catalog.releases import (
    PayloadKind,
    Release,
    covers,
    releases,
    signing_keys,
    unknown_release,
)


def test_the_vendors_pairs_are_there() -> None:
    pairs = {name: release.drivers for name, release in releases().items()}
    assert pairs == {
        "1.8.0": ("1.6.2",),
        "1.6": ("1.4.17", "1.4.16"),
        "1.5.3": ("1.4.4",),
        "1.4.2": ("1.2.4",),
        "1.3.1": ("1.0.2",),
        "1.2.5": ("0.07.16",),
    }


def test_the_one_published_checksum_of_the_newest_driver_is_known() -> None:
    package = releases()["1.8.0"].payloads[PayloadKind.DRIVER_DEB]
    assert package.sha256 == "c1c6cd2dd3923ddc24bc8f61d86ce82a8ca3f8f2144b6f08f898ab47898364b1"


def test_no_fingerprint_is_claimed_that_nobody_published() -> None:
    assert {name: key.fingerprint for name, key in signing_keys().items()} == {"axelera-apt": None}


@pytest.mark.parametrize(
    ("stated", "version", "belongs"),
    [
        ("1.8.0", "1.8.0", True),
        ("1.8.0", "1.8.0-1", True),
        ("1.8.0", "1.8.0-0ubuntu1", True),
        ("1.8.0", "1.8.0+b1", True),
        ("1.8.0", "1.8.0-rc1", False),
        ("1.8.0", "1.8.0~rc1", False),
        ("1.8.0", "1.8.01", False),
        ("1.8.0", "1.8.0.1", False),
        ("1.8.0", "1.8", False),
        ("1.6", "1.6", True),
        ("1.6", "1.6.1", True),
        ("1.6", "1.6.1-1", True),
        ("1.6", "1.6.0-rc2", False),
        ("1.6", "1.61", False),
        ("1.6", "1.60.0", False),
    ],
)
def test_a_version_belongs_to_what_a_release_states(stated: str, version: str, belongs: bool) -> None:
    assert covers(stated, version) is belongs


def test_an_unknown_release_is_told_the_nearest_or_all() -> None:
    assert unknown_release("1.8.1").endswith("did you mean '1.8.0'?")
    assert "there are 1.8.0, 1.6," in unknown_release("voyager")


RELEASE = """
drivers: ["1.0"]
runtime: "2.0"
firmware: "2.0"
model_format: "2.0"
source: docs
payloads:
  driver-source: {version: "1.0", file: a.tar.gz, url: "https://example.org/a", size: 1, sha256: null, source: docs}
"""


def test_a_whole_release_is_read() -> None:
    assert Release.model_validate(yaml.safe_load(RELEASE)).drivers == ("1.0",)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("sha256: null", "sha256: SKIP", "is SKIP"),
        ("sha256: null", "sha256: abc", "is not a sha256"),
        ("sha256: null, ", "", "Field required"),
        ('version: "1.0"', 'version: "1.1"', "driver-source is 1.1, the release has 1.0"),
        ("https:", "http:", "should match pattern"),
        ("a.tar.gz", "../a.tar.gz", "should match pattern"),
        ("size: 1", "size: 0", "greater than 0"),
        ('["1.0"]', "[]", "at least 1"),
        ("driver-source", "driver-src", "driver-source"),
    ],
)
def test_a_catalogue_that_is_wrong_is_refused(old: str, new: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Release.model_validate(yaml.safe_load(RELEASE.replace(old, new)))
