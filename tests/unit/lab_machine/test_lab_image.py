"""What the guest is made of."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from metis_provision.lab import bootstrap as bootstrapping
from metis_provision.lab.apt import AptSetup
from metis_provision.lab.bootstrap import bootstrap, mmdebstrap_command
from metis_provision.lab.cache import recipe_key
from metis_provision.lab.image import CUSTOMIZE_SCRIPT, PACKAGES, SETUP_SCRIPT, image_recipe, make_filesystem, packages
from metis_provision.lab.process import RECORD_AND_BECOME
from metis_provision.model.errors import UserError

PLAIN = AptSetup("http://mirror.example/debian", "http://mirror.example/debian-security", ())
TLS = AptSetup("https://mirror.example/debian", None, ())


def test_nothing_of_what_a_deploy_installs_is_asked_for():
    forbidden = {"dkms", "gcc", "make", "build-essential", "pciutils", "openssl", "linux-headers-amd64"}
    assert forbidden.isdisjoint(PACKAGES)


def test_certificates_come_along_for_tls_only():
    certificates = {"company.crt": "PEM"}
    assert "ca-certificates" not in packages(PACKAGES, PLAIN)
    assert "ca-certificates" in packages(PACKAGES, TLS)
    assert image_recipe(PLAIN, certificates)["certificates"] == {}
    assert image_recipe(TLS, certificates)["certificates"] == certificates


def test_another_mirror_is_another_image():
    assert recipe_key(image_recipe(PLAIN, {})) != recipe_key(image_recipe(TLS, {}))
    assert recipe_key(image_recipe(PLAIN, {})) == recipe_key(image_recipe(PLAIN, {"company.crt": "PEM"}))


def test_the_command_of_mmdebstrap():
    command = mmdebstrap_command(
        "trixie",
        Path("/c/root"),
        variant="minbase",
        packages=["a", "b"],
        sources=["deb http://mirror.example/debian trixie main"],
        apt_options=['Acquire::Retries "3";'],
        setup="true",
    )
    assert command[0] == "mmdebstrap"
    assert {"--variant=minbase", "--include=a,b", '--aptopt=Acquire::Retries "3";', "--setup-hook=true"} < set(command)
    assert not any(argument.startswith("--customize-hook") for argument in command)
    assert command[-3:] == ["trixie", "/c/root", "deb http://mirror.example/debian trixie main"]


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("echo 'I: fine'; echo 'E: no such mirror' >&2; echo 'E: apt-get failed' >&2; exit 1", "no such mirror"),
        ("echo 'something odd'; exit 3", "something odd"),
        ("exit 3", "no output"),
    ],
)
def test_a_failure_is_told_with_its_cause_and_its_log(monkeypatch, script, complaint):
    monkeypatch.setattr(bootstrapping, "ISOLATED", ())
    with pytest.raises(UserError, match=rf"Building a thing failed: .*{complaint}.*a-thing\.log"):
        bootstrap(["sh", "-c", script], "a thing")


@pytest.mark.skipif(shutil.which("mke2fs") is None, reason="mke2fs (Debian: e2fsprogs) is not installed")
def test_a_file_system_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(UserError, match="mke2fs cannot write"):
        make_filesystem(tmp_path, tmp_path / "missing" / "disk.raw")


@pytest.mark.parametrize("script", [SETUP_SCRIPT, CUSTOMIZE_SCRIPT, RECORD_AND_BECOME])
def test_shellcheck_is_content(script, shellcheck):
    assert shellcheck("--shell=sh", text=script) == ""
