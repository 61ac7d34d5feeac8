"""A reboot that is allowed, one that is not, one that goes wrong; and config.txt on a real FAT file system."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from guest import put, reported, shell, wait_for

from metis_provision.desired.difference import BootChange
from metis_provision.lab.machine import Machine
from metis_provision.model.artifact import BootConfig
from metis_provision.operations import commands

NOTE = "/run/metis-provision/booted-with"
SLOW_SSHD = "/etc/systemd/system/ssh.service.d/slow.conf"


def force_the_need(machine: Machine) -> str:
    """Have the guest believe that something only a boot reads was changed; returns the id of its present boot."""
    boot = machine.boot_id()
    put(machine, NOTE, f"{boot} 0 /etc/os-release\n")
    return boot


def test_a_reboot_that_is_not_allowed_is_asked_for(provisioned: Machine) -> None:
    boot = force_the_need(provisioned)
    status, host = reported(provisioned, "apply", "-y", reboot_before="exit 1")
    assert status == 0
    (finding,) = [finding for finding in host["findings"] if finding["code"] == "METIS-024"]
    assert finding["answer"] == "warn"
    assert "/etc/os-release is not what the host booted with" in finding["seen"]
    assert provisioned.boot_id() == boot


def test_a_plan_says_that_it_would_reboot_and_does_not(provisioned: Machine) -> None:
    boot = force_the_need(provisioned)
    status, host = reported(provisioned, "plan", reboot="if-needed")
    assert status == 2
    assert "/etc/os-release is not what the host booted with" in json.dumps(host)
    assert provisioned.boot_id() == boot


def test_a_drain_that_fails_keeps_the_host_up(provisioned: Machine) -> None:
    boot = force_the_need(provisioned)
    status, host = reported(provisioned, "apply", "-y", reboot="if-needed", reboot_before="echo still in use; exit 3")
    assert status == 1
    assert "metis_reboot_before ended with status 3: still in use" in host["reason"]
    assert provisioned.boot_id() == boot


def test_a_host_that_somebody_works_on_is_not_even_drained(provisioned: Machine, tmp_path: Path) -> None:
    boot = force_the_need(provisioned)
    lock = "exec flock /run/metis-provision/lock sleep 600"
    provisioned.run("systemd-run", "--unit=worker", "--collect", "--quiet", "sh", "-c", lock)
    try:
        wait_for(lambda: shell(provisioned, "flock -n -s /run/metis-provision/lock true").returncode == 1, "the lock")
        drained = tmp_path / "drained"
        status, host = reported(provisioned, "apply", "-y", reboot="if-needed", reboot_before=f"touch {drained}")
    finally:
        provisioned.run("systemctl", "stop", "worker.service", check=False)
    assert status == 1
    assert host["reason"] == "another run is changing this host: wait for it to end, then run again"
    assert not drained.exists()
    assert provisioned.boot_id() == boot


def test_an_allowed_reboot_is_proven_and_leaves_the_card_green(provisioned: Machine, tmp_path: Path) -> None:
    boot = force_the_need(provisioned)
    log = tmp_path / "log"
    hooks = {f"reboot_{when}": f'echo "{when} $METIS_HOST" >>{log}' for when in ("before", "after")}
    status, host = reported(provisioned, "apply", "-y", reboot="if-needed", **hooks)
    assert status == 0, host
    assert provisioned.boot_id() != boot
    assert log.read_text() == f"before {provisioned.name}\nafter {provisioned.name}\n"
    answers = {finding["code"]: finding["answer"] for finding in host["findings"]}
    assert answers["METIS-024"] == "pass"
    assert answers["METIS-101"] == answers["METIS-303"] == answers["METIS-501"] == "pass"


def test_where_none_is_needed_there_is_none(provisioned: Machine) -> None:
    boot = provisioned.boot_id()
    status, _ = reported(provisioned, "apply", "-y", reboot="if-needed", reboot_before="exit 1")
    assert status == 0
    assert provisioned.boot_id() == boot


@pytest.mark.full
def test_a_host_that_does_not_come_back_is_reported(provisioned: Machine) -> None:
    put(provisioned, SLOW_SSHD, "[Service]\nExecStartPre=/bin/sleep 60\nTimeoutStartSec=600\n")
    boot = force_the_need(provisioned)
    try:
        status, host = reported(
            provisioned, "apply", "-y", reboot="if-needed", reboot_timeout=30, reboot_after="exit 1"
        )
    finally:
        back = provisioned.wait_for_ssh(other_than=boot, timeout=900)
        assert shell(provisioned, f"rm {SLOW_SSHD} && systemctl daemon-reload").returncode == 0
    assert status == 1
    assert "did not come back within 30 s" in host["reason"]
    assert back != boot


BEFORE = b"# \xe9t\xe9\r\ndtparam=audio=on\r\n[all]"
AFTER = BEFORE + b"\r\n# metis-provision begin\r\n[all]\r\ndtparam=pciex1\r\n# metis-provision end\r\n"
MOUNT = "/mnt/metis-fat"


@pytest.fixture
def fat(provisioned: Machine, tmp_path: Path) -> Iterator[str]:
    """Path of a config.txt on a FAT file system in the guest, mounted as Raspberry Pi OS mounts its boot partition."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox, which makes the FAT file system, is not installed")
    image = tmp_path / "fat"
    image.write_bytes(b"\0" * 1_000_000)
    subprocess.run([busybox, "mkdosfs", str(image)], check=True, capture_output=True)
    # Tests before may have forced the need of a reboot, and their note would stand beside that of the test.
    mount = (
        f"rm -f {NOTE} && cat >/root/fat && mkdir -p {MOUNT} && mount -o loop,fmask=0022,dmask=0022 /root/fat {MOUNT}"
    )
    done = shell(provisioned, mount, image.read_bytes())
    assert done.returncode == 0, done.stderr
    assert shell(provisioned, f"cat >{MOUNT}/config.txt", BEFORE).returncode == 0
    yield f"{MOUNT}/config.txt"
    shell(provisioned, f"umount {MOUNT}; rm -f /root/fat {NOTE}")


def replace(machine: Machine, path: str, now: bytes, content: bytes) -> subprocess.CompletedProcess[bytes]:
    change = BootChange(BootConfig(path, (), now, content))
    return shell(machine, commands.boot_command(change), commands.boot_input(change).encode())


def on_the_image(machine: Machine) -> dict[str, bytes]:
    """What lies on the file system after it was unmounted and mounted again: what a boot would find."""
    done = shell(machine, f"umount {MOUNT} && mount -o loop,fmask=0022,dmask=0022 /root/fat {MOUNT} && ls -A {MOUNT}")
    assert done.returncode == 0, done.stderr
    names = done.stdout.decode().split()
    return {name: shell(machine, f"cat {MOUNT}/{name}").stdout for name in names}


def test_config_txt_is_replaced_on_fat_and_given_back(provisioned: Machine, fat: str) -> None:
    done = replace(provisioned, fat, BEFORE, AFTER)
    assert (done.returncode, done.stderr) == (0, b"")
    assert on_the_image(provisioned) == {"config.txt": AFTER, "config.txt.metis-previous": BEFORE}
    digest = hashlib.sha256(BEFORE).hexdigest()
    assert shell(provisioned, f"cat /var/lib/metis-provision/previous/{digest}").stdout == BEFORE
    assert shell(provisioned, f"cat {NOTE}").stdout.decode().split() == [provisioned.boot_id(), digest, fat]
    done = replace(provisioned, fat, AFTER, BEFORE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert on_the_image(provisioned) == {"config.txt": BEFORE}


def test_a_full_or_read_only_fat_keeps_its_file(provisioned: Machine, fat: str) -> None:
    done = replace(provisioned, fat, BEFORE, AFTER * 10_000)
    assert done.returncode == 1
    assert b"mounted read-only, or full?" in done.stderr
    assert on_the_image(provisioned) == {"config.txt": BEFORE}
    assert shell(provisioned, f"mount -o remount,ro {MOUNT}").returncode == 0
    done = replace(provisioned, fat, BEFORE, AFTER)
    assert done.returncode == 1
    assert b"mounted read-only, or full?" in done.stderr
    assert shell(provisioned, f"cat {fat}").stdout == BEFORE
