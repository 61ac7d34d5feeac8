"""What a Raspberry Pi twin's firmware makes of config.txt: port, device tree, what it loads."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from metis_provision.catalog.carriers import carrier
from metis_provision.desired.config_txt import board_of, edited
from metis_provision.lab.platforms import Kind
from metis_provision.lab.power import under
from metis_provision.lab.raspberry import (
    BOARDS,
    CONFIG,
    OVERLAYS,
    PORT_NODE,
    Firmware,
    read_config,
    tree_edits,
)
from metis_provision.lab.topology import ONE_CARD, Link

PI5, CM5 = BOARDS[Kind.PI5], BOARDS[Kind.CM5]


@pytest.mark.parametrize(
    ("text", "generation"),
    [
        ("", None),
        (CONFIG, None),
        ("dtparam=pciex1_gen=3", None),
        ("dtparam=pciex1", 2),
        ("dtparam=nvme", 2),
        ("dtparam=pciex1=on\r\ndtparam=pciex1_gen=3\r\n", 3),
        ("dtparam=pciex1,pciex1_gen=1", 1),
        ("dtparam=pciex1\ndtparam=pciex1_gen=9", 2),
        ("dtparam=pciex1\ndtparam=pciex1=off", None),
        ("  dtparam=pciex1", 2),
        ("# dtparam=pciex1", None),
        ("[pi4]\ndtparam=pciex1", None),
        ("[pi4]\n[all]\ndtparam=pciex1", 2),
        ("[pi5]\ndtparam=pciex1", 2),
        ("[cm5]\ndtparam=pciex1", None),
        ("[none]\ndtparam=pciex1", None),
        ("[0x12345678]\ndtparam=pciex1", None),
        ("dtoverlay=pcie-32bit-dma-pi5\ndtparam=pciex1", 2),
        ("dtparam=pciex1\ndtoverlay=pcie-32bit-dma-pi5\n[all]\ndtparam=pciex1_gen=1", 1),
        ("dtoverlay=pcie-32bit-dma-pi5\ndtoverlay=\ndtparam=pciex1", 2),
    ],
)
def test_config_txt_sets_up_the_port(text, generation):
    firmware = read_config(text, PI5)
    assert firmware.generation == generation
    assert firmware.link == (Link(generation=generation, lanes=1) if generation else None)


def test_a_compute_module_sees_its_own_filter_and_its_familys():
    assert read_config("[cm5]\ndtparam=pciex1", CM5).generation == 2
    assert read_config("[pi5]\ndtparam=pciex1", CM5).generation == 2


@pytest.mark.parametrize("kind", [Kind.PI5, Kind.CM5])
def test_what_a_deploy_writes_for_the_carrier_is_what_the_firmware_understands(kind):
    board = BOARDS[kind]
    seen = board_of(board.model)
    boot = carrier(board.carrier).boot
    lines = [*boot.lines, *(f"dtoverlay={overlay.name}" for overlay in boot.overlays if overlay.needed)]
    firmware = read_config(edited(CONFIG.encode(), lines, seen).decode(), board)
    assert firmware.generation == 3
    assert firmware.overlays == ("pcie-32bit-dma-pi5",)
    assert set(firmware.overlays) <= OVERLAYS.keys()


@pytest.mark.parametrize(
    ("text", "kernel", "initramfs"),
    [
        ("", "kernel_2712.img", None),
        (CONFIG, "kernel_2712.img", "initramfs_2712"),
        ("kernel=vmlinuz\ninitramfs initrd followkernel", "vmlinuz", "initrd"),
    ],
)
def test_what_is_loaded(text, kernel, initramfs):
    firmware = read_config(text, PI5)
    assert (firmware.kernel, firmware.initramfs) == (kernel, initramfs)


def test_overlays_are_loaded_in_order_and_without_their_parameters():
    text = "dtoverlay=one,a=b\ndtoverlay=two:c=d\ndtoverlay=\n[pi4]\ndtoverlay=three"
    assert read_config(text, PI5).overlays == ("one", "two")


def test_the_bus_is_what_the_firmware_set_up():
    (slot,) = under(Firmware(generation=3), ONE_CARD).ports
    assert (slot.link, slot.card) == (Link(generation=3, lanes=1), "m2")
    assert under(Firmware(generation=None), ONE_CARD).cards == {}


BASE = """\
/dts-v1/;
/ {
    #address-cells = <2>;
    #size-cells = <2>;
    model = "linux,dummy-virt";
    compatible = "linux,dummy-virt";
    pcie@10000000 {
        #address-cells = <3>;
        #size-cells = <2>;
        dma-coherent;
    };
};
"""


@pytest.fixture
def tree(tmp_path):
    """A device tree such as QEMU writes, as far as the edits see it."""
    for tool in ("dtc", "fdtput", "fdtget", "fdtoverlay"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} (Debian: device-tree-compiler) is not installed")
    path = tmp_path / "tree.dtb"
    compile_tree(BASE, path)
    return path


def compile_tree(source, path):
    subprocess.run(["dtc", "-q", "-@", "-O", "dtb", "-o", path], input=source, text=True, check=True)


def value(tree, node, name):
    done = subprocess.run(["fdtget", tree, node, name], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def edit(tree, firmware):
    for arguments in tree_edits(CM5, firmware, str(tree)):
        subprocess.run(["fdtput", *arguments], check=True)


def test_the_tree_says_which_board_it_is_and_what_the_port_can_do(tree):
    edit(tree, Firmware(generation=3))
    assert value(tree, "/", "model") == "Raspberry Pi Compute Module 5 Rev 1.0"
    assert value(tree, "/", "compatible") == "raspberrypi,5-compute-module brcm,bcm2712"
    assert value(tree, "/__symbols__", "pciex1") == PORT_NODE
    assert (value(tree, PORT_NODE, "status"), value(tree, PORT_NODE, "max-link-speed")) == ("okay", "3")


def test_a_port_that_is_off_is_disabled(tree):
    edit(tree, Firmware(generation=None))
    assert (value(tree, PORT_NODE, "status"), value(tree, PORT_NODE, "max-link-speed")) == ("disabled", None)


def test_the_overlay_finds_the_port(tree, tmp_path):
    edit(tree, Firmware(generation=2))
    overlay, merged = tmp_path / "overlay.dtbo", tmp_path / "merged.dtb"
    compile_tree(OVERLAYS["pcie-32bit-dma-pi5"], overlay)
    subprocess.run(["fdtoverlay", "-i", tree, "-o", merged, overlay], check=True)
    assert value(merged, PORT_NODE, "dma-ranges") == f"{0x02000000} 0 0 0 0 1 0"
