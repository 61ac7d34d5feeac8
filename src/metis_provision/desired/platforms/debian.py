"""Debian and what is made from it: apt and dpkg."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import ClassVar

from metis_provision.desired.platforms.base import Example, InitSystem, KernelHook, Platform, names, python_of, words
from metis_provision.model.survey import Generator, Host, Kernel, Survey

_IMAGE, _HEADERS = "linux-image-", "linux-headers-"


class Debian(Platform):
    """Debian itself, and every relative that has no module of its own."""

    name: ClassVar[str] = "debian"
    inits: ClassVar[tuple[InitSystem, ...]] = (InitSystem.SYSTEMD, InitSystem.OPENRC)
    generator: ClassVar[Generator] = Generator.INITRAMFS_TOOLS
    module_location: ClassVar[str] = "/updates/dkms"
    manager: ClassVar[str] = "dpkg"
    package_suffix: ClassVar[str | None] = ".deb"
    headers_choices: ClassVar[tuple[str, ...]] = (
        # First, because Debian's own is there on Raspberry Pi OS too, for a kernel that is not.
        "linux-headers-rpi-2712",
        "linux-headers-generic",
        "linux-headers-amd64",
        "linux-headers-arm64",
        "linux-headers",
    )
    leaves_out_unknown: ClassVar[bool] = True
    kernel_hooks: ClassVar[tuple[KernelHook, ...]] = (KernelHook.POSTINST, KernelHook.HEADERS)
    example: ClassVar[Example] = Example(
        {"ID": "debian", "VERSION_ID": "13", "PRETTY_NAME": "Debian GNU/Linux 13 (trixie)"},
        {"x86_64": "6.12.63+deb13-amd64", "aarch64": "6.12.63+deb13-arm64"},
    )

    @classmethod
    def recognises(cls, host: Host) -> bool:
        """By ID or ID_LIKE; an older Armbian says plain Debian."""
        return "debian" in names(host)

    def headers_packages(self, kernel: Kernel, survey: Survey) -> tuple[str, ...]:
        """Named after the release, and after the package that brings new kernels, so that the next has headers too."""
        special = _special(kernel.release)
        if special is not None:
            return (special,)
        metas = tuple(_follows(kernel, survey))
        # Armbian names packages by branch and family, never by release.
        by_branch = metas and f"{_IMAGE}{kernel.release}" not in survey.packages
        return metas if by_branch else (f"{_HEADERS}{kernel.release}", *metas)

    def runtime_package(self, version: str) -> str | None:
        """As the vendor's apt repository names it, with the version in the name."""
        return f"axelera-runtime-{version}"

    @property
    def package_patterns(self) -> tuple[str, ...]:
        """Headers and kernels are asked for by pattern, because their names hold the kernel's release."""
        return (
            *self.tools.all,
            self.driver_package,
            f"{_HEADERS}*",
            f"{_IMAGE}*",
            "proxmox-headers-*",
            "nvidia-l4t-kernel-headers",
            "axelera-runtime-*",
            "python3*-venv",
        )

    def install_script(self, packages: tuple[str, ...]) -> str:
        """Lists first: a bare image has none, and an old one names files that are gone."""
        return f"{_apt()}\ninstall_known {words(packages)}\n"

    def install_file_script(self, path: str) -> str:
        """Apt takes a path and fetches the dependencies; a downgrade is what a pinned older version means."""
        return (
            f"{_apt()}\nrun_apt --no-install-recommends --allow-downgrades --reinstall install -- {shlex.quote(path)}\n"
        )

    def install_runtime_script(self, package: str, instead_of: tuple[str, ...]) -> str:
        """One transaction, so that versions with the same files can follow each other either way.

        Apt takes a path too and fetches the dependencies; a name with a dash at its end is removed.
        """
        removed = "".join(f" {shlex.quote(name)}-" for name in instead_of)
        lists = "" if package.startswith("/") else "run_apt update\n"
        install = f"install -- {shlex.quote(package)}{removed}"
        return f"{_apt()}\n{lists}run_apt --no-install-recommends --allow-downgrades {install}\n"

    def remove_script(self, packages: tuple[str, ...]) -> str:
        """With their configuration; what they brought along stays, because somebody may use it by now."""
        return f"{_apt()}\nrun_apt purge -- {words(packages)}\n"

    def venv_packages(self, survey: Survey) -> tuple[str, ...]:
        """Debian keeps what makes environments apart from each interpreter."""
        there = python_of(survey)
        return (f"{there}-venv",) if there else ("python3-venv",)


@cache
def _apt() -> str:
    return files("metis_provision.desired.platforms").joinpath("apt.sh").read_text(encoding="utf-8")


def _special(release: str) -> str | None:
    """Kernels of other makers on a system that calls itself Debian or Ubuntu."""
    if release.endswith("-pve"):
        return f"proxmox-headers-{release}"
    return "nvidia-l4t-kernel-headers" if release.endswith("-tegra") else None


def _follows(kernel: Kernel, survey: Survey) -> Iterator[str]:
    """The headers beside each installed package that follows this flavour of kernel without naming a release."""
    for package in survey.packages:
        flavour = package.removeprefix(_IMAGE)
        if flavour == package or flavour[:1].isdigit():
            continue
        if kernel.release.endswith(f"-{flavour.partition('-hwe')[0]}"):
            yield f"{_HEADERS}{flavour}"
