"""What a host should carry, as values: files, accounts, packages, payloads, and how they group into concerns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum


class Concern(StrEnum):
    """A set of artifacts that is applied together, or not at all."""

    ACCESS = "access"
    DRIVER = "driver"
    RUNTIME = "runtime"


class Validator(StrEnum):
    """How a rendered file is checked on the host before it replaces the one in use."""

    NONE = "none"
    UDEV_RULES = "udev-rules"
    MODPROBE = "modprobe"
    SHELL = "shell"


@dataclass(frozen=True, slots=True)
class File:
    """A file on the host: absolute path, exact bytes, owner, group and octal mode."""

    path: str
    content: bytes
    mode: str = "0644"
    owner: str = "root"
    group: str = "root"
    validator: Validator = Validator.NONE

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the content."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Group:
    """A system group, with a fixed gid or whatever the host gives."""

    name: str
    gid: int | None = None


@dataclass(frozen=True, slots=True)
class User:
    """A service account that belongs to ``group``; created only if ``create``."""

    name: str
    group: str
    create: bool


@dataclass(frozen=True, slots=True)
class Payload:
    """A pinned file that the controller hands to the host: where it lies here, and what it must hash to."""

    name: str
    version: str
    source: str
    sha256: str


@dataclass(frozen=True, slots=True)
class DkmsModule:
    """A DKMS source tree: module name, version, its payload and the ``dkms.conf`` we put beside the sources."""

    name: str
    version: str
    payload: Payload
    conf: bytes

    @property
    def source_dir(self) -> str:
        """Where DKMS looks for the sources."""
        return f"/usr/src/{self.name}-{self.version}"


@dataclass(frozen=True, slots=True)
class DesiredState:
    """Everything one host should carry, computed from its settings and survey and nothing else."""

    groups: tuple[Group, ...] = ()
    users: tuple[User, ...] = ()
    files: tuple[File, ...] = ()
    packages: tuple[str, ...] = ()
    dkms: DkmsModule | None = None
    module: str | None = None
    runtime: Payload | None = None
    blockers: tuple[str, ...] = field(default=())
    """Sentences that say why this host cannot be provisioned at all; nothing is changed while there is one."""
