"""Fleets by their state on disk, and what is refused before anything starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from metis_provision.lab.cli import lab
from metis_provision.lab.container_hosts import ContainerWish, up_container
from metis_provision.lab.fleet import hosts as fleets
from metis_provision.lab.fleet import requirements
from metis_provision.lab.fleet.hosts import Condition, Fleet, FleetWish, fleet_of, load_fleet, up_fleet
from metis_provision.lab.fleet.namespaces import has_overlay, kill_hosts
from metis_provision.lab.fleet.requirements import FLEET_TOOLS, missing_fleet_requirements
from metis_provision.lab.inventory import WITHOUT_A_CARD, lab_hosts
from metis_provision.lab.lifecycle import Wish, down, up
from metis_provision.lab.paths import state_dir
from metis_provision.lab.places import names
from metis_provision.lab.process import current_process, start_recorded
from metis_provision.lab.requirements import missing_tools
from metis_provision.model.errors import UserError


@pytest.fixture
def fleet():
    """The state of a fleet whose processes have all ended."""
    (state_dir() / "rack").mkdir(parents=True)
    return fleets._save(Fleet(name="rack", count=3, network="198.18.4.0/24", ready=True))


@pytest.fixture
def running(fleet, monkeypatch):
    """A fleet whose processes are all this one, and whose wire answers."""
    fleet.wire_record.write_text(current_process().as_text())
    for host in fleet.hosts:
        host.directory.mkdir(parents=True)
        host.record.write_text(current_process().as_text())
    on_the_wire = {host.name: {"delay": 0.0, "by": "wire", "cut": False} for host in fleet.hosts}

    def ask(self, request):
        if request.do == "adjust":
            on_the_wire[request.name].update(request.model_dump(exclude={"do", "name"}, exclude_none=True))
        return {"network": fleet.network, "hosts": on_the_wire}

    monkeypatch.setattr(fleets.WireControl, "ask", ask)
    return fleet


def in_the_lab(*words):
    return CliRunner().invoke(lab, words)


def listed():
    return {row["name"]: row for row in json.loads(in_the_lab("list", "--json").stdout)}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--hosts", "5", "--kind", "container"], "--kind says nothing about a fleet"),
        (["--hosts", "5", "--kind", "machine"], "--kind says nothing about a fleet"),
        (["--hosts", "5", "--cards", "2"], "--cards says nothing about a fleet"),
        (["--hosts", "5", "--init", "openrc"], "--init says nothing about a fleet"),
        (["--hosts", "5", "--no-card"], "--no-card says nothing about a fleet"),
        (["--hosts", "5", "--name", "A"], "no machine name"),
    ],
)
def test_wishes_that_say_nothing_are_refused(words, told):
    result = in_the_lab("up", *words)
    assert isinstance(result.exception, UserError)
    assert told in str(result.exception)
    assert not state_dir().exists()


@pytest.mark.parametrize("count", ["0", "-1", "251", "many"])
def test_numbers_of_hosts_that_cannot_be(count):
    result = in_the_lab("up", "--hosts", count)
    assert result.exit_code == 2
    assert "Invalid value for '--hosts'" in result.stderr
    assert not state_dir().exists()


@pytest.mark.parametrize("tool", sorted(FLEET_TOOLS))
def test_each_missing_tool_names_its_package(tmp_path, monkeypatch, tool):
    for other in FLEET_TOOLS:
        if other != tool:
            (tmp_path / other).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing_tools(FLEET_TOOLS) == [f"{tool} is missing: apt-get install {FLEET_TOOLS[tool]}."]


def test_another_user_than_root_is_told_and_nothing_is_tried(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(requirements, "_missing_overlay", lambda: pytest.fail("tried"))
    assert any(sentence.startswith("Not root") for sentence in missing_fleet_requirements(5))


def test_no_tun(monkeypatch):
    monkeypatch.setattr(requirements, "DEVICE", Path("/dev/net/absent"))
    assert requirements._missing_tun() == ["/dev/net/absent is missing: modprobe tun (Debian's kernels have it)."]


def test_a_state_directory_that_mount_could_not_name(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "a,b"))
    (sentence,) = requirements._missing_overlay()
    assert sentence.endswith("cannot be named in mount options: choose another directory in XDG_STATE_HOME.")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_a_place_where_no_overlay_can_be_is_told_and_left_as_it_was(monkeypatch):
    before = sorted(Path("/dev/shm").iterdir())
    assert requirements._missing_overlay() == []
    monkeypatch.setattr(requirements, "_TRY_OVERLAY", "echo 'wrong fs type' >&2; exit 32")
    (sentence,) = requirements._missing_overlay()
    assert "(wrong fs type): choose a directory on ext4" in sentence
    assert not list(state_dir().parent.parent.glob("*metis-lab"))
    assert sorted(Path("/dev/shm").iterdir()) == before


def test_what_is_missing_is_told_before_anything_is_made(monkeypatch):
    monkeypatch.setattr(fleets, "missing_fleet_requirements", lambda count: [f"no room for {count}"])
    with pytest.raises(UserError, match="no room for 100"):
        up_fleet(FleetWish("rack", 100))
    assert not state_dir().exists()


def test_a_failed_start(monkeypatch):
    def refuse(*arguments):
        raise UserError("no image")

    monkeypatch.setattr(fleets, "missing_fleet_requirements", lambda count: [])
    monkeypatch.setattr(fleets, "container_archive", refuse)
    with pytest.raises(UserError, match="no image"):
        up_fleet(FleetWish("rack", 2))
    assert names() == []


def test_names_that_are_taken(running, make_machine, monkeypatch):
    monkeypatch.setattr(fleets, "missing_fleet_requirements", lambda count: [])
    with pytest.raises(UserError, match="rack is there already"):
        up_fleet(FleetWish("rack", 2))
    for attempt in (lambda: up(Wish(name="rack-3")), lambda: up_container(ContainerWish("rack-3"))):
        with pytest.raises(UserError, match="rack-3 is a host of the fleet rack"):
            attempt()
    make_machine("shelf-2")
    with pytest.raises(UserError, match="would be called shelf-2"):
        up_fleet(FleetWish("shelf", 2))
    monkeypatch.setattr("metis_provision.lab.lifecycle.missing_requirements", list)
    with pytest.raises(UserError, match="rack is a fleet"):
        up(Wish(name="rack"))


def test_a_running_fleet_is_listed_and_in_the_inventory(running):
    row = listed()["rack"]
    assert (row["kind"], row["condition"], len(row["hosts"])) == ("fleet", "running", 3)
    assert row["hosts"][1] == {
        "name": "rack-2",
        "address": "198.18.4.2",
        "alive": True,
        "delay": 0.0,
        "by": "wire",
        "cut": False,
    }
    found = dict(lab_hosts())
    assert list(found) == ["rack-1", "rack-2", "rack-3"]
    data = found["rack-2"]
    assert (data["ssh_hostname"], data["ssh_port"]) == ("198.18.4.2", 22)
    assert data["ssh_strict_host_key_checking"] == "yes"
    assert WITHOUT_A_CARD.items() <= data.items()
    assert "198.18.4.1 to 198.18.4.3" in in_the_lab("list").stdout


def test_an_inventory_of_one_fleet(running):
    written = in_the_lab("inventory", "rack").stdout
    content: dict[str, list[tuple[str, dict[str, object]]]] = {}
    exec(written, content)
    assert [name for name, _ in content["rack"]] == ["rack-1", "rack-2", "rack-3"]
    assert content["rack"] == [*json.loads(in_the_lab("inventory", "rack", "--json").stdout).items()]
    assert "no fleet absent" in str(in_the_lab("inventory", "absent").exception)


def test_a_dead_host_and_a_dead_wire_are_told(running):
    running.hosts[1].record.write_text("1 1 another-boot")
    assert listed()["rack"]["condition"] == "1 of 3 hosts have ended"
    running.wire_record.unlink()
    assert listed()["rack"]["condition"] == Condition.WIRE_ENDED
    with pytest.raises(UserError, match="No lab machine is running"):
        lab_hosts()


def test_one_whose_start_did_not_finish(fleet):
    fleets._save(fleet.model_copy(update={"ready": False, "network": None}))
    assert listed()["rack"]["condition"] == "its start did not finish"
    assert "has no hosts" in str(in_the_lab("inventory", "rack").exception)


def test_connections_are_changed_and_shown(running):
    assert json.loads(in_the_lab("net", "rack-1", "rack-3", "--delay", "80ms", "--cut", "--json").stdout) == {
        name: {"delay": 0.08, "by": "wire", "cut": True} for name in ("rack-1", "rack-3")
    }
    assert "80 ms (wire)" in in_the_lab("net", "rack-1").stdout
    assert json.loads(in_the_lab("net", "rack-1", "--heal", "--json").stdout)["rack-1"]["cut"] is False
    assert listed()["rack"]["hosts"][2]["cut"] is True


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["rack-1", "--heal", "--cut"], "--heal undoes delay and cut"),
        (["rack-1", "--delay", "soon"], "'soon' is no delay"),
        (["rack-1", "rack-4", "--cut"], "has no host rack-4: it has rack-1 to rack-3"),
        (["rack", "--cut"], "has no host rack: "),
        (["absent-1"], "No fleet has a host absent-1"),
    ],
)
def test_a_mistake_changes_no_connection(running, words, told):
    assert told in str(in_the_lab("net", *words).exception)
    assert not any(host["cut"] for host in listed()["rack"]["hosts"])


def test_ssh_wants_a_host(fleet):
    assert "name one of its hosts, such as rack-1" in str(in_the_lab("ssh", "rack").exception)
    assert "has no host rack-9" in str(in_the_lab("ssh", "rack-9").exception)


def test_a_host_alone_is_not_taken_down(fleet):
    with pytest.raises(UserError, match="lab down --name rack"):
        down("rack-2")
    assert load_fleet("rack") == fleet
    down("rack")
    assert names() == []


def test_a_damaged_state_or_record_is_told_and_can_be_taken_down(fleet):
    host = fleet.hosts[0]
    host.directory.mkdir(parents=True)
    host.record.write_text("nonsense")
    (fleet.directory / fleets.STATE_FILE).write_text("{")
    assert "lab down --name rack" in listed()["rack"]["condition"]
    down("rack")
    assert names() == []


def test_which_fleet_a_name_belongs_to(fleet):
    assert fleet_of("rack") == fleet_of("rack-3") == fleet_of("rack-9") == fleet
    assert fleet_of("rack-x") is fleet_of("other-1") is fleet_of("-1") is None


MOUNTED = "31 29 0:27 / / rw,relatime - overlay overlay rw,lowerdir=/s/rack/image,upperdir=/s/rack/hosts/rack-1/changes"


@pytest.mark.parametrize(
    ("directory", "ours"), [("/s/rack", True), ("/s/rac", False), ("/s/rack/hosts/rack-2", False), ("/s/rack2", False)]
)
def test_strays_are_told_by_the_overlay_they_see(directory, ours):
    assert has_overlay(MOUNTED, Path(directory)) is ours


def test_a_mount_that_only_mentions_the_directory_is_none_of_ours():
    assert not has_overlay("31 29 8:1 / /s/rack rw - ext4 /dev/sda rw,upperdir=/s/rack/x", Path("/s/rack"))
    assert not has_overlay(MOUNTED.replace("upperdir=/s", "upperdir=/other"), Path("/s/rack"))


def test_a_keeper_is_killed_with_its_child_and_a_stranger_is_not(tmp_path):
    keeper = start_recorded(["sh", "-c", "sleep 600 & wait"], tmp_path / "pid", tmp_path / "log")
    children = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children")
    while not (child := children.read_text().split()):
        pass
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    reused = current_process().__class__(stranger.pid, 1, keeper.boot_id)
    try:
        kill_hosts([keeper, reused])
        assert not keeper.is_alive()
        # Whoever inherits it may not have read its exit status yet.
        status = Path(f"/proc/{child[0]}/stat")
        assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"
        assert stranger.poll() is None
    finally:
        stranger.send_signal(signal.SIGKILL)
        stranger.wait()
