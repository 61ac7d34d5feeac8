"""Which lines a host's config.txt gets, on which hosts, and what refuses before anything is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from metis_provision.catalog.carriers import carriers
from metis_provision.catalog.contract import contract
from metis_provision.desired import boot, driver
from metis_provision.desired.config_txt import board_of, edited
from metis_provision.desired.difference import Difference, difference
from metis_provision.desired.state import desired_state
from metis_provision.model.artifact import Concern
from metis_provision.model.receipt import Receipt
from metis_provision.model.settings import Settings, settings_mistakes
from metis_provision.model.survey import Boot, Driver, Host, PciFunction, Survey

PI5, CM5 = "Raspberry Pi 5 Model B Rev 1.0", "Raspberry Pi Compute Module 5 Rev 1.0"
DMA = "dtoverlay=pcie-32bit-dma-pi5"
GEN3 = ("dtparam=pciex1", "dtparam=pciex1_gen=3")
CONFIG = "/boot/firmware/config.txt"
STOCK = Boot(
    config_path=CONFIG,
    config="dtparam=audio=on\n[all]\n",
    mount_point="/boot/firmware",
    file_system="vfat",
    read_only=False,
    overlays=("pcie-32bit-dma-pi5", "vc4-kms-v3d"),
    configfs=False,
)


def settings(**values: Any) -> Settings:
    return Settings.model_validate({"driver": "none", "carrier": "rpi5-m2-hat-plus", **values})


def host(model: str | None = PI5, machine: str = "aarch64", container: str | None = None, **changes: Any) -> Survey:
    where = Host(os_release={"ID": "debian"}, architecture=machine, model=model, container=container, uid=0)
    return Survey(host=where, driver=Driver(), pci=(), boot=replace(STOCK, **changes))


def refusals(survey: Survey, **values: Any) -> list[str]:
    return list(boot.blockers(settings(**values), survey))


def left(survey: Survey, **values: Any) -> Difference:
    wanted = settings(**values)
    return difference(wanted, desired_state(wanted, survey), survey, Receipt())


def test_a_carrier_brings_its_lines() -> None:
    assert boot.lines(settings(), host()) == (*GEN3, DMA)
    assert boot.lines(settings(carrier="rpi5-dual-hat"), host()) == (GEN3[0], DMA)
    assert boot.lines(settings(carrier="generic"), host()) == ()


def test_an_overlay_that_is_not_needed_is_loaded_where_it_is_there() -> None:
    cruiser = settings(carrier="exaviz-cruiser")
    there = ("pcie-32bit-dma-pi5", "exaviz-cruiser", "axelera-metis")
    assert boot.lines(cruiser, host(CM5)) == (*GEN3, DMA)
    assert boot.lines(cruiser, host(CM5, overlays=there))[3:] == ("dtoverlay=exaviz-cruiser", "dtoverlay=axelera-metis")
    assert boot.lines(cruiser, host(CM5, overlays=there, configfs=True))[3:] == ("dtoverlay=exaviz-cruiser",)


def test_settings_add_replace_and_switch_off() -> None:
    assert boot.lines(settings(boot_lines=["arm_boost=1"]), host()) == (*GEN3, DMA, "arm_boost=1")
    assert boot.lines(settings(overlays=["vc4-kms-v3d"]), host()) == (*GEN3, "dtoverlay=vc4-kms-v3d")
    assert boot.lines(settings(overlays=[]), host()) == GEN3
    assert boot.lines(settings(boot_config=False, boot_lines=["arm_boost=1"]), host()) == ()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("boot_lines", ["[pi4]"], "metis_boot_lines.0 is not a line for config.txt"),
        ("boot_lines", ["arm_boost=1\ninclude x"], "metis_boot_lines.0 is not a line for config.txt"),
        ("boot_lines", ["arm_boost"], "metis_boot_lines.0 is not a line for config.txt"),
        ("boot_lines", ["a=" + "b" * 97], "metis_boot_lines.0 is not a line for config.txt"),
        ("overlays", ["../x"], "metis_overlays.0 is not the name of an overlay"),
        ("overlays", ["x.dtbo,y"], "metis_overlays.0 is not the name of an overlay"),
        ("reboot", "always", "metis_reboot input should be 'never' or 'if-needed'"),
        ("reboot_timeout", 5, "metis_reboot_timeout input should be greater than or equal to 30"),
        ("reboots_at_once", 0, "metis_reboots_at_once input should be greater than or equal to 1"),
        ("reboot_before", "", "metis_reboot_before string should have at least 1 character"),
    ],
)
def test_a_mistake_is_one_sentence(key: str, value: object, words: str) -> None:
    (mistake,) = settings_mistakes({"metis_driver": "none", f"metis_{key}": value})
    assert mistake.startswith(words)


def test_the_longest_line_the_firmware_reads_is_taken() -> None:
    assert settings(boot_lines=["a=" + "b" * 96]).boot_lines


@pytest.mark.parametrize(
    ("survey", "values", "words"),
    [
        (host(None, "x86_64"), {}, "for Raspberry Pi 5, and this host is x86_64 without a device-tree model"),
        (host(CM5), {}, f"for Raspberry Pi 5, and this host is {CM5}: correct it"),
        (host(), {"carrier": "x86-slot"}, "'x86-slot' is for x86_64, and this host is Raspberry Pi 5"),
        (host(None, "x86_64"), {"carrier": "generic", "boot_lines": ["a=1"]}, "metis_boot_lines is for a Raspberry Pi"),
        (host(None, "x86_64"), {"carrier": "generic", "overlays": ["a"]}, "metis_overlays is for a Raspberry Pi"),
        (host("Raspberry Pi 3 Model B"), {"carrier": "generic", "overlays": ["a"]}, "is for a Raspberry Pi 4 or 5"),
        (host(config_path=None, config=None), {}, "neither /boot/firmware nor /boot has a config.txt"),
        (host(config=None), {}, f"{CONFIG} could not be read"),
        (host(mount_point="/"), {}, "mount the boot partition at /boot/firmware"),
        (host(read_only=True), {}, "/boot/firmware is mounted read-only: mount -o remount,rw /boot/firmware"),
        (host(overlays=()), {}, "overlay pcie-32bit-dma-pi5 is not in /boot/firmware/overlays"),
        (host(overlays=None), {}, "overlay pcie-32bit-dma-pi5 is not in"),
        (host(), {"overlays": ["exaviz-cruiser"]}, "overlay exaviz-cruiser is not in"),
        (host(), {"boot_lines": ["dtoverlay=nope,x=1"]}, "overlay nope is not in"),
        (host(config="# metis-provision end\n"), {}, f"{CONFIG} holds half a block of ours"),
        (host(config="# metis-provision end\n"), {"boot_config": False}, f"{CONFIG} holds half a block of ours"),
        (host(config="a\0b"), {}, f"{CONFIG} is not a text the firmware can read"),
    ],
)
def test_what_cannot_be_had_is_refused_in_one_sentence(survey: Survey, values: dict[str, Any], words: str) -> None:
    (sentence,) = refusals(survey, **values)
    assert words in sentence
    assert sentence in desired_state(settings(**values), survey).blockers


@pytest.mark.parametrize(
    ("survey", "values"),
    [
        (host(), {}),
        (host(None, "x86_64"), {"carrier": "generic"}),
        (host(None, "x86_64", container="podman"), {}),
        (host("Raspberry Pi 3 Model B Rev 1.2"), {"carrier": "generic"}),
        (host(config_path=None, config=None), {"carrier": "generic"}),
        (host(read_only=True), {"carrier": "generic"}),
        (host(config="\n".join((*GEN3, DMA)), read_only=True), {}),
        (host(config="a\0b"), {"carrier": "generic"}),
        (replace(host(), boot=None), {}),
        (replace(host(), host=Host()), {}),
    ],
)
def test_nothing_is_refused_where_nothing_is_in_the_way(survey: Survey, values: dict[str, Any]) -> None:
    assert refusals(survey, **values) == []


def test_the_change_is_the_edited_file_and_says_so() -> None:
    change = left(host()).boot
    board = board_of(PI5)
    assert change is not None
    assert board is not None
    assert change.config.content == edited(b"dtparam=audio=on\n[all]\n", (*GEN3, DMA), board)
    assert left(host()).reasons[Concern.BOOT] == (f"put {GEN3[0]}, {GEN3[1]}, {DMA} into force in {CONFIG}",)


def test_a_file_that_was_edited_needs_nothing_and_is_given_back_when_nothing_is_wanted() -> None:
    change = left(host()).boot
    assert change is not None
    done = host(config=change.config.content.decode("latin-1"))
    assert left(done).boot is None
    for values in ({"carrier": "generic"}, {"boot_config": False}):
        back = left(done, **values).boot
        assert back is not None
        assert not back.block
        assert back.config.content == b"dtparam=audio=on\n[all]\n"
        assert back.reasons == (f"take our lines out of {CONFIG}",)


def test_bytes_outside_ascii_survive() -> None:
    change = left(host(config="# \xe9t\xe9\r\n")).boot
    assert change is not None
    assert change.config.content.startswith(b"# \xe9t\xe9\r\n")


def test_a_reboot_is_planned_only_if_needed_and_allowed() -> None:
    assert left(host()).reboot is None
    planned = left(host(), reboot="if-needed").reboot
    assert planned is not None
    assert planned.changed == (CONFIG,)
    done = host(config="\n".join((*GEN3, DMA)))
    assert left(done, reboot="if-needed").reboot is None
    pending = replace(done, boot=replace(done.boot, changed=(CONFIG,)))
    assert left(pending, reboot="if-needed").reasons[Concern.REBOOT] == (
        f"reboot: {CONFIG} is not what the host booted with",
    )
    assert left(pending).reboot is None
    container = replace(pending, host=replace(pending.host, container="podman"))
    assert left(container, reboot="if-needed").reboot is None


def test_the_driver_is_not_loaded_before_the_boot_that_brings_the_card() -> None:
    assert left(host()).card is None
    with_card = replace(host(), pci=(PciFunction("0001:01:00.0", "1f9d", "1100", "120000"),))
    assert left(with_card).card is not None
    done = host(config="\n".join((*GEN3, DMA)))
    assert left(done).card is not None


def test_the_carriers_options_are_the_drivers_and_the_operators_win() -> None:
    assert driver.module_options(settings()) == {"single_msi": 1}
    assert driver.module_options(settings(module_options={"single_msi": 0, "dma_poll": 1})) == {
        "single_msi": 0,
        "dma_poll": 1,
    }
    assert driver.module_options(settings(carrier="generic")) == {}
    files = {file.path: file.content for file in driver.files(settings())}
    assert b"options metis single_msi=1" in files[driver.MODPROBE]


@pytest.mark.parametrize("name", carriers())
def test_what_the_catalogue_says_could_be_said_in_settings_too(name: str) -> None:
    entry = carriers()[name]
    needs = entry.boot
    assert set(entry.module_options) <= {parameter.name for parameter in contract().parameters}
    if needs is not None:
        assert entry.models, "config.txt is a Raspberry Pi's"
        assert all(board_of(f"{model} Rev 1.0") for model in entry.models)
        settings(boot_lines=list(needs.lines), overlays=[overlay.name for overlay in needs.overlays])
