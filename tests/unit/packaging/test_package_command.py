"""``metis-provision package``: what it leaves, what it prints, and what it refuses in one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from metis_provision.catalog.releases import PayloadKind
from metis_provision.cli import cli
from metis_provision.model.artifact import Payload
from metis_provision.model.errors import ExitCode, UserError
from metis_provision.packaging import build
from metis_provision.packaging.recipe import Format
from metis_provision.supply.pins import Pin, PinnedBy, add_pins

Pinned = Callable[..., Payload]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["package", *map(str, arguments)])


def options(payload: Payload, **other: object) -> list[object]:
    given = {"source": payload.source, "sha256": payload.sha256, "version": payload.version, **other}
    return [word for name, value in given.items() if value is not None for word in (f"--{name}", value)]


def refusal(*arguments: object) -> UserError:
    done = run(*arguments)
    assert isinstance(done.exception, UserError), done.output
    assert done.stdout == ""
    return done.exception


def run_with_inventory(inventory: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """The command in its own process, as pyinfra loads inventories, and without tools that build packages."""
    command = [sys.executable, "-m", "metis_provision.cli", "package", "--format", "arch"]
    return subprocess.run(
        [*command, "--out", str(out), "--inventory", str(inventory)],
        capture_output=True,
        text=True,
        check=False,
        cwd=inventory.parent,
        env={"XDG_CACHE_HOME": str(inventory.parent / "cache"), "PATH": ""},
    )


@pytest.fixture
def no_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.shutil, "which", lambda name: None)


def stub(directory: Path, name: str, script: str) -> None:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}")
    path.chmod(0o755)


@pytest.mark.parametrize("kind", Format)
def test_without_the_tools_the_recipe_is_left_and_says_what_is_missing(
    kind: Format, no_tools: None, pinned: Pinned, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run("--format", kind, "--out", out, *options(pinned()))
    assert done.exit_code == 0
    assert done.stdout == f"{out / kind}\n"
    (sentence,) = done.stderr.splitlines()
    assert "is missing here" in sentence or "builds from the ebuild itself" in sentence
    assert [path.name for path in out.iterdir()] == [kind]
    tarballs = list((out / kind).rglob("*.tar.gz"))
    assert [path.read_bytes() for path in tarballs] == [Path(pinned().source).read_bytes()]


def test_the_debian_recipe_is_a_source_tree_without_the_maker_s_own_packaging(
    no_tools: None, pinned: Pinned, tmp_path: Path
) -> None:
    assert run("--format", "deb", "--out", tmp_path / "out", *options(pinned())).exit_code == 0
    tree = tmp_path / "out/deb/metis-dkms-1.6.2"
    assert (tree / "driver/Makefile").is_file()
    assert (tree / "debian/rules").stat().st_mode & 0o111


def test_json_says_what_was_made(no_tools: None, pinned: Pinned, tmp_path: Path) -> None:
    done = run("--format", "arch", "--out", tmp_path / "out", "--json", *options(pinned()))
    told = json.loads(done.stdout)
    assert (told["format"], told["package"], told["version"], told["packages"]) == ("arch", "metis-dkms", "1.6.2", [])
    assert "makepkg (package makepkg or pacman)" in told["missing"]
    assert told["source"]["sha256"] == pinned().sha256


def test_an_unknown_format_names_those_there_are(pinned: Pinned, tmp_path: Path) -> None:
    error = refusal("--format", "flatpak", "--out", tmp_path / "out", *options(pinned()))
    assert str(error) == (
        "--format: 'flatpak' is no package this version makes; there are deb, rpm, arch, alpine, gentoo"
    )
    assert error.exit_code is ExitCode.BAD_INPUT


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"source": None}, "--source is missing: give source, sha256 and version, or --inventory"),
        ({"sha256": None, "version": None}, "--sha256, --version is missing"),
        ({"sha256": "SKIP"}, "metis_driver_sha256 is SKIP"),
        ({"sha256": "0" * 64}, "is not the pinned file"),
        ({"source": "gone.tar.gz"}, "gone.tar.gz cannot be read"),
        ({"version": "one two"}, "metis_driver_version is not a version"),
    ],
)
def test_bad_input_leaves_nothing(other: dict[str, object], sentence: str, pinned: Pinned, tmp_path: Path) -> None:
    error = refusal("--format", "deb", "--out", tmp_path / "out", *options(pinned(), **other))
    assert sentence in str(error)
    assert error.exit_code is ExitCode.BAD_INPUT
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_directory(no_tools: None, pinned: Pinned, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    error = refusal("--format", "rpm", "--out", tmp_path / "out", *options(pinned()))
    assert "out is not a directory" in str(error)
    assert (tmp_path / "out").read_text() == "mine"


def test_an_earlier_recipe_is_not_overwritten(no_tools: None, pinned: Pinned, tmp_path: Path) -> None:
    (tmp_path / "out/rpm").mkdir(parents=True)
    assert "is there already" in str(refusal("--format", "rpm", "--out", tmp_path / "out", *options(pinned())))
    assert list((tmp_path / "out/rpm").iterdir()) == []


def test_a_tool_that_fails_is_quoted_and_its_log_kept(
    pinned: Pinned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(tmp_path / "bin", "rpmbuild", "echo one; echo 'error: the spec is wrong' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    error = refusal("--format", "rpm", "--out", tmp_path / "out", *options(pinned()))
    log = tmp_path / "out/rpm-build.log"
    assert str(error) == f"rpmbuild made no package: error: the spec is wrong (log: {log})"
    assert error.exit_code is ExitCode.FAILED
    assert "one" in log.read_text()
    assert list((tmp_path / "out").iterdir()) == [log]


def test_a_tool_that_makes_nothing_has_failed(pinned: Pinned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(tmp_path / "bin", "rpmbuild", "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    error = refusal("--format", "rpm", "--out", tmp_path / "out", *options(pinned()))
    assert "rpmbuild made no package: it said nothing" in str(error)


def test_abuild_would_be_asked_where_it_is(pinned: Pinned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stub: there is no abuild to run here."""
    script = 'mkdir -p "$3/alpine/noarch" && cp APKBUILD "$3/alpine/noarch/metis-src-1.6.2-r1.apk"'
    stub(tmp_path / "bin", "abuild", script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(build.os, "geteuid", lambda: 1000)
    done = run("--format", "alpine", "--out", tmp_path / "out", *options(pinned()))
    assert done.exit_code == 0, done.exception
    assert done.stdout.endswith(f"  {tmp_path}/out/metis-src-1.6.2-r1.apk\n")


def test_the_source_can_come_from_an_inventory(pinned: Pinned, tmp_path: Path) -> None:
    payload = pinned()
    data = {f"metis_driver_{name}": getattr(payload, name) for name in ("source", "sha256", "version")}
    (tmp_path / "inventory.py").write_text(
        f"hosts = [('a', {data!r}), ('b', {data!r}), ('c', {{'metis_driver': 'none'}})]\n"
    )
    done = run_with_inventory(tmp_path / "inventory.py", tmp_path / "out")
    assert done.returncode == 0, done.stderr


def test_a_pinned_source_is_fetched(pinned: Pinned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = pinned()
    source = Path(payload.source)
    pin = Pin(
        version=payload.version,
        file=source.name,
        size=source.stat().st_size,
        sha256=payload.sha256,
        place=str(source),
        pinned_by=PinnedBy.FIRST_USE,
    )
    add_pins(tmp_path / "pins" / "1.8.0.yml", "1.8.0", {PayloadKind.DRIVER_SOURCE: pin})
    inventory = tmp_path / "inventory.py"
    inventory.write_text("hosts = [('a', {'metis_release': '1.8.0'}), ('b', {'metis_driver': 'none'})]\n")
    done = run_with_inventory(inventory, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert pin.path.read_bytes() == source.read_bytes()


def test_hosts_that_do_not_agree_are_named(pinned: Pinned, tmp_path: Path) -> None:
    hosts = []
    for name, version in (("a", "1.6.2"), ("b", "1.5.6")):
        payload = pinned(version)
        given = {f"metis_driver_{part}": getattr(payload, part) for part in ("source", "sha256", "version")}
        hosts.append((name, given))
    (tmp_path / "inventory.py").write_text(f"hosts = {hosts!r}\n")
    done = run_with_inventory(tmp_path / "inventory.py", tmp_path / "out")
    assert done.returncode == ExitCode.BAD_INPUT
    assert "its hosts do not agree on one driver: a has " in done.stderr


def test_an_inventory_without_a_driver(tmp_path: Path) -> None:
    (tmp_path / "inventory.py").write_text("hosts = [('a', {'metis_driver': 'none'})]\n")
    done = run_with_inventory(tmp_path / "inventory.py", tmp_path / "out")
    assert done.returncode == ExitCode.BAD_INPUT
    assert "none of its hosts has a driver source" in done.stderr


@pytest.mark.skipif(shutil.which("rpmbuild") is None, reason="rpmbuild is not installed")
def test_the_same_source_makes_the_same_rpm(pinned: Pinned, tmp_path: Path) -> None:
    lines = [run("--format", "rpm", "--out", tmp_path / name, *options(pinned())).stdout for name in ("one", "two")]
    assert lines[0].split()[0] == lines[1].split()[0]
