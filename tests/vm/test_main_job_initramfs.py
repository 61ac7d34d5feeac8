"""The driver in the images that boot: built for each kernel, listed by the guest's own tool, booted, and green."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from guest import changed_nothing, deploy, findings, pyinfra, said

from metis_provision.lab.lifecycle import copy_disk
from metis_provision.lab.machine import Machine
from metis_provision.lab.qmp import Qmp

pytestmark = pytest.mark.full

SETTINGS: dict[str, object] = {"initramfs": "driver", "module_options": {"dma_timeout": 3}}
LONG_SECONDS = 900.0

# The running kernel under another release, as a kernel that somebody built by hand: with everything but the driver.
SECOND_KERNEL = """
release=$(uname -r)
cp -a "/lib/modules/$release" "/lib/modules/$release-second"
rm -r "/lib/modules/$release-second/updates/dkms"
for file in vmlinuz initrd.img config System.map; do cp -a "/boot/$file-$release" "/boot/$file-$release-second"; done
depmod "$release-second"
"""


@pytest.fixture(scope="module")
def kept(provisioned: Machine) -> Iterator[Machine]:
    """The shared machine; afterwards it has the disk it had before, and boots with it."""
    copy = provisioned.directory / "kept.raw"
    provisioned.run("sync")
    with Qmp(provisioned.qmp) as qemu:
        qemu.execute("stop")
        copy_disk(provisioned.disk, copy)
        qemu.execute("cont")
    yield provisioned
    provisioned.processes()["qemu"].terminate()
    copy.replace(provisioned.disk)
    provisioned.power_cycle()


@pytest.fixture(scope="module")
def built(kept: Machine) -> Machine:
    """A machine whose images were built with the driver, each of them anew."""
    kept.run("sh", "-ec", SECOND_KERNEL, timeout=LONG_SECONDS)
    before = digests(kept)
    done = deploy(kept, **SETTINGS)
    for release in releases(kept):
        assert f"building the initramfs of {release}" in done.stdout + done.stderr
    assert not set(digests(kept).values()) & set(before.values())
    return kept


def releases(machine: Machine) -> list[str]:
    return said(machine, "ls", "/lib/modules").split()


def image_of(release: str) -> str:
    return f"/boot/initrd.img-{release}"


def digests(machine: Machine) -> dict[str, str]:
    """Checksums of the images by their paths."""
    lines = said(machine, "sha256sum", *map(image_of, releases(machine))).splitlines()
    return {path: digest for digest, path in (line.split() for line in lines)}


def said_at(machine: Machine, pattern: str) -> float:
    """Seconds after the start of the kernel at which its log first says ``pattern``."""
    log = machine.run("dmesg").stdout
    found = re.search(rf"^\[ *([0-9.]+)\] .*{pattern}", log, re.MULTILINE)
    assert found, log
    return float(found[1])


def test_each_kernels_image_holds_driver_rules_and_options(built: Machine) -> None:
    assert said(built, "readlink", "-f", "/initrd.img") == image_of(said(built, "uname", "-r"))
    assert len(releases(built)) == 2
    for release in releases(built):
        found = built.run("lsinitramfs", image_of(release), timeout=LONG_SECONDS).stdout.splitlines()
        modules = rf"usr/lib/modules/{re.escape(release)}/updates/dkms/metis\.ko(\.xz)?"
        assert [path for path in found if re.fullmatch(modules, path)], release
        assert {"etc/modprobe.d/metis.conf", "etc/udev/rules.d/99-axelera.rules"} <= set(found)


def test_the_driver_comes_from_the_image_and_the_card_is_green(built: Machine) -> None:
    before = built.boot_id()
    assert built.reboot() != before
    # The kernel's own log: there was no root file system yet that the driver or its options could have come from.
    assert said_at(built, "init OK") < said_at(built, r"EXT4-fs .* mounted filesystem")
    assert said(built, "cat", "/sys/module/metis/parameters/dma_timeout") == "3"
    status, found = findings(built, **SETTINGS)
    assert status == 0
    # That the second kernel is the first one under another name does not escape verification.
    assert [name for name, finding in found.items() if "-second" not in finding["seen"]] == []


def test_a_second_run_builds_nothing(built: Machine) -> None:
    images = digests(built)
    again = deploy(built, **SETTINGS)
    assert changed_nothing(again)
    assert "building" not in again.stdout + again.stderr
    plan = pyinfra(built, "--dry", **SETTINGS)
    rows = [row.split()[-2:] for row in plan.stderr.splitlines() if row.strip().startswith("Metis | ")]
    assert rows
    assert all(row == ["-", "-"] for row in rows)
    assert digests(built) == images
