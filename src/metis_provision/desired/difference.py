"""What has to be done to turn the surveyed host into the desired one, concern by concern."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from metis_provision.catalog.contract import IdKind, contract
from metis_provision.desired.payloads import host_path
from metis_provision.desired.platforms import platform_of
from metis_provision.model.artifact import Concern, DesiredState, DkmsModule, File, Group, Payload, User
from metis_provision.model.receipt import Receipt
from metis_provision.model.settings import Settings
from metis_provision.model.survey import Kernel, Node, Survey

HEAP_SUBSYSTEM = "dma_heap"


@dataclass(frozen=True, slots=True)
class FilesChange:
    """Accounts and files of one concern that are missing or different."""

    concern: Concern
    groups: tuple[Group, ...] = ()
    users: tuple[User, ...] = ()
    memberships: tuple[tuple[str, str], ...] = ()
    files: tuple[File, ...] = ()
    surplus: tuple[str, ...] = ()
    """Paths we once wrote and that are no longer wanted."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """What will be done, one short phrase each."""
        return (
            *(f"create group {group.name}" for group in self.groups),
            *(f"create user {user.name}" for user in self.users),
            *(f"add {user} to group {group}" for user, group in self.memberships),
            *(f"write {file.path}" for file in self.files),
            *(f"take back {path}" for path in self.surplus),
        )


@dataclass(frozen=True, slots=True)
class DriverChange:
    """A DKMS tree to put in place (or just to build from) and the kernels it must be installed for."""

    tree: DkmsModule
    kernels: tuple[str, ...]
    unpack: bool
    upload: bool
    without_headers: bool
    """The running kernel has no headers yet: they come with the packages."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """What will be done, one short phrase each."""
        source = (f"put the source of {self.tree.name} {self.tree.version} in place",) if self.unpack else ()
        after = " (after its headers)" if self.without_headers else ""
        return (*source, *(f"build for {kernel}{after}" for kernel in self.kernels))


@dataclass(frozen=True, slots=True)
class CardChange:
    """The module to load, and the subsystems whose nodes need their rules applied again."""

    load: str | None
    trigger: tuple[str, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What will be done, one short phrase each."""
        return (
            *((f"load module {self.load}",) if self.load else ()),
            *(f"apply the udev rules to {subsystem} nodes" for subsystem in self.trigger),
        )


@dataclass(frozen=True, slots=True)
class RuntimeChange:
    """The runtime's package to install."""

    payload: Payload
    upload: bool

    @property
    def reasons(self) -> tuple[str, ...]:
        """What will be done, one short phrase each."""
        return (f"install runtime {self.payload.version}",)


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything between a surveyed host and the desired one; None where nothing is to be done."""

    packages: tuple[str, ...] = ()
    files: Mapping[Concern, FilesChange] = field(default_factory=dict)
    """By concern; the accounts are part of access."""
    driver: DriverChange | None = None
    card: CardChange | None = None
    runtime: RuntimeChange | None = None

    @property
    def reasons(self) -> Mapping[Concern, tuple[str, ...]]:
        """What will be done, by concern; concerns without changes are left out."""
        found = {
            Concern.PACKAGES: tuple(f"install {name}" for name in self.packages),
            **{concern: change.reasons for concern, change in self.files.items()},
            Concern.DRIVER: self.driver.reasons if self.driver else (),
            Concern.CARD: self.card.reasons if self.card else (),
            Concern.RUNTIME: self.runtime.reasons if self.runtime else (),
        }
        return {concern: found[concern] for concern in Concern if found.get(concern)}


def difference(settings: Settings, desired: DesiredState, survey: Survey, receipt: Receipt) -> Difference:
    """Compare the desired host with the surveyed one, and with what the receipt says we once did to it."""
    changes = [_accounts_and_files(desired, survey, receipt)]
    others = set(Concern) - {Concern.ACCESS}
    changes += [_files(concern, desired, survey, receipt) for concern in Concern if concern in others]
    return Difference(
        packages=tuple(name for name in desired.packages if name not in survey.packages),
        files={change.concern: change for change in changes if change != FilesChange(change.concern)},
        driver=_driver(desired, survey),
        card=_card(settings, desired, survey),
        runtime=_runtime(desired, survey),
    )


def _files(concern: Concern, desired: DesiredState, survey: Survey, receipt: Receipt) -> FilesChange:
    ours = {path for path, entry in receipt.files.items() if entry.concern is concern}
    return FilesChange(
        concern,
        files=tuple(f for f in desired.files if f.concern is concern and not _in_place(survey, f)),
        surplus=tuple(sorted(ours - {file.path for file in desired.files})),
    )


def _accounts_and_files(desired: DesiredState, survey: Survey, receipt: Receipt) -> FilesChange:
    users = tuple(user for user in desired.users if user.create and user.name not in survey.users)
    present = {*survey.users, *(user.name for user in users)}
    return replace(
        _files(Concern.ACCESS, desired, survey, receipt),
        groups=tuple(group for group in desired.groups if group.name not in survey.groups),
        users=users,
        memberships=tuple(
            (user.name, user.group) for user in desired.users if user.name in present and not _is_member(survey, user)
        ),
    )


def _is_member(survey: Survey, user: User) -> bool:
    account = survey.users.get(user.name)
    return account is not None and user.group in account.groups


def _in_place(survey: Survey, file: File) -> bool:
    state = survey.files.get(file.path)
    return (
        state is not None
        and state.kind == "file"
        and (state.sha256, state.owner, state.group) == (file.sha256, file.owner, file.group)
        and state.mode is not None
        and int(state.mode, 8) == int(file.mode, 8)
    )


def _holds(survey: Survey, path: str, content: bytes) -> bool:
    state = survey.files.get(path)
    return state is not None and state.sha256 == hashlib.sha256(content).hexdigest()


def _lacks_payload(survey: Survey, payload: Payload) -> bool:
    state = survey.files.get(host_path(payload))
    return state is None or state.sha256 != payload.sha256


def _driver(desired: DesiredState, survey: Survey) -> DriverChange | None:
    tree = desired.dkms
    if tree is None:
        return None
    unpack = not (_holds(survey, tree.conf_path, tree.conf) and _holds(survey, tree.mark_path, tree.mark))
    kernels = tuple(
        kernel.release
        for kernel in survey.kernels
        if (kernel.headers or kernel.running) and (unpack or not _installed(survey, tree, kernel))
    )
    if not unpack and not kernels:
        return None
    running = survey.running_kernel
    return DriverChange(
        tree=tree,
        kernels=kernels,
        unpack=unpack,
        upload=unpack and _lacks_payload(survey, tree.payload),
        without_headers=running is not None and not running.headers,
    )


def _installed(survey: Survey, tree: DkmsModule, kernel: Kernel) -> bool:
    return any(
        (build.module, build.version, build.kernel) == (tree.name, tree.version, kernel.release)
        and build.state in {"installed", "installed-weak"}
        for build in survey.dkms or ()
    )


def _card(settings: Settings, desired: DesiredState, survey: Survey) -> CardChange | None:
    if desired.module is None or survey.host.container is not None:
        return None
    nodes = [node for node in survey.nodes or () if node.bdf in _cards(survey)]
    stale = {node.device_class for node in nodes if not _node_as_wanted(settings, node)}
    if settings.cards and survey.dma_heap is not None and not _group_reads_and_writes(survey.dma_heap):
        stale.add(HEAP_SUBSYSTEM)
    change = CardChange(
        load=desired.module if survey.driver is not None and not survey.driver.loaded else None,
        trigger=tuple(sorted(stale)),
    )
    return change if change != CardChange(load=None, trigger=()) else None


def _cards(survey: Survey) -> set[str]:
    """Addresses of functions that are a Metis: the class accel holds other vendors' devices too."""
    found = set()
    for function in survey.pci or ():
        known = contract().identify(int(function.vendor, 16), int(function.device, 16), int(function.class_code, 16))
        if known is not None and known.kind is IdKind.METIS:
            found.add(function.bdf)
    return found


def _group_reads_and_writes(heap: Node) -> bool:
    """As far as the mode says: an entry of an access list shows there as the group's bits."""
    return bool(heap.mode) and int(heap.mode, 8) & 0o060 == 0o060


def _node_as_wanted(settings: Settings, node: Node) -> bool:
    stable = contract().nodes.stable
    return (node.owner, node.group, node.mode) == ("root", settings.group, settings.node_mode) and any(
        stable.matches(link.removeprefix("/dev/")) for link in node.links
    )


def _runtime(desired: DesiredState, survey: Survey) -> RuntimeChange | None:
    payload = desired.runtime
    if payload is None:
        return None
    platform = platform_of(survey.host)
    package = platform.runtime_package(payload.version) if platform else None
    if package in survey.packages:
        return None
    return RuntimeChange(payload=payload, upload=_lacks_payload(survey, payload))
