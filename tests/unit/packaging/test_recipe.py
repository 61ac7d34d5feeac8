"""The recipes: what they pin, what they carry, and whether shells can read them."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from metis_provision.catalog.contract import contract
from metis_provision.desired import access, driver
from metis_provision.desired.platforms import platforms
from metis_provision.model.artifact import Payload
from metis_provision.model.errors import UserError
from metis_provision.packaging.recipe import Format, Recipe, recipe
from metis_provision.packaging.source import read_source

Pinned = Callable[..., Payload]
PINNED_IN = {
    Format.DEB: "README.source",
    Format.RPM: ".spec",
    Format.ARCH: "PKGBUILD",
    Format.ALPINE: "APKBUILD",
    Format.GENTOO: "Manifest",
}
RULES_DIR = {Format.ALPINE: "/lib/udev/rules.d"}


def made(kind: Format, pinned: Pinned, version: str = "1.6.2") -> Recipe:
    return recipe(kind, read_source(pinned(version)))


def text(wanted: Recipe, suffix: str) -> str:
    (found,) = [file for file in wanted.files if file.path.endswith(suffix)]
    return found.content.decode()


@pytest.mark.parametrize("kind", Format)
def test_every_recipe_pins_its_source_and_skips_nothing(kind: Format, pinned: Pinned) -> None:
    source = read_source(pinned())
    wanted = recipe(kind, source)
    digest = source.sha512 if kind in {Format.ALPINE, Format.GENTOO} else source.sha256
    assert digest in text(wanted, PINNED_IN[kind])
    for file in wanted.files:
        assert b"SKIP" not in file.content, file.path
        assert b"{{" not in file.content, file.path
        assert file.content.endswith(b"\n"), file.path


@pytest.mark.parametrize("kind", [Format.RPM, Format.ARCH, Format.ALPINE])
def test_every_file_beside_the_source_is_pinned_too(kind: Format, pinned: Pinned) -> None:
    wanted = made(kind, pinned)
    recipe_text = text(wanted, PINNED_IN[kind])
    beside = [file for file in wanted.files if not file.path.endswith((PINNED_IN[kind], ".pre-install"))]
    assert len(beside) >= 4
    hashes = {hashlib.sha256, hashlib.sha512}
    for file in beside:
        assert any(made_of(file.content).hexdigest() in recipe_text for made_of in hashes), file.path


@pytest.mark.parametrize("kind", Format)
def test_what_a_package_carries_is_what_a_host_with_no_settings_gets(kind: Format, pinned: Pinned) -> None:
    """But for the first line, which says whose file it is."""
    wanted = made(kind, pinned)
    rules = text(wanted, "99-axelera-metis.rules")
    own = access.node_rules(access.PACKAGE_DEFAULTS, program="/usr/lib/udev/metis-card-names").decode()
    assert rules.splitlines()[1:] == own.splitlines()[1:]
    assert "takes the place of this one" in rules.splitlines()[0]
    assert text(wanted, "metis-card-names").splitlines()[2:] == access.card_names().decode().splitlines()[2:]
    assert text(wanted, ".modules-load").splitlines()[-1] == str(contract().module)


@pytest.mark.parametrize("kind", [Format.DEB, Format.RPM, Format.ARCH])
def test_one_dkms_conf_for_packages_and_the_deploy(kind: Format, pinned: Pinned) -> None:
    conf = text(made(kind, pinned), ".dkms" if kind is Format.DEB else "dkms.conf")
    assert conf.splitlines()[1:] == driver.dkms_conf("1.6.2").decode().splitlines()[1:]


@pytest.mark.parametrize("kind", Format)
def test_the_rules_lie_where_the_distribution_reads_them(kind: Format, pinned: Pinned) -> None:
    wanted = made(kind, pinned)
    where = {Format.DEB: "debian/rules", Format.GENTOO: "metis-1.6.2.ebuild"}.get(kind, PINNED_IN[kind])
    path = f"{RULES_DIR.get(kind, '/usr/lib/udev/rules.d')}/99-axelera-metis.rules"
    expected = "udev_dorules" if kind is Format.GENTOO else path
    assert expected in text(wanted, where)


def test_no_package_stops_a_service_or_calls_dkms_where_hooks_do(pinned: Pinned) -> None:
    for kind in Format:
        for file in made(kind, pinned).files:
            assert not re.search(rb"systemctl|rc-service|invoke-rc\.d|deb-systemd-invoke", file.content), file.path
    assert [file.path for file in made(Format.ARCH, pinned).files if file.path.endswith(".install")] == []


def test_headers_come_by_each_distribution_s_own_means(pinned: Pinned) -> None:
    control = text(made(Format.DEB, pinned), "debian/control")
    assert "Recommends: linux-headers-rpi-2712 | linux-headers-generic | linux-headers-amd64" in control
    assert "Recommends:     (kernel-devel-matched if kernel-core)" in text(made(Format.RPM, pinned), ".spec")
    assert "'linux-headers: build the driver" in text(made(Format.ARCH, pinned), "PKGBUILD")
    assert 'depends="acl akms"' in text(made(Format.ALPINE, pinned), "APKBUILD")
    assert "inherit linux-mod-r1" in text(made(Format.GENTOO, pinned), "metis-1.6.2.ebuild")


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.6.2", {"debian": "1.6.2", "fedora": "1.6.2", "arch": "1.6.2", "alpine": "1.6.2", "gentoo": "1.6.2"}),
        (
            "1.2.0-rc2",
            {
                "debian": "1.2.0~rc2",
                "fedora": "1.2.0~rc2",
                "arch": "1.2.0rc2",
                "alpine": "1.2.0_rc2",
                "gentoo": "1.2.0_rc2",
            },
        ),
        ("0.07.16", {"debian": "0.07.16", "alpine": "0.07.16"}),
    ],
)
def test_versions_in_each_package_manager_s_form(version: str, expected: dict[str, str]) -> None:
    found = {platform.name: platform.package_version(version) for platform in platforms()}
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("kind", [Format.ALPINE, Format.GENTOO])
def test_a_version_that_a_format_cannot_express_is_refused(kind: Format, pinned: Pinned) -> None:
    with pytest.raises(UserError, match=r"1\.6\.2\+vendor7 is no version that this distribution's packages can have"):
        recipe(kind, replace(read_source(pinned()), version="1.6.2+vendor7"))


def test_a_directory_with_blanks_is_refused(pinned: Pinned) -> None:
    with pytest.raises(UserError, match="which no recipe can name safely"):
        recipe(Format.ARCH, replace(read_source(pinned()), top="axelera driver"))


@pytest.mark.parametrize(
    ("kind", "suffix", "shell", "excluded"),
    [
        (Format.DEB, ".postinst", "sh", ""),
        (Format.DEB, ".prerm", "sh", ""),
        (Format.DEB, ".postrm", "sh", ""),
        (Format.ALPINE, ".pre-install", "sh", ""),
        # Read by abuild, akms and makepkg, whose variables they set and use: SC2034 unused, SC2154 unassigned;
        # MAKEFLAGS is meant to be split: SC2086; they have no first line to say which shell: SC2148.
        (Format.ALPINE, "APKBUILD", "busybox", "SC2034,SC2154,SC2148"),
        (Format.ALPINE, "AKMBUILD", "busybox", "SC2034,SC2154,SC2148,SC2086"),
        (Format.ARCH, "PKGBUILD", "bash", "SC2034,SC2154,SC2148"),
        (Format.GENTOO, "metis-1.6.2.ebuild", "bash", "SC2034,SC2154,SC2148"),
    ],
)
def test_scripts_pass_the_shell_checks(
    kind: Format,
    suffix: str,
    shell: str,
    excluded: str,
    pinned: Pinned,
    tmp_path: Path,
    shellcheck: Callable[..., str],
) -> None:
    script = tmp_path / "script"
    script.write_text(text(made(kind, pinned), suffix))
    parser = {"busybox": ["busybox", "ash"]}.get(shell, [shell])
    assert subprocess.run([*parser, "-n", script], check=False).returncode == 0
    assert shellcheck("-s", shell, *([f"--exclude={excluded}"] if excluded else []), script) == ""


def test_the_spec_s_scriptlets_pass_the_shell_checks(
    pinned: Pinned, tmp_path: Path, shellcheck: Callable[..., str]
) -> None:
    spec = text(made(Format.RPM, pinned), ".spec")
    for name in ("pre", "post", "preun", "posttrans"):
        found = re.search(rf"^%{name}\n(.*?)^%\w", spec, re.MULTILINE | re.DOTALL)
        assert found is not None
        script = tmp_path / name
        script.write_text("#!/bin/sh\n" + re.sub(r"^ *$", "", found[1]).replace("%%", "%"))
        assert shellcheck(script) == "", name
