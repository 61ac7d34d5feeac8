"""The state of machines on disk, and what is made of it when processes are gone or files are damaged."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess

import pytest
from click.testing import CliRunner

from metis_provision.controller.locking import locked
from metis_provision.lab import lifecycle, places, ssh
from metis_provision.lab import machine as machines
from metis_provision.lab.__main__ import main
from metis_provision.lab.cli import lab
from metis_provision.lab.inventory import host_data, lab_hosts
from metis_provision.lab.lifecycle import Wish, copy_disk, down, tmpfiles, up
from metis_provision.lab.machine import Condition
from metis_provision.lab.paths import require_socket_path, state_dir
from metis_provision.lab.payload import Payload
from metis_provision.lab.platforms import Kind
from metis_provision.lab.process import start_recorded
from metis_provision.lab.ssh import SshTarget
from metis_provision.lab.starting import last_lines
from metis_provision.lab.topology import Layout, lay_out
from metis_provision.model.errors import UserError
from metis_provision.model.settings import settings_mistakes

DIGEST = "a" * 64
EMPTY = lay_out(Layout.PLAIN, None)


@pytest.fixture
def started(make_machine):
    """A machine whose processes are stand-ins that only wait."""
    machine = make_machine()
    for record in (machine.qemu_record, machine.card().record):
        start_recorded(["sleep", "1000"], record, machine.directory / "log")
    yield machine
    for process in machine.processes().values():
        process.terminate()


@pytest.fixture
def no_requirements(monkeypatch):
    monkeypatch.setattr(lifecycle, "missing_requirements", list)


def test_state_survives_a_round_trip(make_machine):
    payload = {"version": "1.6.2", "source": "/x.tar.gz", "sha256": DIGEST}
    machine = make_machine(driver=payload)
    assert machines.load("demo") == machine


def test_a_machine_with_both_processes_runs(started):
    assert started.condition() is Condition.RUNNING


@pytest.mark.parametrize(("victim", "condition"), [("qemu", Condition.QEMU_ENDED), ("slot0", Condition.CARD_ENDED)])
def test_a_process_that_was_killed_is_noticed(started, victim, condition):
    os.kill(started.processes()[victim].pid, signal.SIGKILL)
    while started.processes()[victim].is_alive():
        pass
    assert started.condition() is condition


def test_a_state_from_before_a_reboot_of_the_host_is_stale(make_machine):
    machine = make_machine()
    machine.qemu_record.write_text("1 1 another-boot\n")
    assert machine.condition() is Condition.QEMU_ENDED


def test_a_machine_without_a_card_needs_no_card_process(started):
    started.processes()["slot0"].terminate()
    assert started.model_copy(update={"topology": EMPTY}).condition() is Condition.RUNNING


def test_a_start_that_goes_on_and_one_that_was_cut_short(make_machine):
    machine = make_machine(ready=False)
    with locked(machine.directory):
        assert machine.condition() is Condition.STARTING
    assert machine.condition() is Condition.UNFINISHED


def test_down_ends_the_processes_and_leaves_nothing(started):
    processes = started.processes()
    down("demo")
    assert not any(process.is_alive() for process in processes.values())
    assert list(state_dir().iterdir()) == []


def test_down_works_on_whatever_a_killed_start_left(started):
    (started.directory / machines.STATE_FILE).unlink()
    processes = [process for process in (started.processes()).values() if process.is_alive()]
    assert len(processes) == 2
    down("demo")
    assert not any(process.is_alive() for process in processes)
    assert places.names() == []


def test_down_of_nobody(make_machine):
    make_machine("other")
    with pytest.raises(UserError, match=r"no machine demo \(there are: other\)"):
        down("demo")


def test_down_leaves_a_machine_alone_that_somebody_works_on(started, monkeypatch):
    monkeypatch.setattr(places, "LOOK_SECONDS", 0.0)
    with locked(started.directory), pytest.raises(UserError, match="Another command is working on machine demo"):
        down("demo")
    assert started.condition() is Condition.RUNNING


def test_up_refuses_a_name_that_is_taken(started, no_requirements):
    with pytest.raises(UserError, match="running already"):
        up(Wish(name="demo"))
    assert started.condition() is Condition.RUNNING


@pytest.mark.parametrize("name", ["", "-x", "Demo", "a b", "../x", "9", "x" * 32])
def test_up_refuses_what_is_no_name(no_requirements, name):
    with pytest.raises(UserError, match="no machine name"):
        up(Wish(name=name))
    assert not state_dir().exists()


def test_a_start_that_fails_ends_what_it_started(no_requirements, monkeypatch):
    def half(wish, directory):
        start_recorded(["sleep", "1000"], directory / "qemu.pid", directory / "qemu.log")
        raise UserError("no luck")

    ended = []
    monkeypatch.setattr(lifecycle, "_make", half)
    terminate = lifecycle.read_record
    monkeypatch.setattr(lifecycle, "read_record", lambda path: ended.append(terminate(path)) or ended[-1])
    with pytest.raises(UserError, match="no luck"):
        up(Wish(name="demo"))
    started = [process for process in ended if process is not None]
    assert len(started) == 1
    assert not started[0].is_alive()
    assert (state_dir() / "demo" / "qemu.log").exists()
    assert machines.unfinished("demo") is Condition.UNFINISHED


def test_a_start_that_fails_before_anything_runs_leaves_nothing(no_requirements, monkeypatch):
    def refuse(wish, directory):
        (directory / "id_ed25519").touch()
        raise UserError("KVM does not work here.")

    monkeypatch.setattr(lifecycle, "_make", refuse)
    with pytest.raises(UserError, match="KVM"):
        up(Wish(name="demo"))
    assert places.names() == []


def test_ports_of_other_machines_are_left_to_them():
    all_but_one = set(ssh.PORTS) - {22500}
    assert ssh.free_port(all_but_one) == 22500
    with pytest.raises(UserError, match="No TCP port"):
        ssh.free_port(set(ssh.PORTS))


def test_a_port_somebody_listens_on_is_not_free(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(ssh, "PORTS", range(port, port + 1))
        with pytest.raises(UserError, match="No TCP port"):
            ssh.free_port(set())


def test_identity_reaches_the_guest_as_files_with_owners():
    lines = tmpfiles(b"ssh-ed25519 AAAA login\n", b"PRIVATE\n", b"ssh-ed25519 BBBB host\n").splitlines()
    rows = {line.split()[1]: line.split() for line in lines}
    key = rows["/etc/ssh/ssh_host_ed25519_key"]
    assert key[2:5] == ["0600", "root", "root"]
    assert base64.b64decode(key[6]) == b"PRIVATE\n"
    assert rows["/home/operator/.ssh"][:5] == ["d", "/home/operator/.ssh", "0700", "operator", "operator"]


def test_a_disk_that_cannot_be_copied(tmp_path):
    with pytest.raises(UserError, match="cannot be made"):
        copy_disk(tmp_path / "absent", tmp_path / "disk.raw")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "demo"}', '{"version": 1, "unknown": 2}'])
def test_a_damaged_state_is_told_with_the_way_out(make_machine, text):
    machine = make_machine()
    (machine.directory / machines.STATE_FILE).write_text(text)
    with pytest.raises(UserError, match="lab down --name demo"):
        machines.load("demo")


def test_ssh_trusts_the_pinned_key_and_nothing_else(make_machine):
    words = make_machine().ssh_command("uname -r", batch=True)
    options = dict(word.split("=", 1) for word in words if "=" in word)
    assert options["StrictHostKeyChecking"] == "yes"
    assert options["UserKnownHostsFile"].strip('"') == str(state_dir() / "demo" / "known_hosts")
    assert words[:3] == ["ssh", "-F", "/dev/null"]
    assert words[-2:] == ["127.0.0.1", "uname -r"]


def test_a_command_in_the_guest_that_fails_is_told(make_machine, monkeypatch):
    failed = subprocess.CompletedProcess([], 5, "", "first\nno such thing\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: failed)
    with pytest.raises(UserError, match=r"On demo, false failed \(5\): no such thing"):
        make_machine().run("false")
    assert make_machine("other").run("false", check=False).returncode == 5


def test_a_command_in_the_guest_that_hangs_is_told(make_machine, monkeypatch):
    def hang(*args, **options):
        raise subprocess.TimeoutExpired("ssh", 1)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(UserError, match="took more than 1 s"):
        make_machine().run("sleep", "9", timeout=1)


def test_a_guest_that_ends_while_it_boots_is_told_with_its_last_words(make_machine):
    machine = make_machine(ready=False)
    machine.console.write_text("".join(f"line {number}\n" for number in range(100)) + "Kernel panic\n\n")
    with pytest.raises(UserError) as told:
        machine.wait_for_ssh()
    message = str(told.value)
    assert "QEMU has ended" in message
    assert str(machine.console) in message
    assert "Kernel panic" in message
    assert "line 50" not in message


def test_a_guest_that_never_answers_is_told(started, monkeypatch):
    monkeypatch.setattr(SshTarget, "greets", lambda target: False)
    with pytest.raises(UserError, match="no answer by ssh within 0 s"):
        started.wait_for_ssh(timeout=0.1)


def test_no_log_has_no_last_lines(tmp_path):
    assert last_lines(tmp_path / "absent") == []


def test_the_card_of_a_machine_without_one(make_machine):
    machine = make_machine(topology=EMPTY)
    for move in (machine.unplug_card, machine.plug_card):
        with pytest.raises(UserError, match=r"has no card in slot0 \(slots with a card: none\)"):
            move()


def test_each_card_has_files_of_its_own(make_machine):
    machine = make_machine(topology=lay_out(Layout.PLAIN, "m2", 2))
    assert machine.card() == machine.card("slot0")
    assert machine.card("slot1").control == machine.directory / "slot1.control"
    with pytest.raises(UserError, match=r"no card in slot2 \(slots with a card: slot0, slot1\)"):
        machine.card("slot2")


def test_one_dead_card_of_two_is_noticed(started):
    two = started.model_copy(update={"topology": lay_out(Layout.PLAIN, "m2", 2)})
    assert two.condition() is Condition.CARD_ENDED


def test_a_state_of_another_version_can_be_taken_down(started):
    path = started.directory / machines.STATE_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 1, "card": "m2"}))
    with pytest.raises(UserError, match=r"its format is 1, not 2\): metis-provision lab down --name demo"):
        machines.load("demo")
    processes = started.processes()
    down("demo")
    assert not any(process.is_alive() for process in processes.values())


def test_a_socket_path_that_is_too_long(tmp_path):
    require_socket_path(tmp_path / "short.sock")
    with pytest.raises(UserError, match="XDG_STATE_HOME"):
        require_socket_path(tmp_path / ("x" * 108))


def test_relative_base_directories_are_ignored(monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert state_dir().is_absolute()


def test_the_inventory_holds_running_machines_only(started, make_machine):
    make_machine("stale")
    (state_dir() / "half-made").mkdir()
    ((name, data),) = lab_hosts()
    assert name == "demo"
    assert data["ssh_strict_host_key_checking"] == "yes"
    assert data["ssh_port"] == 22001


def test_the_inventory_pins_its_payloads(started):
    payload = {"source": "/p", "sha256": DIGEST}
    machines.save(
        started.model_copy(
            update={
                "driver": Payload.model_validate({"version": "1.6.2", **payload}),
                "runtime": Payload.model_validate({"version": "1.8.0", **payload}),
            }
        )
    )
    ((_, data),) = lab_hosts()
    assert settings_mistakes(data) == []
    assert data["metis_driver_sha256"] == data["metis_runtime_sha256"] == DIGEST


@pytest.mark.parametrize(
    ("kind", "carrier"), [(Kind.PC, "generic"), (Kind.PI5, "rpi5-m2-hat-plus"), (Kind.CM5, "exaviz-cruiser")]
)
def test_a_twin_sits_on_a_carrier(make_machine, kind, carrier):
    assert host_data(make_machine(kind=kind))["metis_carrier"] == carrier


def test_an_empty_inventory_says_what_to_do(make_machine):
    make_machine("stale")
    with pytest.raises(UserError, match="metis-provision lab up"):
        lab_hosts()


def test_list_tells_every_condition(started, make_machine):
    make_machine("stale")
    (state_dir() / "half-made").mkdir()
    damaged = make_machine("damaged")
    (damaged.directory / machines.STATE_FILE).write_text("{")
    result = CliRunner().invoke(lab, ["list", "--json"])
    conditions = {row["name"]: row["condition"] for row in json.loads(result.stdout)}
    assert conditions["demo"] == "running"
    assert conditions["stale"] == "QEMU has ended"
    assert conditions["half-made"] == "its start did not finish"
    assert "cannot be read" in conditions["damaged"]
    assert "stale" in CliRunner().invoke(lab, ["list"]).stdout


def test_list_of_nothing():
    result = CliRunner().invoke(lab, ["list", "--json"])
    assert (result.exit_code, result.stdout) == (0, "[]\n")
    result = CliRunner().invoke(lab, ["list"])
    assert (result.exit_code, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["down"], "--name NAME or --all"),
        (["down", "--all", "--name", "demo"], "--name NAME or --all"),
        (["down", "--name", "absent"], "no machine absent (there are: none)"),
        (["ssh", "absent"], "no machine absent"),
    ],
)
def test_mistakes_get_a_line_and_exit_code_4(monkeypatch, capsys, words, told):
    monkeypatch.setattr("sys.argv", ["lab", *words])
    assert main() == 4
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""


def test_down_all(make_machine):
    make_machine("one")
    make_machine("two")
    result = CliRunner().invoke(lab, ["down", "--all"])
    assert result.exit_code == 0
    assert places.names() == []
