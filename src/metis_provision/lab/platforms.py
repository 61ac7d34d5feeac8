"""The two computers the lab starts, as data: what tells a PC from a Raspberry Pi in Debian's and QEMU's words."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_RELEASE_OF_QEMU = "trixie-backports"


class Kind(StrEnum):
    """What ``lab up`` makes of a machine."""

    PC = "machine"
    PI5 = "pi5"
    CM5 = "cm5"

    @property
    def platform(self) -> Platform:
        """The computer it is."""
        return PC if self is Kind.PC else PI


@dataclass(frozen=True, slots=True)
class Platform:
    """One computer: Debian's name of its architecture, its QEMU, and the devices that are soldered to it.

    ``credential_option`` and ``credential`` hand one credential of systemd over, whose file ``credential_file`` fills.
    """

    architecture: str
    program: str
    qemu_package: str
    data: tuple[str, ...]
    loader_packages: tuple[str, ...]
    machine: str
    emulated_cpu: str
    random: str
    drive: str
    disk: tuple[str, ...]
    network: str
    more: tuple[str, ...]
    credential_option: str
    credential: str
    credential_file: Callable[[str, bytes], bytes]
    start_seconds: float
    compiler: str
    compiler_package: str

    def credential_arguments(self, path: Path) -> list[str]:
        """Return QEMU's arguments for the credential in ``path``, which is named as it is."""
        return [self.credential_option, self.credential.format(name=path.name, path=path)]


def _smbios_string(name: str, content: bytes) -> bytes:
    """An OEM string of SMBIOS as systemd.system-credentials(7) reads it."""
    return f"io.systemd.credential.binary:{name}=".encode() + base64.b64encode(content)


def _as_it_is(_: str, content: bytes) -> bytes:
    return content


PC = Platform(
    architecture="amd64",
    program="qemu-system-x86_64",
    qemu_package=f"qemu-system-x86/{_RELEASE_OF_QEMU}",
    data=("qemu", "seabios"),
    loader_packages=("grub-common", "grub-pc-bin"),
    machine="q35,memory-backend=ram,sata=off,smbus=off,i8042=off",
    emulated_cpu="qemu64,-svm",
    random="virtio-rng-pci",
    drive="if=virtio",
    disk=(),
    network="virtio-net-pci,netdev={network},romfile=",
    more=(),
    credential_option="-smbios",
    credential="type=11,path={path}",
    credential_file=_smbios_string,
    start_seconds=10.0,
    compiler="gcc",
    compiler_package="gcc and libc6-dev",
)

# Disk and network are on the board's own bus, as on a Raspberry Pi: the PCIe port belongs to the card alone and can be
# switched off.
PI = Platform(
    architecture="arm64",
    program="qemu-system-aarch64",
    qemu_package=f"qemu-system-arm/{_RELEASE_OF_QEMU}",
    data=("qemu",),
    loader_packages=(),
    machine="virt,gic-version=3,memory-backend=ram",
    emulated_cpu="cortex-a76",
    random="virtio-rng-device",
    drive="if=none,id=disk",
    disk=("-device", "virtio-blk-device,drive=disk"),
    network="virtio-net-device,netdev={network}",
    # The firmware reads config.txt at every start, so a reboot of the guest ends QEMU and power.py starts it again.
    more=("-no-reboot",),
    credential_option="-fw_cfg",
    credential="name=opt/io.systemd.credentials/{name},file={path}",
    credential_file=_as_it_is,
    start_seconds=90.0,
    compiler="aarch64-linux-gnu-gcc",
    compiler_package="gcc-aarch64-linux-gnu and libc6-dev-arm64-cross",
)
