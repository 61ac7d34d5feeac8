"""A signing key that is not the one expected, and requirements that pin nothing, are refused before any host."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from metis_provision.lab.standin.vendor import SigningKey, signing_key
from metis_provision.model.errors import UserError
from metis_provision.model.settings import Settings
from metis_provision.supply import runtime
from metis_provision.supply.checksums import payload_mistakes
from metis_provision.supply.runtime import runtime_mistakes

A = "a" * 64
PINNED = f"axelera-rt==1.8.0 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{'b' * 64}\n"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return signing_key(tmp_path_factory.mktemp("key"))


def apt(key: Path, fingerprint: str) -> Settings:
    return Settings.model_validate(
        {
            "driver": "none",
            "runtime": "apt",
            "runtime_version": "1.8.0",
            "runtime_url": "https://apt.example/repo",
            "runtime_key": str(key),
            "runtime_key_fingerprint": fingerprint,
        }
    )


def pip(source: Path, sha256: str | None = None) -> Settings:
    return Settings.model_validate(
        {
            "driver": "none",
            "runtime": "pip",
            "runtime_version": "1.8.0",
            "runtime_url": "https://pip.example/simple",
            "runtime_source": str(source),
            "runtime_sha256": sha256 or hashlib.sha256(source.read_bytes()).hexdigest(),
        }
    )


def test_the_right_key_is_handed_on(key: SigningKey) -> None:
    settings = apt(key.path, key.fingerprint)
    assert runtime_mistakes(settings) == []
    assert runtime.signing_key(settings) == key.path.read_bytes()


def test_a_key_of_another_fingerprint_is_refused_with_both(key: SigningKey) -> None:
    (mistake,) = runtime_mistakes(apt(key.path, "F" * 40))
    assert mistake.startswith("metis_runtime_key: ")
    assert "F" * 40 in mistake
    assert key.fingerprint in mistake


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    settings = apt(tmp_path / "none.asc", "F" * 40)
    (mistake,) = runtime_mistakes(settings)
    assert "none.asc cannot be read (No such file or directory)" in mistake
    with pytest.raises(UserError):
        runtime.signing_key(settings)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (PINNED, []),
        (f"# by pip-compile\n{PINNED}numpy==2.0.0 --hash=sha256:{A}  # via axelera-rt\n", []),
        (f'Axelera_RT==1.8.0 ; python_version >= "3.10" --hash=sha256:{A}\n', []),
        ("axelera-rt==1.8.0\n", ["has no sha256 for axelera-rt"]),
        (f"{PINNED}numpy==2.0.0\n", ["has no sha256 for numpy"]),
        (f"{PINNED}numpy==2.0.0 --hash=md5:{'0' * 32}\n", ["has no sha256 for numpy"]),
        (f"{PINNED}numpy==2.0.0 --hash=sha256:SKIP\n", ["has no sha256 for numpy"]),
        (f"--extra-index-url https://elsewhere\n{PINNED}", ["no requirement with hashes: '--extra-index-url"]),
        (f"{PINNED}-e .\n", ["no requirement with hashes: '-e .'"]),
        (f"axelera-rt==1.7.0 --hash=sha256:{A}\n", ["does not hold axelera-rt==1.8.0"]),
        (f"axelera-rt>=1.8.0 --hash=sha256:{A}\n", ["does not hold axelera-rt==1.8.0"]),
        ("", ["does not hold axelera-rt==1.8.0"]),
    ],
)
def test_requirements(tmp_path: Path, text: str, sentences: list[str]) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(text)
    mistakes = runtime_mistakes(pip(path))
    assert len(mistakes) == len(sentences)
    for mistake, sentence in zip(mistakes, sentences, strict=True):
        assert mistake.startswith("metis_runtime_source: requirements.txt ")
        assert sentence in mistake


def test_requirements_that_are_no_text_are_refused_by_their_pin(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_bytes(b"\xff\xfe")
    settings = pip(path, A)
    assert runtime_mistakes(settings) == []
    assert len(payload_mistakes(settings)) == 1


def test_a_wheel_and_a_model_are_named_by_their_own_keys(tmp_path: Path) -> None:
    wheel = tmp_path / "axelera_rt-1.8.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    settings = Settings.model_validate(
        {
            "driver": "none",
            "runtime": "pip",
            "runtime_version": "1.8.0",
            "runtime_wheels": {str(wheel): A},
            "model_source": str(tmp_path / "model.json"),
            "model_sha256": A,
            "model_release": "1.8.0",
        }
    )
    absent, different = payload_mistakes(settings)
    assert absent.startswith("metis_model_source: ")
    assert different.startswith("metis_runtime_wheels does not match ")
