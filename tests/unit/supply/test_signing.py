"""A key file is the expected key and nothing else, by real gpg and real keys."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from metis_provision.model.errors import UserError
from metis_provision.supply.signing import key_mistake, normal_fingerprint

FINGERPRINT = "0123456789ABCDEF0123456789ABCDEF01234567"


class Keyring:
    """A throw-away keyring; its agent's socket wants a short path."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.right = self.new("right@example.org", "never")
        self.other = self.new("other@example.org", "never")

    def gpg(self, *arguments: str, data: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]
        return subprocess.run([*command, *arguments], input=data, capture_output=True, check=True).stdout

    def new(self, name: str, expires: str, *options: str) -> str:
        self.gpg(*options, "--quick-generate-key", name, "ed25519", "sign", expires)
        return self.lines(name)[0]

    def lines(self, name: str) -> list[str]:
        listing = self.gpg("--with-colons", "--list-keys", name).decode()
        return [line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:")]


@pytest.fixture(scope="module")
def keyring() -> Iterator[Keyring]:
    with tempfile.TemporaryDirectory(prefix="k-") as home:
        yield Keyring(Path(home))
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "key"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("armor", ["--armor", "--no-armor"])
def test_the_expected_key_is_recognised_armored_or_binary(keyring: Keyring, tmp_path: Path, armor: str) -> None:
    path = written(tmp_path, keyring.gpg(armor, "--export", keyring.right))
    spaced = " ".join(keyring.right[i : i + 4] for i in range(0, 40, 4)).lower()
    assert key_mistake(path, keyring.right) is None
    assert key_mistake(path, spaced) is None
    assert key_mistake(path, f"0x{keyring.right}") is None


def test_another_key_is_refused_with_both_fingerprints(keyring: Keyring, tmp_path: Path) -> None:
    mistake = key_mistake(written(tmp_path, keyring.gpg("--export", keyring.other)), keyring.right)
    assert mistake is not None
    assert keyring.other in mistake
    assert keyring.right in mistake


def test_a_second_key_in_the_file_is_refused(keyring: Keyring, tmp_path: Path) -> None:
    both = keyring.gpg("--export", keyring.right, keyring.other)
    assert "holds 2 keys" in str(key_mistake(written(tmp_path, both), keyring.right))


def test_a_second_armored_block_in_the_file_is_not_overlooked(keyring: Keyring, tmp_path: Path) -> None:
    both = keyring.gpg("--armor", "--export", keyring.right) + keyring.gpg("--armor", "--export", keyring.other)
    assert key_mistake(written(tmp_path, both), keyring.right) is not None


def test_a_secret_key_is_refused(keyring: Keyring, tmp_path: Path) -> None:
    secret = keyring.gpg("--export-secret-keys", keyring.right)
    assert "secret key" in str(key_mistake(written(tmp_path, secret), keyring.right))


def test_a_subkeys_fingerprint_is_answered_with_the_keys(keyring: Keyring, tmp_path: Path) -> None:
    keyring.gpg("--quick-add-key", keyring.other, "ed25519", "sign", "never")
    key, subkey = keyring.lines("other@example.org")
    path = written(tmp_path, keyring.gpg("--export", keyring.other))
    mistake = str(key_mistake(path, subkey))
    assert "is a subkey's fingerprint" in mistake
    assert key in mistake
    assert key_mistake(path, key) is None


def test_an_expired_key_is_refused(keyring: Keyring, tmp_path: Path) -> None:
    expired = keyring.new("expired@example.org", "seconds=1", "--faked-system-time", "20200101T000000")
    path = written(tmp_path, keyring.gpg("--export", expired))
    assert "is expired" in str(key_mistake(path, expired))


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x99\x01\x0d" + b"\0" * 40, bytes(range(256)) * 8])
def test_what_is_no_key_is_told(tmp_path: Path, content: bytes) -> None:
    assert key_mistake(written(tmp_path, content), FINGERPRINT) is not None


def test_a_missing_file_or_directory_is_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        assert f"{path} cannot be read" in str(key_mistake(path, FINGERPRINT))


def test_without_gpg_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shutil.which("gpg") is not None
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"gpg is needed .* install gnupg"):
        key_mistake(tmp_path, FINGERPRINT)


@pytest.mark.parametrize("value", ["", "01234567", FINGERPRINT[:16], FINGERPRINT + "0", "g" * 40, "SKIP"])
def test_what_is_no_whole_fingerprint_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="fingerprint"):
        normal_fingerprint(value)
