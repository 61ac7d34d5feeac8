"""The driver by a package, ours or the vendor's: what the deploy still writes, and what it installs when."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from metis_provision.desired import driver
from metis_provision.desired.access import CARD_NAMES, PACKAGED_RULES, UDEV_RULES
from metis_provision.desired.difference import Difference, difference
from metis_provision.desired.payloads import host_path
from metis_provision.desired.platforms import platforms
from metis_provision.desired.state import desired_state
from metis_provision.model.artifact import Concern, DesiredState, Fate
from metis_provision.model.errors import UserError
from metis_provision.model.receipt import Receipt, ReceiptFile, ReceiptPayload
from metis_provision.model.settings import Settings, settings_from
from metis_provision.model.survey import (
    Account,
    DkmsBuild,
    Driver,
    FileState,
    Host,
    Kernel,
    ModuleFile,
    Past,
    SourceTree,
    Survey,
)
from metis_provision.operations import commands

RELEASE = "6.12.63+deb13-amd64"
PIN = {"driver_version": "1.6.2", "driver_sha256": "d" * 64, "kernel_hook": False}
OURS = Settings(driver="package", driver_source="metis-dkms_1.6.2-1_all.deb", **PIN)
VENDORS = Settings(driver="vendor", driver_source="metis-dkms_1.6.2_all.deb", **PIN)
NOTED = Receipt(payloads={"driver": ReceiptPayload(name="driver", version="1.6.2", sha256="d" * 64)})
BARE = Survey(
    host=Host(os_release={"ID": "debian", "VERSION_ID": "13"}, architecture="x86_64", uid=0, epoch=1_900_000_000),
    kernels=(Kernel(RELEASE, running=True, headers=False),),
    driver=Driver(loaded=False),
    nodes=(),
    past=Past(),
)
MODULE = f"/lib/modules/{RELEASE}/updates/dkms/metis.ko.xz"
INSTALLED = replace(
    BARE,
    kernels=(Kernel(RELEASE, running=True, headers=True, module_path=MODULE, vermagic=f"{RELEASE} SMP"),),
    dkms=(DkmsBuild("metis", "1.6.2", RELEASE, "x86_64", "installed"),),
    packages={"metis-dkms": "1.6.2-1", "dkms": "3", "kmod": "1", "acl": "2"},
    groups={"axelera": Account("axelera", 999)},
    past=Past(
        sources=(SourceTree("/usr/src/metis-1.6.2", "1.6.2", True, "metis-dkms"),),
        modules=(ModuleFile(MODULE, RELEASE, None),),
    ),
)


def paths(state: DesiredState) -> set[str]:
    return {file.path for file in state.files if file.concern is Concern.ACCESS}


def left(survey: Survey, settings: Settings = OURS, receipt: Receipt = NOTED) -> Difference:
    return difference(settings, desired_state(settings, survey), survey, receipt)


def on(name: str, settings: Settings) -> DesiredState:
    example = next(platform for platform in platforms() if platform.name == name).example
    tools = {"udevadm": "/sbin/udevadm"}
    host = replace(BARE.host, os_release=example.os_release, tools=tools)
    return desired_state(settings, replace(BARE, host=host))


def test_what_our_package_carries_is_not_written() -> None:
    state = desired_state(OURS, BARE)
    assert paths(state) == set()
    assert state.node_rules == PACKAGED_RULES
    assert state.groups, "it has to be there before the service users join it"


@pytest.mark.parametrize("deviation", [{"group": "video"}, {"node_mode": "0600"}, {"cards": 0}])
def test_rules_that_deviate_are_written_over_the_package_s(deviation: dict[str, object]) -> None:
    state = desired_state(OURS.model_copy(update=deviation), BARE)
    assert paths(state) == {UDEV_RULES}
    assert state.node_rules == UDEV_RULES
    (rules,) = [file for file in state.files if file.path == UDEV_RULES]
    assert b"/usr/lib/udev/metis-card-names" in rules.content
    assert CARD_NAMES.encode() not in rules.content


def test_the_vendor_s_package_carries_nothing_that_we_do_not_override() -> None:
    state = desired_state(VENDORS, BARE)
    assert paths(state) == {UDEV_RULES, CARD_NAMES, driver.MODULES_LOAD}
    assert state.node_rules == UDEV_RULES


@pytest.mark.parametrize("settings", [OURS, VENDORS])
def test_a_bare_host_gets_headers_then_the_package_then_a_build_for_every_kernel(settings: Settings) -> None:
    reasons = left(BARE, settings, Receipt()).reasons
    assert f"install linux-headers-{RELEASE}" in reasons[Concern.PACKAGES]
    assert reasons[Concern.DRIVER] == (
        "install package metis-dkms 1.6.2",
        f"build for {RELEASE} (after its headers)",
    )


def test_a_host_with_the_package_needs_nothing() -> None:
    assert left(INSTALLED).driver_package is None
    assert left(INSTALLED).driver is None
    assert desired_state(OURS, INSTALLED).leftovers == ()
    assert desired_state(OURS, INSTALLED).blockers == ()


@pytest.mark.parametrize(
    ("installed", "receipt"),
    [("1.5.6-1", NOTED), ("1.6.20-1", NOTED), ("1.6.2-1", Receipt())],
    ids=["another version", "a longer version", "a package we did not hand over"],
)
def test_another_package_is_replaced(installed: str, receipt: Receipt) -> None:
    survey = replace(INSTALLED, packages={**INSTALLED.packages, "metis-dkms": installed})
    change = left(survey, receipt=receipt).driver_package
    assert change is not None
    assert change.reasons == ("replace the installed package by metis-dkms 1.6.2",)
    assert change.upload


def test_a_payload_that_is_there_is_not_sent_again() -> None:
    path = host_path(desired_state(OURS, BARE).driver_package.payload)
    survey = replace(BARE, files={path: FileState(path, "file", "d" * 64, "0600", "root", "root")})
    change = left(survey, receipt=Receipt()).driver_package
    assert change is not None
    assert not change.upload


def test_files_that_the_package_takes_over_stay_until_it_is_there() -> None:
    entry = ReceiptFile(sha256="0", mode="0644", owner="root", group="root")
    receipt = Receipt(files=dict.fromkeys((UDEV_RULES, CARD_NAMES, driver.MODULES_LOAD), entry))
    before = left(BARE, receipt=receipt).files.get(Concern.ACCESS)
    assert before is None or before.surplus == ()
    after = left(INSTALLED, receipt=receipt).files[Concern.ACCESS]
    assert set(after.surplus) == {UDEV_RULES, CARD_NAMES, driver.MODULES_LOAD}


def test_an_older_package_s_own_tree_is_its_upgrade_s_business() -> None:
    past = Past(sources=(SourceTree("/usr/src/metis-1.5.6", "1.5.6", True, "metis-dkms"),))
    builds = (DkmsBuild("metis", "1.5.6", RELEASE, "x86_64", "installed"),)
    assert desired_state(OURS, replace(INSTALLED, past=past, dkms=builds)).leftovers == ()


def test_a_tree_that_nobody_owns_makes_way_for_the_package() -> None:
    past = Past(sources=(SourceTree("/usr/src/metis-1.6.2", "1.6.2", True, None),))
    (leftover,) = desired_state(OURS, replace(BARE, past=past)).leftovers
    assert (leftover.path, leftover.fate) == ("/usr/src/metis-1.6.2", Fate.REPLACED)
    change = left(replace(BARE, past=past), receipt=Receipt()).driver_package
    assert change is not None
    assert change.tree == "/usr/src/metis-1.6.2"
    assert "METIS_TREE=/usr/src/metis-1.6.2" in commands.driver_package_job(change, "")


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("fedora", OURS, "and fedora installs .rpm: make one with metis-provision package"),
        ("arch", OURS, "and arch installs .pkg.tar.zst"),
        ("gentoo", OURS, "gentoo installs no package files: emerge what metis-provision package writes"),
        ("fedora", VENDORS, "the vendor has no package of the driver for fedora"),
        ("debian", OURS.model_copy(update={"driver_source": "driver.tar.gz"}), "for a tarball"),
    ],
)
def test_a_package_that_the_host_cannot_install_is_refused_beforehand(
    name: str, settings: Settings, sentence: str
) -> None:
    assert any(sentence in blocker for blocker in on(name, settings).blockers)


def test_alpine_needs_no_dkms_for_our_package() -> None:
    state = on("alpine", OURS.model_copy(update={"driver_source": "metis-src-1.6.2-r1.apk"}))
    assert not any("dkms" in blocker for blocker in state.blockers)
    assert state.dkms is None
    assert state.driver_package is not None
    assert state.driver_package.name == "metis-src"


@pytest.mark.parametrize("source", ["package", "vendor"])
def test_a_package_must_be_pinned_too(source: str) -> None:
    with pytest.raises(UserError, match="metis_driver_sha256 is missing"):
        settings_from({"metis_driver": source, "metis_driver_version": "1", "metis_driver_source": "x.deb"}, "host")


def guard(tmp_path: Path, settings: Settings, content: bytes, active: bool) -> subprocess.CompletedProcess[str]:
    """Run the job's part before the package manager, with a systemctl that says whether the vendor's server runs."""
    package = tmp_path / "package"
    package.write_bytes(content)
    systemctl = tmp_path / "bin/systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(f"#!/bin/sh\nexit {0 if active else 3}\n")
    systemctl.chmod(0o755)
    change = left(INSTALLED, settings, Receipt()).driver_package
    assert change is not None
    script = commands.driver_package_job(change, "echo installed\n")
    script = script.replace(host_path(change.package.payload), str(package)).replace(
        "/run/systemd/system", str(tmp_path)
    )
    command = ["sh", "-c", script]
    environment = {"PATH": f"{systemctl.parent}:/usr/bin:/bin"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def pinned(settings: Settings, content: bytes) -> Settings:
    return settings.model_copy(update={"driver_sha256": hashlib.sha256(content).hexdigest()})


def test_the_vendor_s_package_waits_for_the_server_to_be_stopped(tmp_path: Path) -> None:
    done = guard(tmp_path, pinned(VENDORS, b"x"), b"x", active=True)
    assert done.returncode == 1
    assert "run systemctl stop axsystemserver.service, then run again" in done.stderr
    assert "installed" not in done.stdout


@pytest.mark.parametrize(("settings", "active"), [(VENDORS, False), (OURS, True)])
def test_otherwise_it_is_installed(settings: Settings, active: bool, tmp_path: Path) -> None:
    done = guard(tmp_path, pinned(settings, b"x"), b"x", active)
    assert (done.returncode, done.stdout) == (0, "installed\n"), done.stderr


def test_a_package_that_is_not_the_pinned_one_is_not_installed(tmp_path: Path) -> None:
    done = guard(tmp_path, pinned(OURS, b"x"), b"y", active=False)
    assert done.returncode == 1
    assert "is not the pinned package: run again to send it anew" in done.stderr
    assert "installed\n" not in done.stdout
