"""Fedora, RHEL and those made from it: dnf and rpm."""

from __future__ import annotations

import shlex
from typing import ClassVar

from metis_provision.desired.platforms.base import Example, InitSystem, KernelHook, Platform, names, words
from metis_provision.model.survey import Generator, Host, Kernel, Survey


class Fedora(Platform):
    """The dnf family; on RHEL and its likes dkms comes from EPEL."""

    name: ClassVar[str] = "fedora"
    inits: ClassVar[tuple[InitSystem, ...]] = (InitSystem.SYSTEMD,)
    generator: ClassVar[Generator] = Generator.DRACUT
    module_location: ClassVar[str] = "/extra"
    manager: ClassVar[str] = "rpm"
    kernel_hooks: ClassVar[tuple[KernelHook, ...]] = (KernelHook.KERNEL_INSTALL,)
    package_suffix: ClassVar[str | None] = ".rpm"
    example: ClassVar[Example] = Example(
        {"ID": "fedora", "VERSION_ID": "42", "PRETTY_NAME": "Fedora Linux 42"},
        {"x86_64": "6.16.7-200.fc42.x86_64", "aarch64": "6.16.7-200.fc42.aarch64"},
    )

    @classmethod
    def recognises(cls, host: Host) -> bool:
        """By ID or ID_LIKE; Oracle names only fedora there, RHEL 9 too."""
        return bool(names(host) & {"fedora", "rhel", "centos"})

    def headers_packages(self, kernel: Kernel, survey: Survey) -> tuple[str, ...]:  # noqa: ARG002 - the release says all
        """``kernel-devel``, never ``kernel-headers``, which is for user space; a flavour follows the machine's name."""
        release, _, flavour = kernel.release.partition("+")
        middle = f"-{flavour}" if flavour else ""
        return (f"kernel{middle}-devel-{release}",)

    def install_script(self, packages: tuple[str, ...]) -> str:
        """Dnf waits for its lock by itself."""
        return (
            "export LC_ALL=C\n"
            f"dnf -y --setopt=install_weak_deps=False install -- {words(packages)} || {{\n"
            "\tprintf 'metis-provision: dnf could not install everything; "
            "dkms is in EPEL on RHEL and its likes\\n' >&2\n"
            "\texit 1\n"
            "}\n"
        )

    def install_file_script(self, path: str) -> str:
        """Dnf takes a path; a downgrade is what a pinned older version means."""
        file = shlex.quote(path)
        return (
            "export LC_ALL=C\n"
            f'if rpm -q "$(rpm -qp {file})" >/dev/null 2>&1; then\n'
            f"\tdnf -y reinstall -- {file}\n"
            "else\n"
            f"\tdnf -y install -- {file} || dnf -y downgrade -- {file}\n"
            "fi\n"
        )
