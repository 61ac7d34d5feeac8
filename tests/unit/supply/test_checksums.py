"""A payload is handed on only if it is the pinned one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from metis_provision.model.settings import Settings
from metis_provision.supply.checksums import payload_mistakes


def settings(source: Path, sha256: str) -> Settings:
    return Settings(driver_version="1.0", driver_source=str(source), driver_sha256=sha256)


def test_the_pinned_file_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"driver")
    assert payload_mistakes(settings(tmp_path / "x", hashlib.sha256(b"driver").hexdigest())) == []


def test_another_file_is_refused_with_both_digests(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"other")
    (mistake,) = payload_mistakes(settings(tmp_path / "x", "0" * 64))
    assert "metis_driver_sha256 does not match" in mistake
    assert "0" * 64 in mistake
    assert hashlib.sha256(b"other").hexdigest() in mistake


def test_a_file_that_changes_is_hashed_again(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"driver")
    pinned = settings(path, hashlib.sha256(b"driver").hexdigest())
    assert payload_mistakes(pinned) == []
    path.write_bytes(b"tampered")
    assert len(payload_mistakes(pinned)) == 1


def test_a_missing_file_or_a_directory_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        (mistake,) = payload_mistakes(settings(path, "0" * 64))
        assert f"metis_driver_source: {path} cannot be read" in mistake


def test_nothing_is_asked_of_a_host_without_a_driver() -> None:
    assert payload_mistakes(Settings(driver="none")) == []  # type: ignore[arg-type]
