"""Containers that stay: their state on disk, and what is made of it when podman no longer knows them."""

from __future__ import annotations

import json
import subprocess

import pytest
from click.testing import CliRunner

from metis_provision.lab import container_hosts
from metis_provision.lab.cli import lab
from metis_provision.lab.container_hosts import ContainerHost, ContainerWish, load_container, up_container
from metis_provision.lab.container_images import Init, Release
from metis_provision.lab.inventory import WITHOUT_A_CARD, lab_hosts, podman_hosts
from metis_provision.lab.lifecycle import Wish, down, up
from metis_provision.lab.paths import state_dir
from metis_provision.lab.places import names
from metis_provision.model.errors import UserError


@pytest.fixture
def podman(monkeypatch):
    """A podman that knows the containers in this list, and notes what is removed."""
    known, removed = ["made"], []

    def answer(*arguments):
        return subprocess.CompletedProcess([], 0, "true\n" if arguments[-1] in known else "", "")

    monkeypatch.setattr(container_hosts, "podman", answer)
    monkeypatch.setattr(container_hosts, "remove_containers", removed.extend)
    monkeypatch.setattr(container_hosts, "missing_container_requirements", list)
    return known, removed


@pytest.fixture
def host(podman):
    """The state of a container that runs."""
    (state_dir() / "box").mkdir(parents=True)
    made = ContainerHost(name="box", container="made", release=Release.DEBIAN_12, init=Init.SYSTEMD, ssh_port=22002)
    return container_hosts._save(made)


def listed():
    return {row["name"]: row for row in json.loads(CliRunner().invoke(lab, ["list", "--json"]).stdout)}


def test_a_running_container_is_listed_and_in_the_inventory(host):
    row = listed()["box"]
    assert (row["kind"], row["condition"], row["release"]) == ("container", "running", "bookworm")
    ((name, data),) = lab_hosts()
    assert (name, data["ssh_port"], data["metis_cards"]) == ("box", 22002, 0)
    assert data["ssh_strict_host_key_checking"] == "yes"
    assert "container" in CliRunner().invoke(lab, ["list"]).stdout


def test_it_is_reached_through_podman_too_and_so_is_any_other(host, podman, monkeypatch):
    assert podman_hosts() == [("@podman/made", WITHOUT_A_CARD)]
    monkeypatch.setenv("METIS_CONTAINERS", "fedora another")
    assert [name for name, _ in podman_hosts()] == ["@podman/made", "@podman/fedora", "@podman/another"]
    podman[0].clear()
    monkeypatch.delenv("METIS_CONTAINERS")
    with pytest.raises(UserError, match="lab up --kind container, or name some"):
        podman_hosts()


def test_one_that_has_ended_is_told_and_in_no_inventory(host, podman):
    podman[0].clear()
    assert listed()["box"]["condition"] == "its container has ended"
    with pytest.raises(UserError, match="No lab machine is running"):
        lab_hosts()


def test_one_whose_start_did_not_finish_can_only_be_taken_down(host):
    container_hosts._save(host.model_copy(update={"ssh_port": None}))
    assert listed()["box"]["condition"] == "its start did not finish"
    with pytest.raises(UserError, match="lab down --name box"):
        assert load_container("box").ssh


def test_down_removes_container_and_state(host, podman):
    down("box")
    assert podman[1] == [container_hosts._container_name("box")]
    assert names() == []


def test_a_name_that_is_taken(host, make_machine):
    with pytest.raises(UserError, match="box is there already"):
        up_container(ContainerWish("box"))
    make_machine("other")
    with pytest.raises(UserError, match="other is there already"):
        up_container(ContainerWish("other"))


def test_a_machine_does_not_take_the_place_of_a_container(host, monkeypatch):
    monkeypatch.setattr("metis_provision.lab.lifecycle.missing_requirements", list)
    with pytest.raises(UserError, match="box is a container"):
        up(Wish(name="box"))
    assert load_container("box") == host


def test_a_start_that_fails_leaves_nothing(podman, monkeypatch):
    def refuse(*arguments):
        raise UserError("no image")

    monkeypatch.setattr(container_hosts, "start_named", refuse)
    with pytest.raises(UserError, match="no image"):
        up_container(ContainerWish("box"))
    assert podman[1] == [container_hosts._container_name("box")]
    assert names() == []


def test_a_damaged_state_is_told_with_the_way_out(host):
    (host.directory / container_hosts.STATE_FILE).write_text("{")
    assert "lab down --name box" in listed()["box"]["condition"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--kind", "container", "--cards", "2"], "--cards says nothing about a container"),
        (["--kind", "container", "--no-card"], "--no-card says nothing about a container"),
        (["--release", "bookworm"], "--release says nothing about a machine"),
        (["--kind", "pi5", "--init", "openrc"], "--init says nothing about a pi5"),
        (["--kind", "pi5", "--topology", "quad"], "--topology says nothing about a pi5"),
        (["--kind", "cm5", "--cards", "2"], "--cards says nothing about a cm5"),
        (["--kind", "cm5", "--accel", "kvm"], "--accel says nothing about a cm5"),
        (["--init", "openrc"], "--init says nothing about a machine"),
        (["--kind", "container", "--name", "A"], "no machine name"),
    ],
)
def test_wishes_that_say_nothing_are_refused(words, told):
    result = CliRunner().invoke(lab, ["up", *words])
    assert isinstance(result.exception, UserError)
    assert told in str(result.exception)
    assert not state_dir().exists()


def test_two_state_directories_have_containers_of_different_names(monkeypatch, tmp_path):
    first = container_hosts._container_name("box")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    assert container_hosts._container_name("box") != first
