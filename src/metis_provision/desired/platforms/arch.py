"""Arch Linux and what is made from it: pacman."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import ClassVar

from metis_provision.desired.platforms.base import (
    Example,
    InitSystem,
    KernelHook,
    Platform,
    Tools,
    names,
    replaced_on_disk,
    words,
)
from metis_provision.model.survey import Generator, Host, Kernel, Survey

_BUILD_OF_LINUX = re.compile(r"-arch\d+-\d+$")
_WAIT = (
    "export LC_ALL=C\n"
    "waited=0\n"
    "while [ -e /var/lib/pacman/db.lck ] && [ $waited -lt 600 ]; do\n"
    "\tsleep 2\n"
    "\twaited=$((waited + 2))\n"
    "done\n"
)
_BIG_PAGES = 16384
"""Bytes; Arch Linux ARM has a kernel of its own for them on the Pi 5."""


class Arch(Platform):
    """The pacman family; Artix has the same packages with OpenRC."""

    name: ClassVar[str] = "arch"
    inits: ClassVar[tuple[InitSystem, ...]] = (InitSystem.SYSTEMD, InitSystem.OPENRC)
    generator: ClassVar[Generator] = Generator.MKINITCPIO
    module_location: ClassVar[str] = "/updates/dkms"
    manager: ClassVar[str] = "pacman"
    package_suffix: ClassVar[str | None] = ".pkg.tar.zst"
    headers_choices: ClassVar[tuple[str, ...]] = (
        "linux-headers",
        "linux-lts-headers",
        "linux-zen-headers",
        "linux-rpi-headers",
        "linux-aarch64-headers",
    )
    kernel_hooks: ClassVar[tuple[KernelHook, ...]] = (KernelHook.PACMAN,)
    tools: ClassVar[Tools] = Tools(python="python")
    example: ClassVar[Example] = Example(
        {"ID": "arch", "PRETTY_NAME": "Arch Linux"},
        {"x86_64": "6.11.6-arch1-1", "aarch64": "6.12.34-1-rpi-ARCH"},
        config_txt="/boot/config.txt",
    )

    @classmethod
    def recognises(cls, host: Host) -> bool:
        """By ID or ID_LIKE; Arch Linux ARM is archarm."""
        return bool(names(host) & {"arch", "archarm", "artix"})

    def headers_packages(self, kernel: Kernel, survey: Survey) -> tuple[str, ...]:
        """The kernel's own package name and ``-headers``."""
        package = _kernel_package(kernel.release)
        if package == "linux-rpi" and survey.host.page_size == _BIG_PAGES:
            package = "linux-rpi-16k"
        return (f"{package}-headers",)

    def package_version(self, version: str) -> str:
        """Letters after the numbers are older than none to pacman, which takes no hyphen."""
        return version.replace("-", "").replace("~", "")

    def _without_headers(self, kernel: Kernel, survey: Survey) -> Iterator[str]:
        other = replaced_on_disk(kernel, survey, _kernel_package)
        if other is not None:
            yield (
                f"kernel {kernel.release} runs, but an upgrade replaced it by {other}, "
                "so no module can be built for it: reboot, then run again"
            )

    def install_file_script(self, path: str) -> str:
        """Pacman's own hooks build the module."""
        return f"{_WAIT}pacman -U --noconfirm --noprogressbar -- {shlex.quote(path)}\n"

    def install_script(self, packages: tuple[str, ...]) -> str:
        """Without ``-y``: fresh lists without a full upgrade are a partial upgrade, which breaks hosts."""
        return (
            f"{_WAIT}"
            f"pacman -S --needed --noconfirm --noprogressbar -- {words(packages)} || {{\n"
            "\tprintf 'metis-provision: pacman could not install everything; if it did not find a file, "
            "run pacman -Syu, reboot and run again\\n' >&2\n"
            "\texit 1\n"
            "}\n"
        )


def _kernel_package(release: str) -> str:
    if _BUILD_OF_LINUX.search(release):
        return "linux"
    if release.endswith("-rpi-ARCH"):
        return "linux-rpi"
    flavour = release.rpartition("-")[2]
    return f"linux-{flavour}" if flavour.isalpha() else "linux"
