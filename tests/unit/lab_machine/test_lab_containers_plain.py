"""Containers, as far as no container engine is needed."""

from __future__ import annotations

import dataclasses
import json
import resource
import subprocess

import pytest

from metis_provision.lab import containers
from metis_provision.lab.apt import AptSetup
from metis_provision.lab.cache import recipe_key
from metis_provision.lab.container_images import Init, Release, container_recipe
from metis_provision.lab.containers import (
    CONTAINER_TOOLS,
    OWNER_LABEL,
    Container,
    abandoned_containers,
    limit_arguments,
    missing_container_requirements,
    parse_abandoned,
    remove_containers,
)
from metis_provision.lab.process import current_process
from metis_provision.model.errors import UserError

PLAIN = AptSetup("http://mirror.example/debian", None, ())


def answer(monkeypatch, returncode, stdout="", stderr=""):
    result = subprocess.CompletedProcess([], returncode, stdout, stderr)
    monkeypatch.setattr(containers, "podman", lambda *arguments, **options: result)


def test_each_release_is_an_image_of_its_own():
    keys = {recipe_key(container_recipe(release, PLAIN, {}, init)) for release in Release for init in Init}
    assert len(keys) == len(Release) * len(Init)


def test_sshd_listens_on_the_loopback_and_takes_no_passwords():
    config = containers._sshd_config(Release.DEBIAN_13, 22001)
    assert {"Port 22001", "ListenAddress 127.0.0.1", "PasswordAuthentication no"} < set(config.splitlines())


def test_an_option_that_debian_12_does_not_know_is_not_given_to_it():
    assert "PerSourcePenalties" in containers._sshd_config(Release.DEBIAN_13, 22001)
    assert "PerSourcePenalties" not in containers._sshd_config(Release.DEBIAN_12, 22001)


def test_a_file_that_cannot_be_written_is_told(monkeypatch):
    answer(monkeypatch, 1, stderr="install: no space left\n")
    with pytest.raises(UserError, match="/etc/x cannot be written: install: no space left"):
        Container("abc", Release.DEBIAN_13).write("/etc/x", "")


def test_the_name_pyinfra_knows():
    assert Container("abc", Release.DEBIAN_13).pyinfra_name == "@podman/abc"


def test_the_container_boots_an_init_and_names_its_owner(monkeypatch):
    ran = []
    done = subprocess.CompletedProcess([], 0, "running\n", "")
    monkeypatch.setattr(containers, "podman", lambda *arguments, **options: ran.append(arguments) or done)
    monkeypatch.setattr(containers, "abandoned_containers", list)
    monkeypatch.setattr(containers, "container_image", lambda release, init: "image:tag")
    containers.start_container(Release.DEBIAN_13)
    (arguments,) = (arguments for arguments in ran if arguments[0] == "run")
    assert arguments[-2:] == ("image:tag", "/sbin/init")
    assert {"--systemd=always", "--network=host"} < set(arguments)
    assert f"--label={OWNER_LABEL}={current_process().as_text()}" in arguments


def test_limits_are_never_above_what_this_process_has():
    limits = dict(argument.removeprefix("--ulimit=").split("=") for argument in limit_arguments())
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert limits["nofile"] == f"{hard}:{hard}"
    assert int(limits["nproc"].split(":")[0]) > 0


def test_only_containers_of_dead_owners_are_abandoned():
    own = current_process()
    rows = [
        {"Id": "mine", "Labels": {OWNER_LABEL: own.as_text()}},
        {"Id": "dead", "Labels": {OWNER_LABEL: dataclasses.replace(own, start_ticks=1).as_text()}},
        {"Id": "odd", "Labels": {OWNER_LABEL: "nobody"}},
    ]
    assert parse_abandoned(json.dumps(rows)) == ["dead", "odd"]
    assert parse_abandoned("") == []


def test_a_podman_that_fails_is_told(monkeypatch):
    answer(monkeypatch, 125, stderr="first\nError: broken storage\n")
    with pytest.raises(UserError, match="broken storage"):
        abandoned_containers()
    with pytest.raises(UserError, match="cannot remove abc: Error: broken storage"):
        remove_containers(["abc"])


def test_a_systemd_that_does_not_come_up_is_told(monkeypatch):
    answer(monkeypatch, 1, stdout="degraded\n")
    with pytest.raises(UserError, match="systemd in the trixie container is degraded"):
        containers._wait_for_systemd(Container("abc", Release.DEBIAN_13))


def test_a_systemd_that_never_answers_is_told(monkeypatch):
    monkeypatch.setattr(containers, "START_SECONDS", 0.0)
    answer(monkeypatch, 1)
    with pytest.raises(UserError, match="is not up"):
        containers._wait_for_systemd(Container("abc", Release.DEBIAN_13))


@pytest.mark.parametrize("tool", ["podman", "runc", "mmdebstrap"])
def test_what_is_missing_is_told_with_its_package(tmp_path, monkeypatch, tool):
    for other in CONTAINER_TOOLS:
        if other != tool:
            (tmp_path / other).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert f"{tool} is missing: apt-get install {CONTAINER_TOOLS[tool]}." in missing_container_requirements()
