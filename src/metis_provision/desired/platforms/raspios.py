"""Raspberry Pi OS, which calls itself Debian on 64 bit and Raspbian on 32."""

from __future__ import annotations

import re
from typing import ClassVar

from metis_provision.desired.platforms.base import Example, InitSystem, names
from metis_provision.desired.platforms.debian import Debian
from metis_provision.model.survey import Host, Kernel, Survey

_ONE_FOR_ALL = re.compile(r"-v[678]l?\+$")


class RaspberryPiOs(Debian):
    """Debian's tools and Raspberry Pi's own kernels."""

    name: ClassVar[str] = "raspios"
    inits: ClassVar[tuple[InitSystem, ...]] = (InitSystem.SYSTEMD,)
    example: ClassVar[Example] = Example(
        {"ID": "debian", "VERSION_ID": "13", "PRETTY_NAME": "Debian GNU/Linux 13 (trixie)"},
        {"aarch64": "6.12.62+rpt-rpi-2712"},
        rpi_issue=True,
    )

    @classmethod
    def recognises(cls, host: Host) -> bool:
        """By the file that its images carry; Ubuntu's images for the Pi do not."""
        return "raspbian" in names(host) or (host.rpi_issue and host.os_release.get("ID") == "debian")

    def headers_packages(self, kernel: Kernel, survey: Survey) -> tuple[str, ...]:
        """To bullseye one package for all flavours, since then one a release and one a flavour."""
        if "+rpt" not in kernel.release and _ONE_FOR_ALL.search(kernel.release):
            return ("raspberrypi-kernel-headers",)
        return super().headers_packages(kernel, survey)

    @property
    def package_patterns(self) -> tuple[str, ...]:
        """Debian's, and the older headers."""
        return (*super().package_patterns, "raspberrypi-kernel-headers")
