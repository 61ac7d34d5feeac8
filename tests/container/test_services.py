"""The services under a real systemd and a real OpenRC: put into the boot, started, stopped, taken back."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metis_provision.lab.containers import Container, Init, Release, start_container

pytestmark = pytest.mark.container

ROOT = Path(__file__).resolve().parents[2]
HOST = {"metis_cards": 0, "metis_driver": "none"}
SERVICES = {"metis_watchdog": True, "metis_rescan": True, "metis_clock_mhz": 600, "metis_carrier": "exaviz-cruiser"}
NO_CARD = "Hardware not initialized."
KINDS = [(Release.DEBIAN_12, Init.SYSTEMD), (Release.DEBIAN_13, Init.SYSTEMD), (Release.DEBIAN_13, Init.OPENRC)]
NAMES = {
    Init.SYSTEMD: ("axelera", "axelera-rescan", "axelera-limits", "axelera-watchdog"),
    Init.OPENRC: ("axelera-slammer", "axelera-rescan", "axelera-limits", "axelera-watchdog"),
}

Deploy = Callable[..., str]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]}-{kind[1]}")
def booted(request: pytest.FixtureRequest, containers: None) -> Iterator[Container]:
    made = start_container(*request.param)
    yield made
    made.remove()


@pytest.fixture(scope="module")
def openrc(containers: None) -> Iterator[Container]:
    made = start_container(Release.DEBIAN_13, Init.OPENRC)
    yield made
    made.remove()


@pytest.fixture(scope="module")
def deploy(tmp_path_factory: pytest.TempPathFactory) -> Deploy:
    def run(container: Container, **data: object) -> str:
        inventory = tmp_path_factory.mktemp("inventory") / "inventory.py"
        inventory.write_text(f"hosts = [({container.pyinfra_name!r}, {dict(HOST, **data)!r})]\n")
        command = [sys.executable, "-m", "pyinfra", "-y", str(inventory), str(ROOT / "deploys" / "metis.py")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return said

    return run


def changes(said: str) -> str:
    """Return pyinfra's line of totals."""
    return next(line for line in said.splitlines() if "Grand total" in line)


def is_enabled(container: Container, name: str) -> bool:
    if container.init is Init.OPENRC:
        return container.run("test", "-h", f"/etc/runlevels/default/{name}", check=False).returncode == 0
    return container.run("systemctl", "is-enabled", f"{name}.service", check=False).stdout.strip() == "enabled"


def is_active(container: Container, name: str) -> bool:
    if container.init is Init.OPENRC:
        return container.run("rc-service", name, "status", check=False).returncode == 0
    return container.run("systemctl", "is-active", f"{name}.service", check=False).stdout.strip() == "active"


def log_of(container: Container) -> str:
    if container.init is Init.OPENRC:
        return container.run("cat", "/var/log/syslog").stdout
    return container.run("journalctl", "--no-pager", "-t", "axelera-stats-logger").stdout


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.3)


def test_services_are_in_the_boot_wait_for_a_card_and_go_again(booted: Container, deploy: Deploy) -> None:
    names = NAMES[booted.init]
    first = deploy(booted, **SERVICES)
    assert "1 green" in first
    assert [is_enabled(booted, name) for name in names] == [True] * 4
    # The overlay loader needs no card; the kernel here has no overlays, which it says and is content.
    assert [is_active(booted, name) for name in names] == [True, False, False, False]
    second = deploy(booted, **SERVICES)
    assert changes(second).split()[-3:] == ["-", "-", changes(second).split()[-1]], second
    assert second.count("No changes") >= 10

    booted.restart()
    assert [is_active(booted, name) for name in names] == [True, False, False, False]
    if booted.init is Init.SYSTEMD:
        failed = booted.run("systemctl", "list-units", "--failed", "--plain", "--no-legend").stdout
        assert failed.strip() == ""
    assert "1 green" in (after_boot := deploy(booted, **SERVICES))
    assert "Success" not in after_boot.partition("--> Results:")[0]

    deploy(booted, metis_watchdog=False)
    assert [is_enabled(booted, name) for name in names] == [False] * 4
    left = booted.run("sh", "-c", "ls /etc/init.d /etc/systemd/system /usr/bin | grep -c '^ax'", check=False).stdout
    assert left.strip() == "0"


def test_the_watchdog_runs_and_logs_once_a_card_is_there(booted: Container, deploy: Deploy) -> None:
    deploy(booted, metis_watchdog=True)
    assert booted.run("ax_status", check=False).stdout.strip() == NO_CARD
    booted.run("ln", "-s", "full", "/dev/axelera0")
    try:
        if booted.init is Init.OPENRC:
            booted.run("rc-service", "axelera-watchdog", "start")
        else:
            booted.run("systemctl", "start", "axelera-watchdog.service")
        assert is_active(booted, "axelera-watchdog")
        wait_for(lambda: "card=axelera0 bdf=unknown state=free" in log_of(booted))
        assert booted.run("ax_status").stdout.startswith("axelera0: no PCI device behind it\n")
        deploy(booted, metis_watchdog=False)
        assert not is_active(booted, "axelera-watchdog")
        assert booted.run("pgrep", "-f", "axelera-stats-logger", check=False).stdout == ""
    finally:
        booted.run("rm", "/dev/axelera0")


def test_a_disabled_service_is_drift_and_put_back(booted: Container, deploy: Deploy) -> None:
    deploy(booted, metis_watchdog=True)
    if booted.init is Init.OPENRC:
        booted.run("rc-update", "delete", "axelera-watchdog", "default")
    else:
        booted.run("systemctl", "disable", "axelera-watchdog.service")
    assert not is_enabled(booted, "axelera-watchdog")
    deploy(booted, metis_watchdog=True)
    assert is_enabled(booted, "axelera-watchdog")


def test_status_command_of_openrc(openrc: Container, deploy: Deploy) -> None:
    deploy(openrc, metis_watchdog=True)
    without = openrc.run("rc-service", "ax_status", "status_ai", check=False)
    assert (without.returncode, without.stdout.strip()) == (1, NO_CARD)
    openrc.run("ln", "-s", "full", "/dev/axelera0")
    try:
        told = openrc.run("rc-service", "ax_status", "status_ai")
        assert "state         free" in told.stdout
    finally:
        openrc.run("rm", "/dev/axelera0")


def test_without_a_card_openrc_says_one_line_and_boots(openrc: Container, deploy: Deploy) -> None:
    deploy(openrc, metis_watchdog=True)
    openrc.restart()
    assert openrc.run("cat", "/run/openrc/softlevel").stdout.strip() == "default"
    said = openrc.run("rc-service", "axelera-watchdog", "start", check=False)
    assert said.returncode == 1
    assert said.stdout.count("\n") == 1
    assert "There is no Axelera card (/dev/axelera0): axelera-watchdog stays stopped." in said.stdout
    assert not is_active(openrc, "axelera-watchdog")


def test_a_late_card_starts_what_waited_for_it_under_openrc(openrc: Container, deploy: Deploy) -> None:
    deploy(openrc, metis_watchdog=True)
    assert not is_active(openrc, "axelera-watchdog")
    openrc.run("ln", "-s", "full", "/dev/axelera0")
    try:
        openrc.run("/usr/lib/metis-provision/card-arrived")
        wait_for(lambda: is_active(openrc, "axelera-watchdog"))
    finally:
        openrc.run("rc-service", "axelera-watchdog", "stop", check=False)
        openrc.run("rm", "/dev/axelera0")


def test_a_unit_that_cannot_be_enabled_fails_the_host_in_a_sentence(containers: None, tmp_path: Path) -> None:
    container = start_container(Release.DEBIAN_13)
    try:
        container.run("touch", "/etc/systemd/system/dev-axelera0.device.wants")
        inventory = tmp_path / "inventory.py"
        inventory.write_text(f"hosts = [({container.pyinfra_name!r}, {dict(HOST, metis_watchdog=True)!r})]\n")
        command = [sys.executable, "-m", "pyinfra", "-y", str(inventory), str(ROOT / "deploys" / "metis.py")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    finally:
        container.remove()
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "axelera-watchdog could not be enabled" in said, said
    assert "Traceback" not in said
