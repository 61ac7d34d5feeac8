"""What is missing is said in one sentence each, with the package to install, before anything is started."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from metis_provision.controller.directories import cache_dir
from metis_provision.lab import lifecycle, requirements
from metis_provision.lab.lifecycle import Wish, up
from metis_provision.lab.paths import state_dir
from metis_provision.lab.platforms import Kind
from metis_provision.lab.requirements import (
    MACHINE_TOOLS,
    TWIN_TOOLS,
    missing_emulation,
    missing_files,
    missing_platform,
    missing_requirements,
    missing_space,
    missing_tools,
    require,
)
from metis_provision.model.errors import UserError


@pytest.mark.parametrize("tool", sorted(TWIN_TOOLS))
def test_each_missing_tool_names_its_package(tmp_path, monkeypatch, tool):
    for other in TWIN_TOOLS:
        if other != tool:
            (tmp_path / other).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing_tools(TWIN_TOOLS) == [f"{tool} is missing: apt-get install {TWIN_TOOLS[tool]}."]
    if tool in MACHINE_TOOLS:
        assert missing_tools(MACHINE_TOOLS) == missing_tools(TWIN_TOOLS)


@pytest.mark.parametrize(("status", "told"), [(0, 0), (1, 1)])
def test_a_machine_that_runs_no_programs_for_arm64(tmp_path, monkeypatch, status, told):
    for tool in ("arch-test", "qemu-aarch64-static"):
        (tmp_path / tool).write_text(f"#!/bin/sh\nexit {status}\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    sentences = missing_emulation()
    assert len(sentences) == told
    assert all("update-binfmts --enable qemu-aarch64" in sentence for sentence in sentences)


def test_without_the_tools_their_packages_are_all_that_is_told(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert missing_emulation() == []


def test_a_twin_refuses_before_it_touches_anything(monkeypatch):
    monkeypatch.setattr(lifecycle, "missing_requirements", list)
    monkeypatch.setattr(lifecycle, "missing_twin_requirements", lambda: ["mcopy is missing."])
    with pytest.raises(UserError, match="mcopy is missing"):
        up(Wish(kind=Kind.PI5))
    assert not Path(state_dir()).exists()


def test_missing_files(tmp_path):
    there, absent = tmp_path / "there", tmp_path / "absent"
    there.touch()
    assert missing_files({there: "one", absent: "two"}) == [f"{absent} is missing: apt-get install two."]


def test_another_user_than_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert any(sentence.startswith("Not root") for sentence in missing_platform())


def test_another_architecture(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert any("needs Linux on x86_64" in sentence for sentence in missing_platform())


def test_too_little_space(monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    sentences = missing_space()
    assert len(sentences) == 2
    assert str(state_dir()) in sentences[0]
    assert str(cache_dir()) in sentences[1]


def test_what_is_built_already_needs_no_room(monkeypatch):
    for shelf in ("tools", "images"):
        (cache_dir() / shelf).mkdir(parents=True)
    usage = shutil.disk_usage("/")._replace(free=requirements.STATE_SPACE)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert missing_space() == []


def test_no_mirror(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert any("apt does not answer" in sentence for sentence in missing_requirements())


def test_all_of_it_is_told_at_once():
    require([])
    with pytest.raises(UserError, match="one\ntwo"):
        require(["one", "two"])


def test_up_refuses_before_it_touches_anything(monkeypatch):
    monkeypatch.setattr(lifecycle, "missing_requirements", lambda: ["mmdebstrap is missing."])
    with pytest.raises(UserError, match="mmdebstrap is missing"):
        up(Wish())
    assert not Path(state_dir()).exists()
