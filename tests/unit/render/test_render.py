"""The command that renders a tree without a host: what it writes, and what it refuses in one line."""

from __future__ import annotations

import importlib.util
import json
import stat
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from metis_provision.cli import cli
from metis_provision.desired.platforms import platform_of, platforms
from metis_provision.model.errors import UserError
from metis_provision.render import bare_host, tree

SHEBANGS = (b"#!/bin/sh", b"#!/bin/bash")
GOLDEN_TOOL = Path(__file__).resolve().parents[3] / "tools" / "golden.py"


def render(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["render", *map(str, arguments)])


def refusal(*arguments: object) -> str:
    done = render(*arguments)
    assert isinstance(done.exception, UserError)
    assert done.output == ""
    return str(done.exception)


@pytest.fixture
def golden():
    spec = importlib.util.spec_from_file_location("golden", GOLDEN_TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("golden", None)


def test_every_platform_gets_what_was_reviewed(golden):
    assert golden.differing() == []


def test_every_rendered_script_passes_shellcheck(golden, shellcheck):
    scripts = [path for path in golden.GOLDEN.rglob("*") if path.is_file() and path.read_bytes().startswith(SHEBANGS)]
    assert scripts
    # Lists that settings fill may have one entry.
    assert shellcheck("--severity=warning", "--exclude=SC2043", *scripts) == ""


def test_there_is_a_reviewed_tree_of_every_platform_and_init_system(golden):
    cases = {(distro, init) for distro, init, _ in golden.CASES}
    assert {distro for distro, _ in cases} == {platform.name for platform in platforms()}
    assert {init for _, init in cases} == {"systemd", "openrc"}


def test_files_and_manifest_are_written(tmp_path):
    out = tmp_path / "new" / "tree"
    done = render("--distro", "debian", "--init", "systemd", "--out", out)
    assert done.exit_code == 0
    assert (out / "manifest.txt").read_text() == done.output
    rows = [line.split() for line in done.output.splitlines() if not line.startswith("#")]
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} - {"manifest.txt"}
    assert written == {row[4].lstrip("/") for row in rows}
    for mode, owner, group, _, path in rows:
        assert (owner, group) == ("root", "root")
        assert stat.S_IMODE((out / path.lstrip("/")).stat().st_mode) == int(mode, 8)


def test_an_empty_directory_may_be_written_to(tmp_path):
    assert render("--distro", "arch", "--init", "systemd", "--out", tmp_path).exit_code == 0


def test_settings_reach_the_files(tmp_path):
    assignments = ("--set", "metis_group=render", "--set", "metis_cards=0")
    render("--distro", "debian", "--init", "openrc", *assignments, "--out", tmp_path)
    assert 'GROUP="render"' in (tmp_path / "etc/udev/rules.d/99-axelera-metis.rules").read_text()


def test_the_manifest_as_json(tmp_path):
    done = render("--distro", "gentoo", "--init", "openrc", "--json", "--out", tmp_path)
    document = json.loads(done.output)
    assert document["packages"] == ["sys-apps/acl"]
    assert {"path", "mode", "owner", "group", "concern"} == set(document["files"][0])


def test_what_is_in_the_way_of_such_a_host_is_said(tmp_path):
    done = render("--distro", "alpine", "--init", "openrc", "--out", tmp_path)
    assert "# in the way: Alpine's mdev reads no udev rules" in done.output
    done = render("--distro", "debian", "--init", "systemd", "--out", tmp_path / "other")
    assert "in the way" not in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--distro", "debain", "--init", "systemd"],
            "'debain' is not a distribution this version knows; did you mean 'debian'?",
        ),
        (["--distro", "haiku", "--init", "systemd"], "there are alpine, arch, debian"),
        (
            ["--distro", "debian", "--init", "sytemd"],
            "'sytemd' is not an init system this version knows; did you mean 'systemd'?",
        ),
        (["--distro", "alpine", "--init", "systemd"], "alpine runs openrc, not systemd"),
        (["--distro", "debian", "--init", "systemd", "--carrier", "exaviz"], "did you mean 'exaviz-cruiser'?"),
        (["--distro", "raspios", "--init", "systemd", "--carrier", "x86-slot"], "raspios has no kernel for x86_64"),
        (["--distro", "debian", "--init", "systemd", "--set", "metis_groop=x"], "did you mean metis_group?"),
        (
            ["--distro", "debian", "--init", "systemd", "--set", "group=x"],
            "'group=x' is not of the form metis_key=value",
        ),
        (["--distro", "debian", "--init", "systemd", "--set", "metis_group"], "is not of the form"),
        (["--distro", "debian", "--init", "systemd", "--set", "metis_group=["], "the value of metis_group is not YAML"),
        (["--distro", "debian", "--init", "systemd", "--set", "metis_driver=dkms"], "metis_driver_version is missing"),
    ],
)
def test_bad_input_is_refused_in_one_line(tmp_path, arguments, words):
    assert words in refusal(*arguments, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_beside_other_files(tmp_path):
    (tmp_path / "mine").write_text("precious")
    asked = ("--distro", "debian", "--init", "systemd", "--out")
    assert "is not empty" in refusal(*asked, tmp_path)
    assert "is not empty" in refusal(*asked, tmp_path / "mine")
    assert {path.name for path in tmp_path.iterdir()} == {"mine"}


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").touch()
    words = refusal("--distro", "debian", "--init", "systemd", "--out", tmp_path / "file" / "below")
    assert "could not be written: Not a directory" in words


@pytest.mark.parametrize("platform", platforms(), ids=lambda platform: platform.name)
def test_the_example_of_a_platform_is_one_of_its_own(platform):
    from metis_provision.catalog.carriers import carrier

    found = platform_of(bare_host(platform, platform.inits[0], carrier("generic")).host)
    assert found is not None
    assert found.name == platform.name


def test_the_same_tree_comes_out_twice():
    assert tree("debian", "systemd", "generic", {}) == tree("debian", "systemd", "generic", {})


def test_apts_source_and_key_are_rendered(tmp_path: Path) -> None:
    key = tmp_path / "axelera.asc"
    key.write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    data = {
        "metis_runtime": "apt",
        "metis_runtime_version": "1.8.0",
        "metis_runtime_url": "https://apt.example/repo",
        "metis_runtime_key": str(key),
        "metis_runtime_key_fingerprint": "F" * 40,
    }
    paths = [entry.path for entry in tree("ubuntu", "systemd", "generic", data).entries]
    assert {"/etc/apt/keyrings/axelera.asc", "/etc/apt/sources.list.d/axelera.sources"} <= set(paths)
