"""The lab's own promises, kept by real machines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from guest import wait_for

from metis_provision.lab.card.control import CardControl
from metis_provision.lab.image import PACKAGES
from metis_provision.lab.inventory import lab_hosts
from metis_provision.lab.lifecycle import Wish, down, up
from metis_provision.lab.machine import Condition, Machine, load
from metis_provision.lab.paths import state_dir
from metis_provision.lab.places import names
from metis_provision.lab.process import ProcessRecord, read_record
from metis_provision.lab.qemu import Acceleration, Toolbox, accelerator_works, toolbox
from metis_provision.lab.topology import Layout, lay_out
from metis_provision.model.errors import UserError

LAB = [sys.executable, "-m", "metis_provision.lab"]
INVENTORY = Path(__file__).parents[2] / "inventories" / "lab.py"


LOOK = """
cd /sys/bus/pci/devices
for vendor in $(grep -l 0x1f9d ./*/vendor); do
    (cd "${vendor%/vendor}" && cat vendor device class current_link_speed current_link_width max_link_width)
done
"""
LOOKED_AT = ("vendor", "device", "class", "current_link_speed", "current_link_width", "max_link_width")


def cards(machine: Machine) -> list[dict[str, str]]:
    """Return what sysfs says of each device with the card's vendor id, in one look."""
    words = machine.run("sh", "-c", LOOK, check=False).stdout.splitlines()
    step = len(LOOKED_AT)
    return [dict(zip(LOOKED_AT, words[at : at + step], strict=True)) for at in range(0, len(words), step)]


def traces(machine: Machine, processes: list[ProcessRecord]) -> list[str]:
    """Return what is left of a machine: processes, files, mounts."""
    found = [f"process {process.pid}" for process in processes if process.is_alive()]
    found += [str(path) for path in state_dir().glob(f"{machine.name}*")]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if str(state_dir()) in line]
    return found


@pytest.fixture(scope="module")
def bare(lab: None):
    """A second machine, without a card, beside the first; tests may break it."""
    made = up(Wish(name="bare", topology=lay_out(Layout.PLAIN, None), memory=768, cpus=1))
    yield made
    if made.name in names():
        down(made.name)


def test_the_guest_sees_the_card_at_its_full_link(machine):
    (card,) = cards(machine)
    assert (card["vendor"], card["device"], card["class"]) == ("0x1f9d", "0x1100", "0x120000")
    assert card["current_link_speed"] == "8.0 GT/s PCIe"
    assert (card["current_link_width"], card["max_link_width"]) == ("4", "4")


def test_the_card_process_knows_its_host(machine):
    assert CardControl(machine.card().control).status()["connected"] is True


def test_the_guest_is_a_bare_debian(machine):
    release = machine.run("cat", "/etc/os-release").stdout
    assert "ID=debian" in release
    assert 'VERSION_ID="13"' in release
    installed = set(machine.run("dpkg-query", "--show", "--showformat", "${Package}\\n").stdout.split())
    assert set(PACKAGES) <= installed
    assert not {name for name in installed if name.startswith(("linux-headers", "gcc-14-x86"))}
    assert installed.isdisjoint({"dkms", "gcc", "make", "pciutils", "openssl"})
    assert machine.run("getent", "group", "axelera", check=False).returncode == 2
    assert machine.run("hostname").stdout.strip() == "vm"
    assert machine.run("systemctl", "is-system-running", "--wait", check=False).stdout.strip() == "running"


def test_operator_may_do_everything_with_sudo(machine):
    operator = machine.model_copy(update={"ssh_user": "operator"})
    assert operator.run("sudo", "-n", "id", "-un").stdout.strip() == "root"
    assert operator.run("id", "-un").stdout.strip() == "operator"


def test_a_host_that_shows_another_key_is_refused(machine, bare):
    impostor = machine.model_copy(update={"ssh_port": bare.ssh_port})
    pinned = machine.ssh_known_hosts.read_text()
    machine.ssh_known_hosts.write_text(pinned.replace(f":{machine.ssh_port} ", f":{bare.ssh_port} ", 1))
    try:
        with pytest.raises(UserError, match="Host key verification failed"):
            impostor.run("true")
    finally:
        machine.ssh_known_hosts.write_text(pinned)


def test_pyinfra_reaches_the_machine_by_the_inventory(machine, tmp_path):
    command = [
        str(Path(sys.executable).with_name("pyinfra")),
        str(INVENTORY),
        "--limit",
        "vm",
        "exec",
        "--",
        "systemctl",
        "is-active",
        "ssh",
    ]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "[vm]   Success" in (result.stdout + result.stderr)


def test_an_inventory_without_machines_is_one_line(lab, tmp_path):
    command = [str(Path(sys.executable).with_name("pyinfra")), str(INVENTORY), "exec", "--", "true"]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "metis-provision lab up" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_card_can_be_pulled_and_put_back(machine):
    machine.unplug_card()
    try:
        wait_for(lambda: cards(machine) == [], "an empty slot")
        assert CardControl(machine.card().control).status()["connected"] is False
        with pytest.raises(UserError, match="QEMU refuses device_del"):
            machine.unplug_card()
    finally:
        machine.plug_card()
    wait_for(lambda: len(cards(machine)) == 1, "the card")
    assert CardControl(machine.card().control).status()["connected"] is True


def test_a_reboot_is_another_boot_of_the_same_disk_with_the_card(machine):
    before = machine.boot_id()
    machine.run("touch", "/root/kept")
    after = machine.reboot()
    assert after != before
    assert machine.boot_id() == after
    assert machine.run("ls", "/root/kept").returncode == 0
    assert len(cards(machine)) == 1
    machine.run("rm", "/root/kept")


def test_a_power_cycle_keeps_what_was_written(machine):
    before = machine.boot_id()
    qemu = machine.processes()["qemu"]
    machine.run("sh", "-c", "echo kept > /root/kept && sync")
    assert machine.power_cycle() != before
    assert machine.processes()["qemu"] != qemu
    assert machine.run("cat", "/root/kept").stdout == "kept\n"
    assert len(cards(machine)) == 1
    machine.run("rm", "/root/kept")


def test_two_machines_at_once_share_nothing(machine, bare):
    assert machine.ssh_port != bare.ssh_port
    assert machine.run("cat", "/etc/machine-id").stdout != bare.run("cat", "/etc/machine-id").stdout
    assert machine.ssh_known_hosts.read_text().split()[2] != bare.ssh_known_hosts.read_text().split()[2]
    assert [name for name, _ in lab_hosts()] == ["bare", "vm"]


def test_a_machine_without_a_card_has_an_empty_slot(bare):
    assert cards(bare) == []
    assert list(bare.processes()) == ["qemu"]
    with pytest.raises(UserError, match="has no card in slot0"):
        bare.unplug_card()


def test_ssh_passes_the_exit_code_on(bare):
    result = subprocess.run(
        [*LAB, "ssh", "bare", "sh -c 'echo said; exit 7'"], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (7, "said\n")


def test_a_running_machine_is_not_made_again(bare):
    with pytest.raises(UserError, match="running already"):
        up(Wish(name="bare"))
    assert bare.condition() is Condition.RUNNING


def test_a_guest_that_does_not_answer_is_told_with_its_console(bare):
    with pytest.raises(UserError) as told:
        bare.wait_for_ssh(other_than=bare.boot_id(), timeout=1)
    assert "no answer by ssh within 1 s" in str(told.value)
    assert str(bare.console) in str(told.value)
    assert "login:" in str(told.value)


def test_a_killed_qemu_is_reported_and_cleaned_up(bare):
    processes = list(bare.processes().values())
    os.kill(bare.processes()["qemu"].pid, signal.SIGKILL)
    wait_for(lambda: not bare.processes()["qemu"].is_alive(), "the end of QEMU")
    listed = json.loads(subprocess.run([*LAB, "list", "--json"], capture_output=True, check=True).stdout)
    assert {row["name"]: row["condition"] for row in listed}["bare"] == "QEMU has ended"
    assert "bare" not in dict(lab_hosts())
    with pytest.raises(UserError, match="QEMU has ended"):
        bare.wait_for_ssh()
    subprocess.run([*LAB, "down", "--name", "bare"], capture_output=True, check=True)
    assert traces(bare, processes) == []


def test_nothing_stays_behind_when_up_is_killed(lab):
    command = subprocess.Popen([*LAB, "up", "--name", "killed"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    record = state_dir() / "killed" / "qemu.pid"
    wait_for(lambda: record.exists() or command.poll() is not None, "QEMU")
    assert command.poll() is None, "up ended before QEMU was started"
    command.kill()
    command.wait()
    machine = load("killed")
    processes = [process for process in machine.processes().values() if process.is_alive()]
    assert len(processes) == 2
    assert machine.condition() is Condition.UNFINISHED
    down("killed")
    assert traces(machine, processes) == []


def test_a_builder_that_is_killed_takes_everything_along(lab, tmp_path):
    # With an empty cache, so that it has to build; killed once mmdebstrap has begun.
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    command = subprocess.Popen(
        [*LAB, "up", "--name", "builder"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    logs = tmp_path / "metis-provision" / "logs"
    inside = str(tmp_path)
    try:
        wait_for(lambda: any(log.stat().st_size for log in logs.glob("QEMU*.log")), "mmdebstrap at work")
        command.kill()
        command.wait()
        wait_for(lambda: not _processes_naming(inside), "the end of mmdebstrap")
        assert inside not in Path("/proc/mounts").read_text()
    finally:
        command.kill()
        command.wait()
        down("builder")
    assert "builder" not in names()


def _processes_naming(text: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if text in words:
            found.append(words)
    return found


def test_emulation_works_and_a_missing_qemu_does_not(lab):
    tools = toolbox()
    assert accelerator_works(tools, Acceleration.TCG)
    assert not accelerator_works(Toolbox(("false",), tools.loader), Acceleration.TCG)


def test_kvm_is_refused_where_no_virtual_cpu_runs_on_it(lab):
    if accelerator_works(toolbox(), Acceleration.KVM):
        pytest.skip("KVM works here")
    with pytest.raises(UserError, match="KVM does not work here"):
        up(Wish(name="kvm", acceleration=Acceleration.KVM))
    assert "kvm" not in names()


def test_a_card_that_cannot_serve_is_told(lab):
    with pytest.raises(UserError, match="The virtual card in slot0 did not start"):
        up(Wish(name="nocard", topology=lay_out(Layout.PLAIN, "no-such-profile")))
    assert read_record(state_dir() / "nocard" / "qemu.pid") is None
    down("nocard")
