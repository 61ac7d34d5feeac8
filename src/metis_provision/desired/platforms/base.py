"""What every distribution family answers, and the registry that finds the one a host belongs to."""

from __future__ import annotations

import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from metis_provision.model.errors import UserError
from metis_provision.model.settings import DriverSource, Engine, RuntimeSource, Settings
from metis_provision.model.survey import Generator, Host, Kernel, Survey

VENDOR_SUFFIX = ".deb"
"""The vendor makes one package of the driver, for Debian's family."""

_NUMBERED = re.compile(r"(?P<numbers>\d+(\.\d+)*)([-~.]?(?P<kind>alpha|beta|pre|rc)[-.]?(?P<count>\d*))?")


class InitSystem(StrEnum):
    """What starts services; the names are those of ``Host.init``."""

    SYSTEMD = "systemd"
    OPENRC = "openrc"


class DeviceManager(StrEnum):
    """What makes the nodes under /dev. Only udev (eudev included) reads our rules."""

    UDEV = "udev"
    MDEV = "mdev"


class KernelHook(StrEnum):
    """Files by which a family's tools tell others that a kernel was installed, named so that they come after DKMS's."""

    POSTINST = "/etc/kernel/postinst.d/zz-metis-next-boot"
    HEADERS = "/etc/kernel/header_postinst.d/zz-metis-next-boot"
    """Debian configures a kernel before its headers: DKMS builds when these arrive."""
    KERNEL_INSTALL = "/etc/kernel/install.d/95-metis-next-boot.install"
    PACMAN = "/etc/pacman.d/hooks/95-metis-next-boot.hook"
    ALPINE = "/etc/kernel-hooks.d/zz-metis-next-boot.hook"


@dataclass(frozen=True, slots=True)
class Tools:
    """Names of the packages with the tools that every host needs."""

    acl: str = "acl"
    dkms: str = "dkms"
    kmod: str = "kmod"
    pciutils: str = "pciutils"
    python: str = "python3"
    podman: str = "podman"

    @property
    def all(self) -> tuple[str, ...]:
        """Every one of them."""
        return (self.acl, self.dkms, self.kmod, self.pciutils, self.python, self.podman)


@dataclass(frozen=True, slots=True)
class Example:
    """A host of the family, as far as it is needed to show what one would get.

    ``kernels`` are releases by architecture (``uname -m``), the usual one first; ``config_txt`` is where a Raspberry Pi
    has its boot configuration mounted.
    """

    os_release: Mapping[str, str]
    kernels: Mapping[str, str]
    rpi_issue: bool = False
    config_txt: str = "/boot/firmware/config.txt"


class Platform(ABC):
    """One distribution family. A subclass enters the registry by being defined, a narrower one before its base."""

    name: ClassVar[str]
    tools: ClassVar[Tools] = Tools()
    inits: ClassVar[tuple[InitSystem, ...]]
    """What can run as PID 1, the family's default first."""
    device_manager: ClassVar[DeviceManager] = DeviceManager.UDEV
    generator: ClassVar[Generator]
    runs_manylinux: ClassVar[bool] = True
    """Whether wheels that are built for the GNU C library run here."""
    module_location: ClassVar[str]
    """Where DKMS puts modules below /lib/modules/<release>, whatever its dkms.conf says."""
    manager: ClassVar[str]
    """The package manager, as the survey names it."""
    driver_package: ClassVar[str] = "metis-dkms"
    """What our package of the driver is called, and where there is one, the vendor's too."""
    package_suffix: ClassVar[str | None] = None
    """How the names of package files end; None where there are none."""
    has_dkms: ClassVar[bool] = True
    headers_choices: ClassVar[tuple[str, ...]] = ()
    """Headers that our package of the driver recommends, by the family's own names; the first that exists is taken."""
    leaves_out_unknown: ClassVar[bool] = False
    """Whether ``install_script`` goes on without packages that no repository has."""
    kernel_hooks: ClassVar[tuple[KernelHook, ...]]
    example: ClassVar[Example]
    _registry: ClassVar[list[type[Platform]]] = []

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" not in vars(cls):
            return
        broader = [index for index, other in enumerate(Platform._registry) if issubclass(cls, other)]
        Platform._registry.insert(min(broader, default=len(Platform._registry)), cls)

    @classmethod
    @abstractmethod
    def recognises(cls, host: Host) -> bool:
        """Whether ``host`` runs a distribution of this family."""

    @abstractmethod
    def headers_packages(self, kernel: Kernel, survey: Survey) -> tuple[str, ...]:
        """The packages with the build tree of ``kernel``; none where the kernel brings its own."""

    def packages(self, settings: Settings, survey: Survey) -> tuple[str, ...]:
        """What must be installed before the driver can be built and the runtime can look for its card."""
        wanted = [self.tools.acl] if settings.cards else []
        if settings.driver is not DriverSource.NONE:
            wanted += [self.tools.dkms, self.tools.kmod]
            for kernel in self._kernels_to_serve(survey):
                wanted += self.headers_packages(kernel, survey)
        return tuple(dict.fromkeys((*wanted, *self.runtime_packages(settings, survey))))

    def runtime_packages(self, settings: Settings, survey: Survey) -> tuple[str, ...]:
        """What the runtime needs on the host: what it calls to look for its card, and what it is installed with."""
        tools = survey.host.tools
        if settings.runtime is RuntimeSource.NONE:
            return ()
        if settings.runtime is RuntimeSource.CONTAINER:
            # lsmod and lspci are in the image, and an engine that somebody installed by hand is as good as a package.
            engine = settings.runtime_engine or Engine.AUTO
            there = {Engine.PODMAN.value, Engine.DOCKER.value} & set(tools)
            wants_podman = engine is Engine.PODMAN or (engine is Engine.AUTO and not there)
            return (self.tools.podman,) if wants_podman and "podman" not in tools else ()
        needed = (self.tools.kmod, self.tools.pciutils)
        return (*needed, *self.venv_packages(survey)) if settings.runtime is RuntimeSource.PIP else needed

    def venv_packages(self, survey: Survey) -> tuple[str, ...]:
        """What brings an interpreter that can make virtual environments, as far as the host lacks one."""
        return () if "python3" in survey.host.tools else (self.tools.python,)

    def _kernels_to_serve(self, survey: Survey) -> Iterator[Kernel]:
        """Kernels without headers that need them: the running one, and those that a reboot may bring.

        Headers of the latter may have left the repositories, which must not keep the running one from its own.
        """
        for kernel in survey.kernels:
            later = self.leaves_out_unknown and may_boot(kernel, survey)
            if not kernel.headers and (kernel.running or later):
                yield kernel

    def blockers(self, settings: Settings, survey: Survey) -> Iterator[str]:
        """What of this family stands in the way, one sentence each with what to do."""
        yield from self._driver_package_blockers(settings)
        running = survey.running_kernel
        if settings.driver is not DriverSource.NONE and running is not None and not running.headers:
            yield from self._without_headers(running, survey)

    def _driver_package_blockers(self, settings: Settings) -> Iterator[str]:
        """Why no package can bring the driver, or not the one that is named."""
        source = settings.driver_source or ""
        if settings.driver is DriverSource.VENDOR and self.package_suffix != VENDOR_SUFFIX:
            yield (
                f"the vendor has no package of the driver for {self.name}: set metis_driver to package or dkms, "
                "and metis_driver_source with it"
            )
        elif settings.driver in {DriverSource.PACKAGE, DriverSource.VENDOR}:
            if self.package_suffix is None:
                yield (
                    f"{self.name} installs no package files: emerge what metis-provision package writes for it, "
                    "and set metis_driver = 'none'"
                )
            elif not source.endswith(self.package_suffix):
                yield (
                    f"metis_driver_source is {source}, and {self.name} installs {self.package_suffix}: "
                    "make one with metis-provision package, or set metis_driver = 'dkms' for a tarball"
                )

    def _without_headers(self, kernel: Kernel, survey: Survey) -> Iterator[str]:  # noqa: ARG002 - for subclasses
        """Why no package can bring the headers of ``kernel``; usually one can."""
        yield from ()

    def runtime_package(self, version: str) -> str | None:  # noqa: ARG002 - for subclasses
        """The name of the runtime's package; None where there is none."""
        return None

    def package_version(self, version: str) -> str:
        """A version of the driver in the package manager's own form, so that 1.2.0-rc2 is older than 1.2.0.

        Raises UserError for a version that it cannot express.
        """
        return version.replace("-", "~")

    def runtime_suite(self, host: Host) -> str | None:  # noqa: ARG002 - for subclasses
        """The suite of the vendor's apt repository for this release; None where there is none."""
        return None

    @property
    def package_patterns(self) -> tuple[str, ...]:
        """Names and shell patterns that cover everything ``packages`` may ask for, for the survey's one look."""
        return (*self.tools.all, self.driver_package)

    @abstractmethod
    def install_script(self, packages: tuple[str, ...]) -> str:
        """POSIX shell that installs ``packages``, waiting for the package manager's own lock."""

    def install_file_script(self, path: str) -> str:
        """POSIX shell that installs the package file at ``path`` with what it depends on."""
        raise NotImplementedError(f"{self.name} installs no package files ({path})")

    def install_runtime_script(self, package: str, instead_of: tuple[str, ...]) -> str:
        """POSIX shell that installs the runtime's ``package`` (a name or a file's path) and removes ``instead_of``."""
        raise NotImplementedError(f"{self.name} has no package of the runtime ({package}, {instead_of})")

    def remove_script(self, packages: tuple[str, ...]) -> str:
        """POSIX shell that removes ``packages``, which we installed; one that is gone is no mistake."""
        raise NotImplementedError(f"{self.name} has no package of the runtime to remove ({packages})")


def names(host: Host) -> set[str]:
    """What /etc/os-release calls the distribution and those it is like."""
    return {host.os_release.get("ID", ""), *host.os_release.get("ID_LIKE", "").split()}


def numbered(version: str) -> str:
    """A version as Alpine and Gentoo write it: numbers, then at most one suffix, such as 1.2.0_rc2."""
    found = _NUMBERED.fullmatch(version)
    if found is None:
        raise UserError(
            f"{version} is no version that this distribution's packages can have: numbers with dots, "
            "then -alpha, -beta, -pre or -rc with a number"
        )
    suffix = f"_{found['kind']}{found['count']}" if found["kind"] else ""
    return f"{found['numbers']}{suffix}"


def may_boot(kernel: Kernel, survey: Survey) -> bool:
    """Whether the next boot may bring ``kernel``: the loader names it, or it is newer than the running one."""
    running = survey.running_kernel
    if survey.next_boot is not None and survey.next_boot.release == kernel.release:
        return True
    return running is not None and _numbers(kernel.release) > _numbers(running.release)


def _numbers(release: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", release)]


PYTHONS = ("python3.13", "python3.12", "python3.11", "python3.10")
"""Interpreters that the vendor builds its wheels for (the vendor's documents), newest first."""


def python_of(survey: Survey) -> str | None:
    """The newest interpreter on the host that the runtime takes."""
    return next((name for name in PYTHONS if name in survey.host.tools), None)


def words(packages: tuple[str, ...]) -> str:
    """Package names as words of a shell command."""
    return " ".join(shlex.quote(name) for name in packages)


def replaced_on_disk(kernel: Kernel, survey: Survey, package_of: Callable[[str], str]) -> str | None:
    """The kernel that an upgrade put in the place of the running one, if there is one.

    Where a package holds one kernel, its upgrade takes the running one's modules and headers away.
    """
    package = package_of(kernel.release)
    others = (other.release for other in survey.kernels if not other.running)
    return next((release for release in others if package_of(release) == package), None)


def platforms() -> tuple[Platform, ...]:
    """Every family, narrower ones first."""
    return tuple(family() for family in Platform._registry)


def platform_of(host: Host) -> Platform | None:
    """The family ``host`` belongs to, None for one we do not know."""
    return next((platform for platform in platforms() if platform.recognises(host)), None)


def all_package_patterns() -> tuple[str, ...]:
    """The patterns of every family: the survey does not know yet which one it will meet."""
    return tuple(sorted({pattern for platform in platforms() for pattern in platform.package_patterns}))
