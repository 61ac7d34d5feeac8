"""The services on a machine with a card: watchdog, limits, rescan, a busy card, a late one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from guest import changed_nothing, deploy, fault, held, is_active, said, wait_for

from metis_provision.lab.card.control import CardControl
from metis_provision.lab.machine import Machine

SETTINGS: dict[str, object] = {
    "rescan": True,
    "max_payload": 128,
    "clock_mhz": 600,
    "mvm_limit": 80,
    "throttle": "85:5:40",
}


@pytest.fixture(scope="module")
def served(provisioned: Machine) -> Iterator[Machine]:
    deploy(provisioned, **SETTINGS)
    assert changed_nothing(deploy(provisioned, **SETTINGS))
    yield provisioned
    deploy(provisioned, watchdog=False)
    left = said(provisioned, "sh", "-c", "ls /etc/systemd/system | grep axelera", check=False)
    assert left == ""
    deploy(provisioned)


def journal(machine: Machine, unit: str) -> str:
    return said(machine, "journalctl", "--no-pager", "-o", "cat", "-u", unit)


def firmware(machine: Machine) -> str:
    lines = said(machine, "dmesg").splitlines()
    return next((line for line in reversed(lines) if "vmsi" in line), "")


def wait_for_its_clock(machine: Machine) -> None:
    """Wait until the card says that it is limited: what limits it may have it open when it is first asked."""
    wait_for(lambda: "clock=600MHz" in said(machine, "axdevice", check=False))


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
    board, *cores = (degrees // 1000 for degrees in CardControl(served.card().control).status()["temperatures"])
    assert (values["board_c"], values["core_c"]) == (str(board), ",".join(str(degrees) for degrees in cores))


def test_clock_and_mvm_are_limited(served: Machine) -> None:
    listed = said(served, "axdevice")
    assert "clock=600MHz" in listed
    assert "mvm=0-3:80%" in listed


def test_the_limits_are_set_again_when_the_card_has_forgotten_them(served: Machine) -> None:
    control = CardControl(served.card().control)
    wanted = {"threshold": 85, "hysteresis": 5, "percent": 40}

    def limited() -> bool:
        card = control.status()
        return (card["throttle"], card["clock_mhz"], card["mvm_percent"]) == (wanted, 600, 80)

    assert limited(), control.status()
    resets = control.status()["counters"]["resets"]
    served.power_cycle()
    # A reset card has forgotten everything; asked past the guest's tools, it says what it was told since.
    assert control.status()["counters"]["resets"] > resets
    wait_for(limited, "the limits")


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
        wait_for(lambda: said(served, "systemctl", "is-active", "axelera-rescan.service", check=False) != "activating")
    assert is_active(served, "axelera-rescan.service"), journal(served, "axelera-rescan")
    assert "vmsi configured" in firmware(served)
    # The card that came back starts what waits for its node.
    wait_for(lambda: is_active(served, "axelera-watchdog.service"))
    wait_for_its_clock(served)


def test_a_busy_card_is_left_to_its_holder(served: Machine) -> None:
    served.run("systemctl", "stop", "axelera-watchdog.service")
    with fault(served, "no-firmware") as off:
        served.run("modprobe", "-r", "metis")
        served.run("modprobe", "metis")
        wait_for(lambda: said(served, "readlink", "/dev/axelera0", check=False) != "")
        with held(served) as process:
            line = said(served, "axelera-stats-logger", check=False)
            assert "state=busy" in line
            assert line.endswith(f"holder={process}")
            assert f"held by process {process} (sleep)" in said(served, "ax_status", check=False)
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
    assert said(served, "ax_status", check=False) == "Hardware not initialized."
    # The port kept room on the bus.
    served.plug_card()
    wait_for(lambda: is_active(served, "axelera-watchdog.service"))
    wait_for_its_clock(served)


def test_a_late_card_starts_what_was_skipped(served: Machine) -> None:
    units = ("axelera-watchdog.service", "axelera-limits.service", "axelera-rescan.service")
    served.unplug_card()
    wait_for(lambda: said(served, "readlink", "/dev/axelera0", check=False) == "")
    served.run("systemctl", "stop", *units)
    served.run("systemctl", "start", *units)
    assert [is_active(served, unit) for unit in units] == [False] * 3
    served.plug_card()
    served.run("sh", "-c", "echo 1 >/sys/bus/pci/rescan")
    wait_for(lambda: is_active(served, "axelera-watchdog.service"))
    wait_for(lambda: is_active(served, "axelera-rescan.service"))
    wait_for_its_clock(served)
