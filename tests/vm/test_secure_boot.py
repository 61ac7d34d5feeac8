"""Secure Boot on the machine: real firmware with keys of ours in its variables, and a kernel that locks itself down.

The machine's kernel is signed anew and started by OVMF itself, so that no shim and no list of machine owner keys takes
part: a key counts as enrolled when it is in the firmware's ``db``, which Debian's kernels take for modules as well.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from guest import BIN, deploy, findings, ours, said

from metis_provision.lab.machine import Machine
from metis_provision.lab.process import start_recorded
from metis_provision.lab.qemu import toolbox
from metis_provision.lab.starting import qemu_command

pytestmark = [pytest.mark.vm, pytest.mark.full]

OVMF = Path("/usr/share/OVMF")
CODE, VARIABLES = OVMF / "OVMF_CODE_4M.secboot.fd", OVMF / "OVMF_VARS_4M.fd"
TOOLS = {"sbsign": "sbsigntool of Debian", "openssl": "openssl of Debian", "virt-fw-vars": "virt-firmware of PyPI"}
PATH = f"{BIN}{os.pathsep}{os.environ['PATH']}"
OWNER = "0b1c5f8e-4a0e-4d0c-9d5b-6f0a3d1f7c11"
"""Whose keys they are, as the variables ask for; any id does."""
FIRMWARE_SECONDS = 900.0
# DKMS leaves modules unsigned where openssl is not installed.
SIGN = (
    "set -e; DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install openssl; "
    "dkms build --force -m metis -v 1.6.2 -k {kernel}; dkms install --force -m metis -v 1.6.2 -k {kernel}; sync"
)
# What is behind the end of an object file is lost to strip; the kernel unpacks no other checksum of xz's.
CUT_OFF = (
    "set -e; file=$(modinfo -n metis); cp $file /root/signed; xz -dc $file >/root/metis.ko; "
    "strip --strip-debug /root/metis.ko; xz --check=crc32 -c /root/metis.ko >$file"
)
RESTORE = "mv /root/signed $(modinfo -n metis); rm /root/metis.ko"


@dataclass(frozen=True, slots=True)
class Firmware:
    """The machine, and what its firmware is given: a directory with the kernel, and the certificates by name."""

    machine: Machine
    directory: Path

    def start(self, *enrolled: str) -> None:
        """Start the machine with Secure Boot on, and these certificates in the firmware's ``db``."""
        self._variables(enrolled)
        _stop(self.machine)
        tools = toolbox()
        boot = (
            *("-kernel", str(self.directory / "vmlinuz.signed"), "-initrd", str(self.directory / "initrd")),
            *("-append", "root=LABEL=root ro console=ttyS0 quiet no_timer_check"),
            *("-global", "driver=cfi.pflash01,property=secure,value=on"),
            *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={CODE}"),
            *("-drive", f"if=pflash,format=raw,unit=1,file={self.directory / 'variables'}"),
        )
        command = qemu_command(self.machine, tools, self.machine.topology, boot)
        # Firmware that guards its variables does so in system management mode.
        command = [argument.replace("q35,", "q35,smm=on,") for argument in command]
        log = self.machine.directory / "qemu.log"
        start_recorded(command, self.machine.qemu_record, log, tools.environment)
        self.machine.wait_for_ssh(timeout=FIRMWARE_SECONDS)

    def _variables(self, enrolled: tuple[str, ...]) -> None:
        boot = f"{self.directory / 'boot'}.pem"
        keys = ["--set-pk", OWNER, boot, "--add-kek", OWNER, boot]
        for name in enrolled:
            keys += ["--add-db", OWNER, f"{self.directory / name}.pem"]
        _tool("virt-fw-vars", "-i", str(VARIABLES), "-o", str(self.directory / "variables"), *keys, "--sb")


def _tool(*command: str) -> None:
    subprocess.run(command, env={**os.environ, "PATH": PATH}, check=True, capture_output=True)


def _stop(machine: Machine) -> None:
    machine.run("sync")
    machine.cut_power()


def _fetch(machine: Machine, path: str, to: Path) -> None:
    to.write_bytes(subprocess.run(machine.ssh_command(f"cat {path}"), check=True, capture_output=True).stdout)


@pytest.fixture(scope="module")
def firmware(provisioned: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firmware]:
    """The machine with a module that DKMS has signed, ready to be started under Secure Boot; put back afterwards."""
    missing = [f"{tool} ({package})" for tool, package in TOOLS.items() if shutil.which(tool, path=PATH) is None]
    missing += [f"{path} (ovmf of Debian)" for path in (CODE, VARIABLES) if not path.exists()]
    if missing:
        reason = f"Secure Boot cannot be tried here without {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("firmware")
    kernel = said(provisioned, "uname", "-r")
    provisioned.run("sh", "-c", SIGN.format(kernel=kernel), timeout=1200)
    _fetch(provisioned, f"/boot/vmlinuz-{kernel}", directory / "vmlinuz")
    _fetch(provisioned, f"/boot/initrd.img-{kernel}", directory / "initrd")
    _fetch(provisioned, "/var/lib/dkms/mok.pub", directory / "dkms.der")
    key, boot, dkms = (str(directory / name) for name in ("boot.key", "boot.pem", "dkms.pem"))
    _tool("openssl", "x509", "-inform", "DER", "-in", str(directory / "dkms.der"), "-out", dkms)
    made = ("-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=lab boot key")
    _tool("openssl", "req", "-x509", *made, "-keyout", key, "-out", boot)
    kernels = (str(directory / "vmlinuz.signed"), str(directory / "vmlinuz"))
    _tool("sbsign", "--key", key, "--cert", boot, "--output", *kernels)
    yield Firmware(provisioned, directory)
    provisioned.run("sync")
    provisioned.power_cycle()
    deploy(provisioned)


def failed(found: dict[str, dict[str, str]]) -> set[str]:
    return {code for code, finding in found.items() if finding["answer"] == "fail"}


def test_a_key_that_is_not_enrolled_is_named_and_the_kernel_refuses_what_it_signed(firmware: Firmware) -> None:
    machine = firmware.machine
    firmware.start("boot")
    assert "[integrity]" in said(machine, "cat", "/sys/kernel/security/lockdown")
    status, found = findings(machine)
    assert status == 1
    assert {"METIS-235", "METIS-240"} <= failed(found)
    assert "is signed by a key that is not enrolled" in found["METIS-240"]["seen"]
    assert "mokutil --import /var/lib/dkms/mok.pub" in found["METIS-240"]["next"]
    assert "foreseen: " in ours(machine, "plan").stderr
    assert "Key was rejected by service" in machine.run("modprobe", "metis", check=False).stderr


def test_an_enrolled_key_has_the_card_work_under_secure_boot(firmware: Firmware) -> None:
    firmware.start("boot", "dkms")
    assert "[integrity]" in said(firmware.machine, "cat", "/sys/kernel/security/lockdown")
    assert said(firmware.machine, "lsmod").count("metis ") == 1
    assert findings(firmware.machine) == (0, {})


def test_an_unsigned_module_is_refused_as_was_said(firmware: Firmware) -> None:
    machine = firmware.machine
    machine.run("sh", "-c", CUT_OFF)
    try:
        status, found = findings(machine)
        assert status == 1
        assert failed(found) == {"METIS-235"}
        assert "is not signed" in found["METIS-235"]["seen"]
        machine.run("modprobe", "-r", "metis")
        assert {"METIS-235", "METIS-240"} <= failed(findings(machine)[1])
        assert "Key was rejected by service" in machine.run("modprobe", "metis", check=False).stderr
    finally:
        machine.run("sh", "-c", RESTORE)
    machine.run("modprobe", "metis")
    assert findings(machine) == (0, {})
