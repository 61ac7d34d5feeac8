"""Alpine Linux: apk, OpenRC, and mdev until somebody installs eudev."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import ClassVar

from metis_provision.desired.platforms.base import (
    DeviceManager,
    Example,
    InitSystem,
    KernelHook,
    Platform,
    names,
    numbered,
    replaced_on_disk,
    words,
)
from metis_provision.model.settings import DriverSource, Settings
from metis_provision.model.survey import Generator, Host, Kernel, Survey

_APK = "apk --wait 600 --no-progress"


class Alpine(Platform):
    """The apk family."""

    name: ClassVar[str] = "alpine"
    inits: ClassVar[tuple[InitSystem, ...]] = (InitSystem.OPENRC,)
    device_manager: ClassVar[DeviceManager] = DeviceManager.MDEV
    generator: ClassVar[Generator] = Generator.MKINITFS
    module_location: ClassVar[str] = "/kernel/extra"
    manager: ClassVar[str] = "apk"
    package_suffix: ClassVar[str | None] = ".apk"
    has_dkms: ClassVar[bool] = False
    # As AKMBUILD(5) has it for what akms builds.
    driver_package: ClassVar[str] = "metis-src"
    kernel_hooks: ClassVar[tuple[KernelHook, ...]] = (KernelHook.ALPINE,)
    runs_manylinux: ClassVar[bool] = False
    example: ClassVar[Example] = Example(
        {"ID": "alpine", "VERSION_ID": "3.22.1", "PRETTY_NAME": "Alpine Linux v3.22"},
        {"x86_64": "6.18.32-0-lts", "aarch64": "6.18.32-0-rpi"},
        config_txt="/boot/config.txt",
    )

    @classmethod
    def recognises(cls, host: Host) -> bool:
        """By ID or ID_LIKE; postmarketOS is like it."""
        return "alpine" in names(host)

    def headers_packages(self, kernel: Kernel, survey: Survey) -> tuple[str, ...]:  # noqa: ARG002 - the release says all
        """The flavour ends the release: ``6.18.32-0-lts`` is of ``linux-lts``."""
        return (f"{_kernel_package(kernel.release)}-dev",)

    def package_version(self, version: str) -> str:
        """With apk's suffixes."""
        return numbered(version)

    def blockers(self, settings: Settings, survey: Survey) -> Iterator[str]:
        """Alpine's own: a device manager that reads rules, and a driver that DKMS cannot build there."""
        yield from super().blockers(settings, survey)
        if settings.cards and "udevadm" not in survey.host.tools:
            yield (
                "Alpine's mdev reads no udev rules, so nobody would get the card: run "
                "apk add eudev udev-init-scripts && setup-devd udev, then run again"
            )
        if settings.driver is DriverSource.DKMS and "dkms" not in survey.host.tools:
            yield (
                "Alpine packages no dkms: set metis_driver = 'package' with what "
                "metis-provision package --format alpine makes, which akms builds there"
            )

    def _without_headers(self, kernel: Kernel, survey: Survey) -> Iterator[str]:
        other = replaced_on_disk(kernel, survey, _kernel_package)
        if other is not None:
            yield f"kernel {kernel.release} runs, but an upgrade replaced it by {other}: reboot, then run again"

    def packages(self, settings: Settings, survey: Survey) -> tuple[str, ...]:
        """Dkms is no package there; who has it put it there by hand."""
        return tuple(name for name in super().packages(settings, survey) if name != self.tools.dkms)

    def install_script(self, packages: tuple[str, ...]) -> str:
        """Lists first; apk waits for its lock itself if told to."""
        return f"export LC_ALL=C\n{_APK} update\n{_APK} add {words(packages)}\n"

    def install_file_script(self, path: str) -> str:
        """Signed by a key that the host need not have: the deploy has compared the file with its pin."""
        return f"export LC_ALL=C\n{_APK} add --allow-untrusted {shlex.quote(path)}\n"


def _kernel_package(release: str) -> str:
    return f"linux-{release.rpartition('-')[2]}"
