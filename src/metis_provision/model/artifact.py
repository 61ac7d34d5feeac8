"""What a host should carry, as values: files, accounts, packages, payloads, and how they group into concerns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from metis_provision.model.survey import ServiceState, Survey


class Concern(StrEnum):
    """A set of changes that is applied together; in the order in which a host needs them."""

    PREFLIGHT = "preflight"
    PACKAGES = "packages"
    ACCESS = "access"
    DRIVER = "driver"
    PAST = "past"
    CARD = "card"
    BOOT = "boot"
    INITRAMFS = "initramfs"
    RUNTIME = "runtime"
    SERVICES = "services"
    REBOOT = "reboot"


class Validator(StrEnum):
    """How a rendered file is checked on the host before it replaces the one in use."""

    NONE = "none"
    UDEV_RULES = "udev-rules"
    SHELL = "shell"


class ImageContent(StrEnum):
    """What of ours an initramfs holds: the driver with all it needs, overlays and rules alone, or nothing."""

    DRIVER = "driver"
    FILES = "files"
    NONE = "none"


class Needs(StrEnum):
    """What must be there before a service can run; without it the service stays stopped, and that is as wanted."""

    NOTHING = "nothing"
    CARD_ON_BUS = "card-on-bus"
    CARD_NODE = "card-node"


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


class RuntimeKind(StrEnum):
    """What the runtime is to the host once it is installed."""

    PACKAGE = "package"
    ENVIRONMENT = "environment"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class InstalledRuntime:
    """A runtime as the host knows it: a package's name, a directory, or an image's reference with its engine."""

    kind: RuntimeKind
    name: str
    engine: str = ""

    @property
    def shown(self) -> str:
        """How a person is told of it."""
        return {
            RuntimeKind.PACKAGE: self.name,
            RuntimeKind.ENVIRONMENT: self.name,
            RuntimeKind.IMAGE: f"the {self.engine} image {self.name}",
        }[self.kind]


@dataclass(frozen=True, slots=True)
class PackagedRuntime:
    """The runtime as a package: from the file in ``payload``, or from the repository at ``url`` that apt knows."""

    version: str
    package: str
    payload: Payload | None = None
    url: str | None = None

    @property
    def installed(self) -> InstalledRuntime:
        """What is there once it is installed."""
        return InstalledRuntime(RuntimeKind.PACKAGE, self.package)

    def is_on(self, survey: Survey) -> bool:
        """Whether the host has it, as far as the survey shows."""
        return self.package in survey.packages

    @property
    def payloads(self) -> tuple[Payload, ...]:
        """Files the host needs for it."""
        return (self.payload,) if self.payload else ()


@dataclass(frozen=True, slots=True)
class EnvironmentRuntime:
    """The runtime in a virtual environment of its own.

    From ``index`` with ``requirements`` (a file with hashes), or from ``wheels`` alone. ``python`` is the interpreter
    by name, None while the host has none yet; the directory follows from all of them, so that none is ever changed.
    """

    version: str
    python: str | None
    index: str | None = None
    requirements: Payload | None = None
    wheels: tuple[Payload, ...] = ()

    @property
    def directory(self) -> str:
        """Where it lies."""
        sources = (self.python, self.index, *(payload.sha256 for payload in self.payloads))
        digest = hashlib.sha256(repr(sources).encode()).hexdigest()
        return f"/opt/axelera/venv-{self.version}-{digest[:8]}"

    @property
    def mark_path(self) -> str:
        """A file that is there once it is whole."""
        return f"{self.directory}/.metis-provision"

    @property
    def installed(self) -> InstalledRuntime:
        """What is there once it is installed."""
        return InstalledRuntime(RuntimeKind.ENVIRONMENT, self.directory)

    def is_on(self, survey: Survey) -> bool:
        """Whether the host has it whole, as far as the survey shows."""
        mark = survey.files.get(self.mark_path)
        return self.python is not None and mark is not None and mark.kind == "file"

    @property
    def payloads(self) -> tuple[Payload, ...]:
        """Files the host needs for it."""
        return (self.requirements,) if self.requirements else self.wheels


@dataclass(frozen=True, slots=True)
class ImageRuntime:
    """The runtime as a container image: pulled by ``reference``, or loaded from ``archive``, whose id it then is."""

    version: str
    engine: str
    reference: str
    archive: Payload | None = None
    privileged: bool = False

    @property
    def installed(self) -> InstalledRuntime:
        """What is there once it is installed."""
        return InstalledRuntime(RuntimeKind.IMAGE, self.reference, self.engine)

    def is_on(self, survey: Survey) -> bool:
        """Whether the engine has it, as far as the survey shows."""
        return self.engine in survey.engines

    @property
    def payloads(self) -> tuple[Payload, ...]:
        """Files the host needs for it."""
        return (self.archive,) if self.archive else ()


Runtime = PackagedRuntime | EnvironmentRuntime | ImageRuntime


@dataclass(frozen=True, slots=True)
class DkmsModule:
    """A DKMS source tree: module name, version, its payload and the ``dkms.conf`` we put beside the sources."""

    name: str
    version: str
    payload: Payload
    conf: bytes
    packaged: bool = False
    """Whether a package brings the tree, and the deploy only builds from it."""

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
class DriverPackage:
    """A package that carries the driver: its name and the driver's version as the package manager has them.

    ``carries`` are the files of the deploy's whose part the package takes over. ``refused_by`` is a service that keeps
    an installed package of the same origin from being replaced while it runs.
    """

    name: str
    version: str
    payload: Payload
    carries: tuple[str, ...] = ()
    refused_by: str | None = None

    def is_version(self, installed: str) -> bool:
        """Whether ``installed``, a version with or without a release after a hyphen, is one of this driver."""
        return installed == self.version or installed.startswith(f"{self.version}-")


@dataclass(frozen=True, slots=True)
class Initramfs:
    """What the host's images hold and why; ``inputs`` are files whose change makes an image stale."""

    content: ImageContent
    reason: str
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """A service that is started at boot, by the name it has in systemd (without ``.service``) or OpenRC.

    ``paths`` are its own files, the definition first: it is started anew when one of them changes. ``lasting`` says
    whether it counts as active after it did its work, ``can_run`` whether what it needs is there.
    """

    name: str
    paths: tuple[str, ...]
    needs: Needs
    can_run: bool
    lasting: bool = True

    def runs(self, state: ServiceState | None) -> bool:
        """Whether it is active, or has done its work if it does not last."""
        if state is None or state.state in {"failed", "crashed"}:
            return False
        return state.state in {"active", "starting"} or (not self.lasting and state.ran)


@dataclass(frozen=True, slots=True)
class BootConfig:
    """config.txt of a Raspberry Pi: the lines that must be in force, its bytes now and as they should be."""

    path: str
    lines: tuple[str, ...]
    now: bytes
    content: bytes


class LeftoverKind(StrEnum):
    """What a leftover is to those who set it aside."""

    FILE = "file"
    MODULE = "module"
    SOURCE = "source"
    BUILD = "build"


class Fate(StrEnum):
    """What becomes of a leftover. ``overridden``: it stays, and what it says does not count."""

    REPLACED = "replaced"
    SET_ASIDE = "set-aside"
    OVERRIDDEN = "overridden"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that another tool or an older hand left; ``why`` says why it stays, where it does."""

    path: str
    kind: LeftoverKind
    what: str
    fate: Fate
    why: str = ""


@dataclass(frozen=True, slots=True)
class DesiredState:
    """Everything one host should carry, computed from its settings and survey and nothing else."""

    groups: tuple[Group, ...] = ()
    users: tuple[User, ...] = ()
    files: tuple[File, ...] = ()
    packages: tuple[str, ...] = ()
    runtime_packages: tuple[str, ...] = ()
    """Those among ``packages`` that the runtime needs."""
    dkms: DkmsModule | None = None
    driver_package: DriverPackage | None = None
    node_rules: str | None = None
    """The file whose rules give a card's nodes their owner and mode."""
    module: str | None = None
    module_options: Mapping[str, int] = field(default_factory=dict)
    boot: BootConfig | None = None
    """None on a host without a config.txt of ours to keep."""
    runtime: Runtime | None = None
    model: Payload | None = None
    initramfs: Initramfs | None = None
    """None where images hold nothing of ours."""
    services: tuple[Service, ...] = ()
    """In the order in which they are started."""
    leftovers: tuple[Leftover, ...] = ()
    blockers: tuple[str, ...] = field(default=())
    """Sentences that say why this host cannot be provisioned at all; nothing is changed while there is one."""
    foreseen: tuple[str, ...] = ()
    """Sentences about what is known to fail and keeps nothing from being done: the plan says them beforehand."""
