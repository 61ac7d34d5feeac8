"""The services on a machine with a card: watchdog, limits, rescan, a busy card, a late one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from metis_provision.lab.card.control import CardControl
from metis_provision.lab.inventory import host_data
from metis_provision.lab.machine import Machine

pytestmark = pytest.mark.vm

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
SETTINGS = {"metis_rescan": True, "metis_max_payload": 128, "metis_clock_mhz": 600, "metis_mvm_limit": 80}
HOLD = "exec 3<>/dev/axelera0; exec sleep 600"


def deploy(machine: Machine, directory: Path, settings: Mapping[str, object]) -> str:
    inventory = directory / "inventory.py"
    inventory.write_text(f"hosts = [({machine.name!r}, {dict(host_data(machine), **settings)!r})]\n")
    command = [str(BIN / "pyinfra"), "-y", str(inventory), "deploys/metis.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def served(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    directory = tmp_path_factory.mktemp("inventory")
    deploy(machine, directory, SETTINGS)
    again = deploy(machine, directory, SETTINGS)
    assert "Success" not in again.partition("--> Results:")[0], again
    yield machine
    deploy(machine, directory, {"metis_watchdog": False})
    left = machine.run("sh", "-c", "ls /etc/systemd/system | grep axelera", check=False).stdout
    assert left == ""


def said(machine: Machine, *command: str) -> str:
    return machine.run(*command, check=False).stdout.strip()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(1)


def is_active(machine: Machine, unit: str) -> bool:
    return said(machine, "systemctl", "is-active", unit) == "active"


def journal(machine: Machine, unit: str) -> str:
    return said(machine, "journalctl", "--no-pager", "-o", "cat", "-u", unit)


def firmware(machine: Machine) -> str:
    lines = said(machine, "dmesg").splitlines()
    return next((line for line in reversed(lines) if "vmsi" in line), "")


@contextmanager
def fault(machine: Machine, name: str) -> Iterator[Callable[[], object]]:
    """Switch a fault on; what is yielded switches it off, as the end does anyway."""
    control = CardControl(machine.card_control)
    control.fault(name, on=True)
    try:
        yield lambda: control.fault(name, on=False)
    finally:
        control.fault(name, on=False)


@contextmanager
def held(machine: Machine) -> Iterator[str]:
    """A process on the machine that has the card open; its id."""
    machine.run("systemd-run", "--unit=holder", "--quiet", "sh", "-c", HOLD)
    try:
        process = said(machine, "systemctl", "show", "--property=MainPID", "--value", "holder.service")
        wait_for(lambda: said(machine, "cat", f"/proc/{process}/comm") == "sleep")
        yield process
    finally:
        machine.run("systemctl", "stop", "holder.service", check=False)


def test_the_watchdog_logs_the_card(served: Machine) -> None:
    assert is_active(served, "axelera-watchdog.service")
    lines = said(served, "journalctl", "--no-pager", "-o", "cat", "-t", "axelera-stats-logger").splitlines()
    assert lines
    values = dict(word.split("=", 1) for word in lines[-1].split())
    assert (values["card"], values["bdf"], values["state"]) == ("axelera0", "0000:01:00.0", "free")
    assert (values["link_gts"], values["link_width"], values["clock_mhz"], values["throttled"]) == (
        "8.0",
        "4",
        "600",
        "no",
    )


def test_clock_and_mvm_are_limited(served: Machine) -> None:
    listed = said(served, "axdevice")
    assert "clock=600MHz" in listed
    assert "mvm=0-3:80%" in listed


def test_payload_is_limited_on_card_and_port(served: Machine) -> None:
    port = said(served, "sh", "-c", "basename $(dirname $(readlink -f /sys/bus/pci/devices/0000:01:00.0))")
    for address in ("0000:01:00.0", port):
        shown = said(served, "lspci", "-vv", "-s", address)
        assert "MaxPayload 128 bytes, MaxReadReq 128 bytes" in shown


@pytest.mark.parametrize("name", ["no-firmware", "silent"])
def test_the_rescan_heals_a_card_whose_firmware_comes_up_late(served: Machine, name: str) -> None:
    served.run("systemctl", "stop", "axelera-watchdog.service")
    with fault(served, name) as off:
        served.run("modprobe", "-r", "metis")
        served.run("modprobe", "metis", check=False)
        assert "vmsi not available" in firmware(served)
        before = journal(served, "axelera-rescan").count("attempt 1:")
        served.run("systemctl", "restart", "--no-block", "axelera-rescan.service")
        wait_for(lambda: journal(served, "axelera-rescan").count("attempt 1:") > before)
        off()
        wait_for(lambda: said(served, "systemctl", "is-active", "axelera-rescan.service") != "activating")
    assert is_active(served, "axelera-rescan.service"), journal(served, "axelera-rescan")
    assert "vmsi configured" in firmware(served)
    # The card that came back starts what waits for its node.
    wait_for(lambda: is_active(served, "axelera-watchdog.service"))
    assert "clock=600MHz" in said(served, "axdevice")


def test_a_busy_card_is_left_to_its_holder(served: Machine) -> None:
    served.run("systemctl", "stop", "axelera-watchdog.service")
    with fault(served, "no-firmware") as off:
        served.run("modprobe", "-r", "metis")
        served.run("modprobe", "metis")
        wait_for(lambda: said(served, "readlink", "/dev/axelera0") != "")
        with held(served) as process:
            line = said(served, "axelera-stats-logger")
            assert "state=busy" in line
            assert line.endswith(f"holder={process}")
            assert f"held by process {process} (sleep)" in said(served, "ax_status")
            rescan = served.run("/usr/lib/metis-provision/rescan")
            assert f"is held by process {process} (sleep) and was left alone" in rescan.stdout
            assert said(served, "cat", f"/proc/{process}/comm") == "sleep"
        off()
    served.run("/usr/lib/metis-provision/rescan")
    assert "vmsi configured" in firmware(served)


def test_a_boot_without_a_card_fails_nothing(served: Machine) -> None:
    served.unplug_card()
    served.reboot()
    assert said(served, "systemctl", "list-units", "--failed", "--plain", "--no-legend", "axelera*") == ""
    assert not is_active(served, "axelera-watchdog.service")
    assert said(served, "ax_status") == "Hardware not initialized."
    served.plug_card()
    # Only a boot makes room on the bus for a card that was not there.
    served.reboot()
    wait_for(lambda: is_active(served, "axelera-watchdog.service"))


def test_a_late_card_starts_what_was_skipped(served: Machine) -> None:
    units = ("axelera-watchdog.service", "axelera-limits.service", "axelera-rescan.service")
    served.unplug_card()
    wait_for(lambda: said(served, "readlink", "/dev/axelera0") == "")
    served.run("systemctl", "stop", *units)
    served.run("systemctl", "start", *units)
    assert [is_active(served, unit) for unit in units] == [False] * 3
    served.plug_card()
    served.run("sh", "-c", "echo 1 >/sys/bus/pci/rescan")
    wait_for(lambda: is_active(served, "axelera-watchdog.service"))
    wait_for(lambda: is_active(served, "axelera-rescan.service"))
    wait_for(lambda: "clock=600MHz" in said(served, "axdevice"))
