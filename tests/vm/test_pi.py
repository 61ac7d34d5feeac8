"""A Raspberry Pi twin from its fresh image to a card that works on the next kernel: the carrier's path, on arm64."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from guest import findings, is_active, pyinfra, reported, said, shell
from test_kernel_update import ADD_BACKPORTS, INSTALL, changed_by

from metis_provision.lab.card.control import CardControl
from metis_provision.lab.lifecycle import Wish, down, up
from metis_provision.lab.machine import Machine
from metis_provision.lab.platforms import Kind
from metis_provision.lab.requirements import missing_twin_requirements

# An emulated arm64 guest takes several times as long as one of this machine's kind.
pytestmark = [pytest.mark.vm, pytest.mark.full, pytest.mark.timeout(7200)]

NO_HEAP = {"METIS-330"}
"""Debian's arm64 kernel has no DMA heap: this must be said, and nothing else."""
CARD = "1f9d:1100"
"""Of the contract; looked for with the host's own lspci."""
CONFIG = "/boot/firmware/config.txt"
LINK = (
    "lspci -vv -d {} | "
    r"sed -n 's/.*\(LnkCap\|LnkSta\):.*Speed \([0-9.]*GT.s\).*Width \(x[0-9]*\).*/\1 \2 \3/p'"
)
PORT = "1b36:000c"
"""QEMU's PCIe root port."""


@pytest.fixture(scope="module")
def fresh(lab: None) -> Iterator[Machine]:
    """A Compute Module 5 as its image comes: config.txt says nothing of the port."""
    if missing := missing_twin_requirements():
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("; ".join(missing))
    made = up(Wish(name="twin", kind=Kind.CM5))
    yield made
    down(made.name)


@pytest.fixture(scope="module")
def twin(fresh: Machine) -> Machine:
    """The twin once a deploy has set everything up and rebooted it."""
    before = fresh.boot_id()
    # As on a real one: the bus is scanned before the card's firmware has come up.
    CardControl(fresh.card().control).fault("ff-until-rescan", on=True)
    status, host = reported(fresh, "apply", "-y", reboot="if-needed", reboot_timeout=1800)
    assert status == 1, host
    assert {finding["code"] for finding in host["findings"] if finding["answer"] == "fail"} == NO_HEAP, host
    assert fresh.boot_id() != before
    return fresh


def amiss(twin: Machine) -> tuple[int, set[str]]:
    """Exit status of a verification, and the codes that say no or do not know."""
    status, found = findings(twin)
    return status, {code for code, finding in found.items() if finding["answer"] != "warn"}


def test_a_fresh_twin_is_a_raspberry_pi_without_a_pcie_port(fresh: Machine) -> None:
    assert said(fresh, "uname", "-m") == "aarch64"
    assert said(fresh, "cat", "/proc/device-tree/model").startswith("Raspberry Pi Compute Module 5")
    assert said(fresh, "findmnt", "-n", "-o", "FSTYPE", "/boot/firmware") == "vfat"
    assert "pciex1" not in said(fresh, "cat", CONFIG)
    assert said(fresh, "ls", "/sys/bus/pci/devices") == ""


def test_nothing_but_the_heap_of_its_kernel_is_amiss_after_the_deploy(twin: Machine) -> None:
    assert amiss(twin) == (1, NO_HEAP)
    assert said(twin, "ls", "/dev/dma_heap", check=False) == ""
    assert "CONFIG_DMABUF_HEAPS=y" not in said(twin, "sh", "-c", "cat /boot/config-$(uname -r)")


def test_the_port_is_what_config_txt_says(twin: Machine) -> None:
    assert {"dtparam=pciex1", "dtparam=pciex1_gen=3"} <= set(said(twin, "cat", CONFIG).splitlines())
    assert said(twin, "sh", "-c", LINK.format(PORT)).splitlines() == ["LnkCap 8GT/s x1", "LnkSta 8GT/s x1"]
    assert said(twin, "sh", "-c", LINK.format(f"{CARD}")).splitlines() == ["LnkCap 8GT/s x4", "LnkSta 8GT/s x1"]


def test_the_overlay_was_applied_by_the_firmware(twin: Machine) -> None:
    port = said(twin, "sh", "-c", "tr -d '\\0' </proc/device-tree/__symbols__/pciex1")
    assert said(twin, "sh", "-c", f"wc -c </proc/device-tree{port}/dma-ranges") == "28"


def test_the_driver_was_built_and_works_with_one_interrupt(twin: Machine) -> None:
    release = said(twin, "uname", "-r")
    assert f"metis/1.6.2, {release}, aarch64: installed" in said(twin, "dkms", "status")
    assert said(twin, "cat", "/sys/module/metis/parameters/single_msi") in {"1", "Y"}
    assert "MSI registered" in said(twin, "sh", "-c", "journalctl -b -k | grep -F axl")
    assert said(twin, "runuser", "-u", "operator", "-g", "axelera", "--", "axdevice").startswith("Device 0: metis-")


def test_the_card_was_found_again_after_its_firmware_came_up(twin: Machine) -> None:
    assert is_active(twin, "axelera-rescan.service")
    assert "vmsi not available" in said(twin, "journalctl", "-b", "-k", "-o", "cat")
    assert "vmsi configured" in said(twin, "journalctl", "-b", "-k", "-o", "cat").split("vmsi not available")[-1]


def test_dracut_took_the_module_in_by_its_own_check(twin: Machine) -> None:
    image = f"/boot/initrd.img-{said(twin, 'uname', '-r')}"
    held = said(twin, "lsinitrd", image, timeout=600)
    assert "usr/lib/metis-provision/inputs-" in held
    assert "rpi-hardware" in said(twin, "lsinitrd", "-m", image, timeout=600)
    assert said(twin, "cmp", image, "/boot/firmware/initramfs_2712", check=False) == ""


def test_a_second_run_changes_nothing(twin: Machine) -> None:
    boot = twin.boot_id()
    status, host = reported(twin, "plan", reboot="if-needed")
    assert status == 0, host
    assert twin.boot_id() == boot


def test_a_slower_port_is_slower_after_the_reboot_and_without_its_line_there_is_none(twin: Machine) -> None:
    kept = shell(twin, f"cat {CONFIG}").stdout
    try:
        assert shell(twin, f"printf '[all]\\ndtparam=pciex1_gen=1\\n' >>{CONFIG}").returncode == 0
        twin.reboot()
        assert said(twin, "sh", "-c", LINK.format(PORT)).splitlines() == ["LnkCap 2.5GT/s x1", "LnkSta 2.5GT/s x1"]
        assert said(twin, "sh", "-c", LINK.format(CARD)).splitlines()[1] == "LnkSta 2.5GT/s x1"
        assert findings(twin)[1]["METIS-022"]["answer"] == "fail"
        assert shell(twin, f"printf 'dtparam=pciex1=off\\n' >>{CONFIG}").returncode == 0
        twin.reboot()
        assert said(twin, "ls", "/sys/bus/pci/devices") == ""
        assert findings(twin)[1]["METIS-101"]["answer"] == "fail"
    finally:
        assert shell(twin, f"cat >{CONFIG}", kept).returncode == 0
        twin.reboot()
    assert amiss(twin) == (1, NO_HEAP)


def test_a_kernel_update_is_served_before_its_proven_reboot(twin: Machine) -> None:
    running = said(twin, "uname", "-r")
    newest = said(
        twin, "sh", "-c", ADD_BACKPORTS.replace("linux-image-cloud-amd64", "linux-image-cloud-arm64"), timeout=1200
    ).splitlines()[-1]
    assert newest != running
    twin.run("sh", "-c", INSTALL.format(kernel=newest), timeout=3600)
    status, found = findings(twin)
    assert status == 1
    assert newest in found["METIS-231"]["seen"]
    done = pyinfra(twin, "-y")
    # As soon as its headers arrive, Debian's DKMS builds for the new kernel; its image is looked into, once.
    assert changed_by(done) == [
        "Install what the driver's build needs",
        "Build the initramfs of every kernel anew",
    ], done.stderr
    assert f"the initramfs of {newest} holds what it must" in done.stderr
    assert f"metis/1.6.2, {newest}, aarch64: installed" in said(twin, "dkms", "status")
    before = twin.boot_id()
    assert twin.reboot() != before
    assert said(twin, "uname", "-r") == newest
    assert amiss(twin)[1] <= NO_HEAP
    assert "LnkSta 8GT/s x1" in said(twin, "sh", "-c", LINK.format(CARD))
