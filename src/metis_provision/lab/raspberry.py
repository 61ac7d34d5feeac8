"""What a Raspberry Pi's boot firmware makes of config.txt, as far as a card notices: port, device tree, kernel.

Written from Raspberry Pi's documentation and not from ``desired.config_txt``, so that the two share no error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from metis_provision.lab.platforms import Kind
from metis_provision.lab.topology import Link

PORT_NODE = "/pcie@10000000"
"""The PCIe controller in the device tree of QEMU's virt machine."""
PORT_SYMBOL = "pciex1"
"""What Raspberry Pi's device trees call the external port."""
PORT_PHANDLE = 0x7E57
"""Any number that QEMU's device tree, which counts from 0x8000, does not use: overlays find the port by it."""
LANES: Literal[1] = 1
"""The external port of a Raspberry Pi 5 has one."""

_ON = frozenset({"on", "true", "yes", "y", "1", "okay"})
_FILTER = re.compile(r"\[(.*)\]")


@dataclass(frozen=True, slots=True)
class Board:
    """A board: what its device tree says, the filters of config.txt that let it in, its carrier in our catalogue."""

    model: str
    compatible: tuple[str, ...]
    filters: frozenset[str]
    carrier: str


BOARDS: Mapping[Kind, Board] = {
    Kind.PI5: Board(
        "Raspberry Pi 5 Model B Rev 1.0",
        ("raspberrypi,5-model-b", "brcm,bcm2712"),
        frozenset({"pi5"}),
        "rpi5-m2-hat-plus",
    ),
    Kind.CM5: Board(
        "Raspberry Pi Compute Module 5 Rev 1.0",
        ("raspberrypi,5-compute-module", "brcm,bcm2712"),
        frozenset({"pi5", "cm5"}),
        "exaviz-cruiser",
    ),
}
"""Model and compatible as in the device trees of Raspberry Pi's kernel, filters as in its documentation."""


@dataclass(frozen=True, slots=True)
class Firmware:
    """What config.txt asks for; ``generation`` is the external port's, None for one that is off."""

    generation: Literal[1, 2, 3] | None
    overlays: tuple[str, ...] = ()
    kernel: str = "kernel_2712.img"
    initramfs: str | None = None
    command_line: str = "cmdline.txt"

    @property
    def link(self) -> Link | None:
        """What the port can do, None without a port."""
        return None if self.generation is None else Link(generation=self.generation, lanes=LANES)


def read_config(text: str, board: Board) -> Firmware:
    """Return what the firmware of ``board`` does with a config.txt; lines it does not know do nothing.

    A ``dtparam`` behind an overlay is the overlay's if that has one of the name, and the board's if not. None of
    ``OVERLAYS`` has any.
    """
    parameters: dict[str, str] = {}
    values: dict[str, str] = {}
    overlays: list[str] = []
    for line in _applied(text, board):
        key, _, value = line.partition("=")
        if key == "dtoverlay":
            name = re.split("[,:]", value)[0]
            overlays += [name] if name else []
        elif key == "dtparam":
            for item in value.split(","):
                parameter, _, setting = item.partition("=")
                parameters[parameter.strip()] = setting.strip() or "on"
        elif line.startswith("initramfs "):
            values["initramfs"] = line.split()[1]
        else:
            values[key] = value
    switched = parameters.get("nvme", parameters.get(PORT_SYMBOL, "off")).lower() in _ON
    automatic = "initramfs_2712" if values.get("auto_initramfs") == "1" else None
    return Firmware(
        generation=_generation(parameters.get("pciex1_gen")) if switched else None,
        overlays=tuple(overlays),
        kernel=values.get("kernel", "kernel_2712.img"),
        initramfs=values.get("initramfs", automatic),
        command_line=values.get("cmdline", "cmdline.txt"),
    )


def _generation(value: str | None) -> Literal[1, 2, 3]:
    """The port's, 2 unless told: a Raspberry Pi 5 is certified for 5 GT/s."""
    return cast(Literal[1, 2, 3], int(value)) if value in ("1", "2", "3") else 2


def _applied(text: str, board: Board) -> Iterator[str]:
    """The lines that count for ``board``; conditions that the twin knows nothing of do not hold."""
    applies = True
    for raw in text.splitlines():
        line = raw.strip()
        found = _FILTER.fullmatch(line)
        if found:
            applies = found[1] == "all" or found[1] in board.filters
        elif applies and line and not line.startswith("#"):
            yield line


def tree_edits(board: Board, firmware: Firmware, tree: str) -> list[list[str]]:
    """Return fdtput's arguments, one list a call, that make a board's device tree of QEMU's in the file ``tree``."""
    edits = [
        ["-t", "s", tree, "/", "model", board.model],
        ["-t", "s", tree, "/", "compatible", *board.compatible],
        ["-t", "x", tree, PORT_NODE, "phandle", f"{PORT_PHANDLE:x}"],
        ["-t", "s", tree, PORT_NODE, "status", "okay" if firmware.generation else "disabled"],
        ["-p", "-t", "s", tree, "/__symbols__", PORT_SYMBOL, PORT_NODE],
    ]
    if firmware.generation:
        edits.append(["-t", "u", tree, PORT_NODE, "max-link-speed", str(firmware.generation)])
    return edits


OVERLAYS: Mapping[str, str] = {
    "pcie-32bit-dma-pi5": """\
/dts-v1/;
/plugin/;
/ {
    compatible = "brcm,bcm2712";
    fragment@0 {
        target = <&pciex1>;
        __overlay__ {
            #address-cells = <3>;
            #size-cells = <2>;
            dma-ranges = <0x02000000 0x0 0x00000000 0x0 0x00000000 0x1 0x00000000>;
        };
    };
};
"""
}
"""Stand-ins for overlays of Raspberry Pi's firmware: the card's DMA reaches the first 4 GiB, where all memory is."""

CONFIG = """\
# As an image of Raspberry Pi OS has it, as far as the twin's firmware reads it.
dtparam=audio=on
arm_64bit=1
auto_initramfs=1

[cm4]
otg_mode=1

[all]
"""
COMMAND_LINE = "console=ttyAMA0 root=LABEL=root rootfstype=ext4 rootwait quiet systemd.default_device_timeout_sec=600\n"
"""With systemd's 90 s, a twin on a busy machine ends in emergency mode before udev has found its boot partition."""
