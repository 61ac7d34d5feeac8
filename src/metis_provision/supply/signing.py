"""OpenPGP keys by fingerprint: ``key_mistake(key, fingerprint)`` says why a key file is not the expected key."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from metis_provision.model.errors import UserError

GPG_PACKAGES = "gnupg on Debian, Ubuntu, Arch and Alpine, gnupg2 on Fedora and SUSE"
_DIGITS = (40, 64)
"""Hexadecimal digits of a whole fingerprint: version 4 keys (RFC 4880) and version 6 keys (RFC 9580)."""
_UNUSABLE = {"r": "revoked", "e": "expired", "i": "invalid"}
"""Validity field of GnuPG's ``--with-colons`` (its doc/DETAILS)."""


@dataclass(frozen=True, slots=True)
class _Key:
    fingerprint: str
    validity: str
    subkeys: tuple[str, ...]


def normal_fingerprint(value: str) -> str:
    """A fingerprint as upper-case digits without spaces; ValueError if it is not a whole one.

    Key ids are refused: keys with a wanted short or long id can be made at will.
    """
    digits = re.sub(r"\s", "", value).upper().removeprefix("0X")
    if not re.fullmatch(r"[0-9A-F]+", digits):
        raise ValueError("is not a fingerprint (hexadecimal digits)")
    if len(digits) not in _DIGITS:
        raise ValueError(f"is not a whole fingerprint (40 or 64 hexadecimal digits, it has {len(digits)})")
    return digits


def key_mistake(key: Path, fingerprint: str) -> str | None:
    """Why the file ``key`` (armored or binary) is not exactly the key ``fingerprint``, as one sentence; None if it is.

    A file with a second key is refused: whoever is given it would trust both. Raises UserError where ``gpg`` is
    missing, ValueError for a ``fingerprint`` that is none.
    """
    wanted = normal_fingerprint(fingerprint)
    listing = _listing(key)
    if listing is None:
        return f"{key} cannot be read as an OpenPGP key: give the file that the repository's owner publishes"
    if re.search(r"^(sec|ssb):", listing, re.MULTILINE):
        return f"{key} holds a secret key, which no host must get: export the public one (gpg --export)"
    keys = _keys(listing)
    if not keys:
        return f"{key} holds no public key: give the file that the repository's owner publishes"
    if len(keys) > 1:
        held = ", ".join(found.fingerprint for found in keys)
        return f"{key} holds {len(keys)} keys ({held}), and whoever gets it trusts them all: export {wanted} alone"
    return _difference(key, keys[0], wanted)


def _difference(path: Path, key: _Key, wanted: str) -> str | None:
    if wanted in key.subkeys:
        return f"{path}: {wanted} is a subkey's fingerprint; its key's is {key.fingerprint}: give that one"
    if key.fingerprint != wanted:
        return f"{path} is not the expected key: it is {key.fingerprint}, expected {wanted}"
    if key.validity in _UNUSABLE:
        return f"{path}: the key {wanted} is {_UNUSABLE[key.validity]}: get the one that its owner uses now"
    return None


def _listing(path: Path) -> str | None:
    """GnuPG's listing of a key file, None if it is no such file; nothing of the user's own keyring is touched."""
    gpg = shutil.which("gpg")
    if gpg is None:
        raise UserError(f"gpg is needed to look at the key {path} and is not installed here: install {GPG_PACKAGES}")
    if not path.is_file():
        return None
    with tempfile.TemporaryDirectory(prefix="metis-gpg-") as home:
        command = [gpg, "--homedir", home, "--no-options", "--batch", "--no-tty", "--show-keys", "--with-colons"]
        done = subprocess.run(
            [*command, "--", str(path)], capture_output=True, text=True, errors="replace", check=False
        )
    return done.stdout if done.returncode == 0 else None


def _keys(listing: str) -> list[_Key]:
    found: list[_Key] = []
    is_primary = False
    for line in listing.splitlines():
        fields = line.split(":")
        if fields[0] in {"pub", "sub"}:
            is_primary = fields[0] == "pub"
            if is_primary:
                found.append(_Key("", fields[1], ()))
        elif fields[0] == "fpr" and found:
            last = found[-1]
            if is_primary:
                found[-1] = _Key(fields[9], last.validity, ())
            else:
                found[-1] = _Key(last.fingerprint, last.validity, (*last.subkeys, fields[9]))
    return found
