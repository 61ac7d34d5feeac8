"""Debian, Ubuntu and Raspberry Pi OS: apt and dpkg."""

from __future__ import annotations

import re
import shlex
from typing import ClassVar

from metis_provision.desired.platforms.base import Platform
from metis_provision.model.settings import DriverSource, RuntimeSource, Settings
from metis_provision.model.survey import Host, Kernel, Survey

_APT = "apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 -o APT::Color=0"


class Debian(Platform):
    """The apt family."""

    name: ClassVar[str] = "debian"

    @classmethod
    def recognises(cls, host: Host) -> bool:
        """By ID or ID_LIKE; 64-bit Raspberry Pi OS calls itself debian anyway."""
        names = {host.os_release.get("ID", ""), *host.os_release.get("ID_LIKE", "").split()}
        return bool(names & {"debian", "ubuntu", "raspbian"})

    def headers_package(self, kernel: Kernel, host: Host) -> str:
        """Named after the release, except where Raspberry Pi OS had one package for all flavours."""
        if host.rpi_issue and "+rpt" not in kernel.release and re.search(r"-v[78]l?\+$", kernel.release):
            return "raspberrypi-kernel-headers"
        return f"linux-headers-{kernel.release}"

    def packages(self, settings: Settings, survey: Survey) -> tuple[str, ...]:
        """Dkms and headers for the running kernel if it builds, pciutils and kmod if the runtime runs."""
        wanted: list[str] = ["acl"] if settings.cards else []
        running = survey.running_kernel
        if settings.driver is DriverSource.DKMS:
            wanted += ["dkms", "kmod"]
            if running is not None and not running.headers:
                wanted.append(self.headers_package(running, survey.host))
        if settings.runtime is not RuntimeSource.NONE:
            wanted += ["kmod", "pciutils"]
        return tuple(dict.fromkeys(wanted))

    def runtime_package(self, version: str) -> str:
        """As the vendor's apt repository names it."""
        return f"axelera-runtime-{version}"

    @property
    def package_patterns(self) -> tuple[str, ...]:
        """Headers are asked for by pattern, because their name holds the kernel's release."""
        return ("acl", "dkms", "kmod", "pciutils", "linux-headers-*", "raspberrypi-kernel-headers", "axelera-runtime-*")

    def install_script(self, packages: tuple[str, ...]) -> str:
        """Lists first: a bare image has none, and an old one names files that are gone."""
        names = " ".join(shlex.quote(name) for name in packages)
        return (
            "export DEBIAN_FRONTEND=noninteractive LC_ALL=C\n"
            f"{_APT} update\n"
            f"{_APT} --no-install-recommends install -- {names}\n"
        )

    def install_file_script(self, path: str) -> str:
        """Apt takes a path and fetches the dependencies; a downgrade is what a pinned older version means."""
        return (
            "export DEBIAN_FRONTEND=noninteractive LC_ALL=C\n"
            f"{_APT} --no-install-recommends --allow-downgrades install -- {shlex.quote(path)}\n"
        )
