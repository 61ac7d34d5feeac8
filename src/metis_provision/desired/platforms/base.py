"""What every distribution family answers, and the registry that finds the one a host belongs to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from metis_provision.model.settings import Settings
from metis_provision.model.survey import Host, Kernel, Survey


class Platform(ABC):
    """One distribution family. A subclass enters the registry by being defined."""

    name: ClassVar[str]
    _registry: ClassVar[list[type[Platform]]] = []

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Platform._registry.append(cls)

    @classmethod
    @abstractmethod
    def recognises(cls, host: Host) -> bool:
        """Whether ``host`` runs a distribution of this family."""

    @abstractmethod
    def headers_package(self, kernel: Kernel, host: Host) -> str:
        """The package with the build tree of ``kernel``."""

    @abstractmethod
    def packages(self, settings: Settings, survey: Survey) -> tuple[str, ...]:
        """What must be installed before the driver can be built and the runtime can look for its card."""

    @abstractmethod
    def runtime_package(self, version: str) -> str:
        """The name of the runtime's package; the vendor puts the version into it."""

    @property
    @abstractmethod
    def package_patterns(self) -> tuple[str, ...]:
        """Names and shell patterns that cover everything ``packages`` may ask for, for the survey's one look."""

    @abstractmethod
    def install_script(self, packages: tuple[str, ...]) -> str:
        """POSIX shell that installs ``packages``, waiting for the package manager's own lock."""

    @abstractmethod
    def install_file_script(self, path: str) -> str:
        """POSIX shell that installs the package file at ``path`` with what it depends on."""


def platform_of(host: Host) -> Platform | None:
    """The family ``host`` belongs to, None for one we do not know."""
    for candidate in Platform._registry:
        if candidate.recognises(host):
            return candidate()
    return None


def all_package_patterns() -> tuple[str, ...]:
    """The patterns of every family: the survey does not know yet which one it will meet."""
    return tuple(sorted({pattern for family in Platform._registry for pattern in family().package_patterns}))
