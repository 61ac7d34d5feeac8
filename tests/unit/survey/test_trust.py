"""What Secure Boot's tools print, read as text; and what follows for a module's signature."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_provision.model.survey import Certificate, Kernel, ModuleTrust, SignatureState, Survey
from metis_provision.survey.trust import (
    kernel_key_id,
    parse_certificates,
    parse_openssl,
    secure_boot_state,
    serial_number,
)

# In the form of mokutil, which prints certificates as openssl does; cut to the lines that the survey keeps.
ENROLLED = """\
[key 1]
SHA1 Fingerprint: 53:61:0c:f8:1f:bd:7e:0c:eb:67:91:3c:9e:f3:e7:94:a9:63:3e:cb
Certificate:
--
        Serial Number:
            ed:54:a1:d5:af:87:48:94:8d:9f:89:32:ee:9c:7c:34
--
        Subject: CN=Debian Secure Boot CA
        Subject Public Key Info:
--
            X509v3 Subject Key Identifier:\x20
                6C:CE:CE:7E:4C:6C:0D:1F:61:49:F3:DD:27:DF:CC:5C:BB:41:9E:A1
--
[key 2]
SHA1 Fingerprint: 0a:1b:2c:3d:4e:5f:60:71:82:93:a4:b5:c6:d7:e8:f9:0a:1b:2c:3d
--
        Serial Number: 12345678901234567890 (0xab54a98ceb1f0ad2)
--
        Subject: CN = DKMS module signing key
""".splitlines()


def test_certificates_as_mokutil_lists_them() -> None:
    first, second = parse_certificates(ENROLLED)
    assert first == Certificate(
        "53610cf81fbd7e0ceb67913c9ef3e794a9633ecb",
        "ed54a1d5af8748948d9f8932ee9c7c34",
        "6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1",
        "Debian Secure Boot CA",
    )
    assert (second.serial, second.key_id, second.name) == ("ab54a98ceb1f0ad2", None, "DKMS module signing key")


@pytest.mark.parametrize("line", ["MokListRT is empty", "EFI variables are not supported on this system", ""])
def test_a_list_without_keys_is_empty(line: str) -> None:
    assert parse_certificates([line]) == ()


def test_our_own_certificate_by_openssl() -> None:
    lines = [
        "serial=0AFE12",
        "subject=CN = DKMS module signing key",
        "X509v3 Subject Key Identifier: ",
        "    0D:1C:0B:4F",
    ]
    assert parse_openssl(lines, "0A" * 20) == Certificate("0a" * 20, "afe12", "0d1c0b4f", "DKMS module signing key")
    assert parse_openssl([], "not a sum") == Certificate()


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        (["SecureBoot enabled"], True),
        (["SecureBoot disabled"], False),
        (["SecureBoot enabled", "SecureBoot validation is disabled in shim"], True),
        (["SecureBoot disabled", "Platform is in Setup Mode"], False),
        (["EFI variables are not supported on this system"], None),
        (["This system doesn't support Secure Boot"], None),
        (["[    0.000000] secureboot: Secure boot enabled"], True),
        (["[    0.000000] Kernel is locked down from EFI Secure Boot mode; see man kernel_lockdown.7"], True),
        ([], None),
    ],
)
def test_the_text_tells_the_state(lines: list[str], state: bool | None) -> None:
    assert secure_boot_state(lines) is state


def test_a_key_of_the_kernel_ends_in_its_identifier() -> None:
    assert kernel_key_id("DKMS module signing key: 0d1c0b4f9a: X509.rsa 0d1c0b4f []") == "0d1c0b4f9a"
    assert kernel_key_id("wens: 61c038651aabdcf94bd0ac7ff06c7248db18c600: X509.rsa db18c600 []") is not None
    assert kernel_key_id("something else") is None


@pytest.mark.parametrize(("text", "serial"), [("0A:FE", "afe"), ("00", "0"), ("", None), ("x", None), ("a" * 90, None)])
def test_serial_numbers(text: str, serial: str | None) -> None:
    assert serial_number(text) == serial


OURS = Certificate("0a" * 20, "afe12", "0d1c0b4f", "DKMS module signing key")
OTHER = Certificate("1b" * 20, "77", "99", "DKMS module signing key")


def kernel(signed: bool | None = True, key: str | None = "afe12") -> Kernel:
    return Kernel("6.12", running=True, headers=True, module_path="/m.ko", signed=signed, signing_key=key)


@pytest.mark.parametrize(
    ("trust", "module", "state"),
    [
        (ModuleTrust(enrolled=()), kernel(signed=None), SignatureState.UNKNOWN),
        (ModuleTrust(enrolled=()), kernel(signed=False), SignatureState.UNSIGNED),
        (ModuleTrust(), kernel(), SignatureState.UNKNOWN),
        (ModuleTrust(enrolled=()), kernel(), SignatureState.NOT_ENROLLED),
        (ModuleTrust(enrolled=(OTHER,), staged=()), kernel(), SignatureState.NOT_ENROLLED),
        (ModuleTrust(enrolled=(OTHER,), staged=(OURS,)), kernel(), SignatureState.STAGED),
        (ModuleTrust(enrolled=(OTHER, OURS)), kernel(), SignatureState.ENROLLED),
        # Only the fingerprint of our own file and of the enrolled key can be compared.
        (
            ModuleTrust(enrolled=(Certificate(fingerprint="0a" * 20),), own=OURS),
            kernel(),
            SignatureState.ENROLLED,
        ),
        (ModuleTrust(enrolled=(Certificate(fingerprint="0a" * 20),)), kernel(), SignatureState.UNKNOWN),
        (ModuleTrust(own=OURS, kernel_keys=("0d1c0b4f",)), kernel(), SignatureState.ENROLLED),
        (ModuleTrust(own=OURS, kernel_keys=("99",)), kernel(), SignatureState.NOT_ENROLLED),
        (ModuleTrust(own=OURS, kernel_keys=("99",), staged=(OURS,)), kernel(), SignatureState.STAGED),
        (ModuleTrust(own=OTHER, kernel_keys=("99",)), kernel(), SignatureState.UNKNOWN),
        # An older key of the same name is enrolled: a name proves nothing.
        (ModuleTrust(enrolled=(OTHER,), own=OURS, kernel_keys=("99",)), kernel(), SignatureState.NOT_ENROLLED),
        (ModuleTrust(enrolled=(OTHER,)), kernel(key=None), SignatureState.UNKNOWN),
    ],
)
def test_what_becomes_of_a_module(trust: ModuleTrust, module: Kernel, state: SignatureState) -> None:
    assert trust.signature(module) is state


@pytest.mark.parametrize(
    ("secure_boot", "trust", "words"),
    [
        (False, None, ""),
        (None, None, None),
        (True, ModuleTrust(sig_enforce=False, lockdown="none"), ""),
        (True, ModuleTrust(sig_enforce=False, lockdown="integrity"), "lockdown (integrity, under Secure Boot)"),
        (False, ModuleTrust(lockdown="confidentiality"), "lockdown (confidentiality)"),
        (False, ModuleTrust(sig_enforce=True), "module.sig_enforce"),
        (True, ModuleTrust(sig_enforce=False), "Secure Boot"),
        (True, ModuleTrust(sig_enforce=False, shim_validates=False), ""),
        (False, ModuleTrust(sig_enforce=False), ""),
    ],
)
def test_what_insists_on_signatures(secure_boot: bool | None, trust: ModuleTrust | None, words: str | None) -> None:
    survey = Survey(trust=trust)
    object.__setattr__(survey.host, "secure_boot", secure_boot)
    found = survey.signatures_enforced
    assert (found is None) if words is None else (found is not None and words in found and bool(found) == bool(words))


@given(st.lists(st.one_of(st.sampled_from(ENROLLED), st.text(max_size=60)), max_size=30))
def test_no_text_makes_a_reader_raise(lines: list[str]) -> None:
    parse_certificates(lines)
    parse_openssl(lines, "".join(lines)[:40])
    secure_boot_state(lines)
    for line in lines:
        kernel_key_id(line)
        serial_number(line)
