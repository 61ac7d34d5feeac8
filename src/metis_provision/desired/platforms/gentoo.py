"""Gentoo: portage, and kernels that bring their own build tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from metis_provision.desired.platforms.base import (
    Example,
    InitSystem,
    KernelHook,
    Platform,
    Tools,
    names,
    numbered,
    words,
)
from metis_provision.model.survey import Generator, Host, Kernel, Survey


class Gentoo(Platform):
    """The portage family."""

    name: ClassVar[str] = "gentoo"
    tools: ClassVar[Tools] = Tools(
        acl="sys-apps/acl",
        dkms="sys-kernel/dkms",
        kmod="sys-apps/kmod",
        pciutils="sys-apps/pciutils",
        python="dev-lang/python",
        podman="app-containers/podman",
    )
    inits: ClassVar[tuple[InitSystem, ...]] = (InitSystem.OPENRC, InitSystem.SYSTEMD)
    generator: ClassVar[Generator] = Generator.DRACUT
    module_location: ClassVar[str] = "/kernel/extra"
    manager: ClassVar[str] = "portage"
    # The ebuild builds the module itself.
    driver_package: ClassVar[str] = "sys-kernel/metis"
    kernel_hooks: ClassVar[tuple[KernelHook, ...]] = (KernelHook.POSTINST, KernelHook.KERNEL_INSTALL)
    example: ClassVar[Example] = Example(
        {"ID": "gentoo", "PRETTY_NAME": "Gentoo Linux"},
        {"x86_64": "6.18.26-gentoo-dist", "aarch64": "6.18.26-gentoo-dist"},
        config_txt="/boot/config.txt",
    )

    @classmethod
    def recognises(cls, host: Host) -> bool:
        """By ID or ID_LIKE; Gentoo may have no VERSION_ID."""
        return "gentoo" in names(host)

    def headers_packages(self, kernel: Kernel, survey: Survey) -> tuple[str, ...]:  # noqa: ARG002 - there are none
        """None: ``sys-kernel/linux-headers`` is for user space."""
        return ()

    def package_version(self, version: str) -> str:
        """With portage's suffixes."""
        return numbered(version)

    def _without_headers(self, kernel: Kernel, survey: Survey) -> Iterator[str]:  # noqa: ARG002
        yield (
            f"kernel {kernel.release} has no build tree at /lib/modules/{kernel.release}/build: put its sources back, "
            "or boot a kernel whose sources are there (emerge sys-kernel/gentoo-kernel keeps them)"
        )

    def install_script(self, packages: tuple[str, ...]) -> str:
        """Emerge waits for its locks by itself."""
        return f"export LC_ALL=C\nemerge --ask=n --color=n --noreplace --quiet-build=y -- {words(packages)}\n"
