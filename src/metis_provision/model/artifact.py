"""What a host should carry, as values: files, accounts, packages, payloads, and how they group into concerns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum


class Concern(StrEnum):
    """A set of changes that is applied together; in the order in which a host needs them."""

    PREFLIGHT = "preflight"
    PACKAGES = "packages"
    ACCESS = "access"
    DRIVER = "driver"
    CARD = "card"
    BOOT = "boot"
    INITRAMFS = "initramfs"
    SERVICES = "services"
    RUNTIME = "runtime"


class Validator(StrEnum):
    """How a rendered file is checked on the host before it replaces the one in use."""

    NONE = "none"
    UDEV_RULES = "udev-rules"
    SHELL = "shell"


@dataclass(frozen=True, slots=True)
class File:
    """A file on the host: absolute path, exact bytes, owner, group and octal mode; applied with its concern."""

    path: str
    content: bytes
    mode: str = "0644"
    owner: str = "root"
    group: str = "root"
    validator: Validator = Validator.NONE
    concern: Concern = Concern.ACCESS

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

    @property
    def conf_path(self) -> str:
        """The tree's ``dkms.conf``."""
        return f"{self.source_dir}/dkms.conf"

    @property
    def mark_path(self) -> str:
        """File in the tree that holds the sha256 of the tarball it was unpacked from."""
        return f"{self.source_dir}/.payload-sha256"

    @property
    def mark(self) -> bytes:
        """What ``mark_path`` holds when the tree is the pinned one."""
        return f"{self.payload.sha256}\n".encode()


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
