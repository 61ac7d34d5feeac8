"""What has to be done to turn the surveyed host into the desired one, concern by concern."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from metis_provision.catalog.contract import contract
from metis_provision.desired.access import CARD_KINDS, VENDOR_RULES
from metis_provision.desired.config_txt import holds_block
from metis_provision.desired.past import kernels_of
from metis_provision.desired.payloads import host_path
from metis_provision.desired.platforms import platform_of
from metis_provision.desired.services import service_of
from metis_provision.model.artifact import (
    BootConfig,
    Concern,
    DesiredState,
    DkmsModule,
    DriverPackage,
    EnvironmentRuntime,
    Fate,
    File,
    Group,
    ImageContent,
    InstalledRuntime,
    Leftover,
    LeftoverKind,
    PackagedRuntime,
    Payload,
    Runtime,
    RuntimeKind,
    Service,
    User,
)
from metis_provision.model.receipt import Receipt
from metis_provision.model.settings import Reboot, Reload, Settings
from metis_provision.model.survey import Generator, InitramfsImage, Kernel, Node, Survey

HEAP = "dma_heap"
"""The subsystem; among what is triggered it stands for the DMA heap, as an address stands for a card."""


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
    strangers: tuple[str, ...] = ()
    """Paths among ``files`` where something lies that we did not write."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """What will be done, one short phrase each."""
        return (
            *(f"create group {group.name}" for group in self.groups),
            *(f"create user {user.name}" for user in self.users),
            *(f"add {user} to group {group}" for user, group in self.memberships),
            *(f"write {file.path}" for file in self.files if file.path not in self.strangers),
            *(f"replace {path}, which is not ours, and keep its contents" for path in self.strangers),
            *(f"take back {path}" for path in self.surplus),
        )


@dataclass(frozen=True, slots=True)
class PastChange:
    """What others left and is set aside."""

    leftovers: tuple[Leftover, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What will be done, one short phrase each."""
        return _aside(self.leftovers)


def _aside(leftovers: tuple[Leftover, ...]) -> tuple[str, ...]:
    return tuple(f"set aside {leftover.path}: {leftover.what}" for leftover in leftovers)


@dataclass(frozen=True, slots=True)
class DriverChange:
    """A DKMS tree to put in place (or just to build from) and the kernels it must be installed for."""

    tree: DkmsModule
    kernels: tuple[str, ...]
    """The running one first."""
    unpack: bool
    upload: bool
    running: str
    """Release of the running kernel, empty if it could not be read."""
    without_headers: frozenset[str] = frozenset()
    """Those of ``kernels`` that have no headers yet: they come with the packages."""
    strays: tuple[Leftover, ...] = ()
    """Modules that DKMS did not put there; they go once there is something in their place."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """What will be done, one short phrase each."""
        source = (f"put the source of {self.tree.name} {self.tree.version} in place",) if self.unpack else ()
        return (*source, *(self._build(kernel) for kernel in self.kernels), *_aside(self.strays))

    def _build(self, kernel: str) -> str:
        return f"build for {kernel}" + (" (after its headers)" if kernel in self.without_headers else "")


@dataclass(frozen=True, slots=True)
class DriverPackageChange:
    """The package with the driver to install, over whatever version is there."""

    package: DriverPackage
    upload: bool
    replaces: bool
    tree: str | None = None
    """A source tree that no package owns and that lies where this one puts its own."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """What will be done, one short phrase each."""
        how = "replace the installed package by" if self.replaces else "install package"
        return (f"{how} {self.package.name} {self.package.version}",)


@dataclass(frozen=True, slots=True)
class CardChange:
    """The module to load, and what needs its rules applied again: addresses of cards, and ``HEAP`` for the DMA heap.

    ``reload`` is a module to take out of memory and load anew: it is not the one on disk, and nobody holds a card.
    """

    load: str | None
    trigger: tuple[str, ...]
    reload: str | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """What will be done, one short phrase each."""
        return (
            *((f"load module {self.load}",) if self.load else ()),
            *((f"load module {self.reload} anew: it is not the one on disk",) if self.reload else ()),
            *(f"apply the udev rules to {'the DMA heap' if it == HEAP else it}" for it in self.trigger),
        )


@dataclass(frozen=True, slots=True)
class BootChange:
    """A config.txt to write, with our block or without it."""

    config: BootConfig

    @property
    def block(self) -> bool:
        """Whether the file holds a block of ours afterwards."""
        return holds_block(self.config.content)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What will be done, one short phrase each."""
        if not self.block:
            return (f"take our lines out of {self.config.path}",)
        return (f"put {', '.join(self.config.lines)} into force in {self.config.path}",)


@dataclass(frozen=True, slots=True)
class RebootChange:
    """A reboot that is needed and allowed; ``changed`` are the files that only a boot reads."""

    changed: tuple[str, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What will be done, one short phrase each."""
        return (f"reboot: {', '.join(self.changed)} is not what the host booted with",)


@dataclass(frozen=True, slots=True)
class InitramfsChange:
    """Images to see to; ``wanted`` says whether they hold anything of ours afterwards."""

    generator: Generator
    images: tuple[InitramfsImage, ...]
    wanted: bool

    @property
    def reasons(self) -> tuple[str, ...]:
        """What will be done, one short phrase each."""
        how = "" if self.wanted else " without our parts"
        return tuple(f"build the initramfs of {image.kernel} anew{how}" for image in self.images)


@dataclass(frozen=True, slots=True)
class RuntimeChange:
    """A runtime to install, those of ours that go once it is there, and models to hand over and to remove."""

    install: Runtime | None = None
    remove: tuple[InstalledRuntime, ...] = ()
    upload: tuple[Payload, ...] = ()
    """What the host lacks of the payloads that are needed now."""
    model: Payload | None = None
    forget: tuple[InstalledRuntime, ...] = ()
    """Runtimes that the receipt tells of and that somebody else removed."""
    old_model: str | None = None
    """The sha256 of a model that we handed over and that is no longer wanted."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """What will be done, one short phrase each."""
        return (
            *((_install_reason(self.install),) if self.install else ()),
            *(f"remove {gone.shown}" for gone in self.remove),
            *((f"hand over model {PurePath(self.model.source).name}",) if self.model else ()),
            *(("remove the model that was handed over before",) if self.old_model else ()),
            *(f"note that {gone.shown} is gone" for gone in self.forget),
        )


def _install_reason(runtime: Runtime) -> str:
    if isinstance(runtime, PackagedRuntime):
        return f"install {runtime.package} from {runtime.url or 'its package'}"
    if isinstance(runtime, EnvironmentRuntime):
        where = runtime.directory if runtime.python else "an environment of its own (after its Python)"
        return f"install axelera-rt {runtime.version} into {where}"
    how = "load" if runtime.archive else "pull"
    return f"{how} the image of runtime {runtime.version} ({runtime.engine})"


@dataclass(frozen=True, slots=True)
class ServicesChange:
    """Services to take out of the boot, to put into it, and to start (anew); by their names in the init system."""

    remove: tuple[str, ...] = ()
    enable: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    reload: bool = False
    """The init system has to read its definitions again, although no file changes now."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """What will be done, one short phrase each."""
        return (
            *(f"stop and disable {name}" for name in self.remove),
            *(f"enable {name}" for name in self.enable),
            *(f"start {name}" for name in self.start),
            *(("read the service definitions again",) if self.reload else ()),
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything between a surveyed host and the desired one; None where nothing is to be done."""

    packages: tuple[str, ...] = ()
    files: Mapping[Concern, FilesChange] = field(default_factory=dict)
    """By concern; the accounts are part of access."""
    past: PastChange | None = None
    driver_package: DriverPackageChange | None = None
    driver: DriverChange | None = None
    card: CardChange | None = None
    boot: BootChange | None = None
    reboot: RebootChange | None = None
    initramfs: InitramfsChange | None = None
    runtime: RuntimeChange | None = None
    services: ServicesChange | None = None

    @property
    def reasons(self) -> Mapping[Concern, tuple[str, ...]]:
        """What will be done, by concern; concerns without changes are left out."""
        found = {
            Concern.PACKAGES: tuple(f"install {name}" for name in self.packages),
            **{concern: change.reasons for concern, change in self.files.items()},
            Concern.PAST: self.past.reasons if self.past else (),
            Concern.DRIVER: (self.driver_package.reasons if self.driver_package else ())
            + (self.driver.reasons if self.driver else ()),
            Concern.CARD: self.card.reasons if self.card else (),
            Concern.BOOT: self.boot.reasons if self.boot else (),
            Concern.REBOOT: self.reboot.reasons if self.reboot else (),
            Concern.INITRAMFS: self._file_reasons(Concern.INITRAMFS)
            + (self.initramfs.reasons if self.initramfs else ()),
            Concern.RUNTIME: (self.runtime.reasons if self.runtime else ()) + self._file_reasons(Concern.RUNTIME),
            Concern.SERVICES: self._file_reasons(Concern.SERVICES) + (self.services.reasons if self.services else ()),
        }
        return {concern: found[concern] for concern in Concern if found.get(concern)}

    def _file_reasons(self, concern: Concern) -> tuple[str, ...]:
        change = self.files.get(concern)
        return change.reasons if change else ()


def difference(settings: Settings, desired: DesiredState, survey: Survey, receipt: Receipt) -> Difference:
    """Compare the desired host with the surveyed one, and with what the receipt says we once did to it."""
    changes = [_accounts_and_files(desired, survey, receipt)]
    others = set(Concern) - {Concern.ACCESS}
    changes += [_files(concern, desired, survey, receipt) for concern in Concern if concern in others]
    files = {change.concern: change for change in changes if change != FilesChange(change.concern)}
    driver = _driver(desired, survey)
    return Difference(
        packages=tuple(name for name in desired.packages if name not in survey.packages),
        files=files,
        past=_past(desired, driver),
        driver_package=_driver_package(desired, survey, receipt),
        driver=driver,
        card=_card(settings, desired, survey, driver),
        boot=_boot(desired),
        reboot=_reboot(settings, desired, survey),
        initramfs=_initramfs(desired, survey, files, driver),
        runtime=_runtime(desired, survey, receipt),
        services=_services(desired, survey, receipt),
    )


def _files(concern: Concern, desired: DesiredState, survey: Survey, receipt: Receipt) -> FilesChange:
    ours = {path for path, entry in receipt.files.items() if entry.concern is concern}
    files = tuple(f for f in desired.files if f.concern is concern and not _in_place(survey, f))
    # What a package takes over stays until the package is there.
    coming = desired.driver_package
    kept = set(coming.carries) if coming and coming.name not in survey.packages else set()
    there = {path for path, state in survey.files.items() if state.kind in {"file", "link"}}
    return FilesChange(
        concern,
        files=files,
        surplus=tuple(sorted(ours - kept - {file.path for file in desired.files})),
        strangers=tuple(file.path for file in files if file.path in there - set(receipt.files)),
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


def _past(desired: DesiredState, driver: DriverChange | None) -> PastChange | None:
    with_driver = driver.strays if driver else ()
    found = tuple(item for item in desired.leftovers if item.fate is Fate.SET_ASIDE and item not in with_driver)
    return PastChange(found) if found else None


def _driver(desired: DesiredState, survey: Survey) -> DriverChange | None:
    tree = desired.dkms
    if tree is None:
        return None
    in_place = _holds(survey, tree.conf_path, tree.conf) and _holds(survey, tree.mark_path, tree.mark)
    unpack = not (tree.packaged or in_place)
    coming = {
        kernel.release for kernel in survey.kernels if not kernel.headers and _gets_headers(desired, survey, kernel)
    }
    kernels = tuple(
        kernel.release
        for kernel in sorted(survey.kernels, key=lambda kernel: not kernel.running)
        if (kernel.headers or kernel.running or kernel.release in coming)
        and (unpack or not _installed(survey, tree, kernel))
    )
    if not unpack and not kernels:
        return None
    running = survey.running_kernel
    return DriverChange(
        tree=tree,
        kernels=kernels,
        unpack=unpack,
        upload=unpack and _lacks_payload(survey, tree.payload),
        running=running.release if running else "",
        without_headers=frozenset(coming & set(kernels)),
        strays=tuple(
            leftover
            for leftover in desired.leftovers
            if (leftover.kind, leftover.fate) == (LeftoverKind.MODULE, Fate.SET_ASIDE)
            and set(kernels_of((leftover,))) & set(kernels)
        ),
    )


def _gets_headers(desired: DesiredState, survey: Survey, kernel: Kernel) -> bool:
    """Whether packages that are still to be installed bring the build tree of ``kernel``."""
    platform = platform_of(survey.host)
    asked = set(platform.headers_packages(kernel, survey)) if platform else set()
    return bool(asked & (set(desired.packages) - set(survey.packages)))


def _driver_package(desired: DesiredState, survey: Survey, receipt: Receipt) -> DriverPackageChange | None:
    package = desired.driver_package
    if package is None:
        return None
    installed = survey.packages.get(package.name)
    known = receipt.payloads.get(package.payload.name)
    same = known is not None and known.sha256 == package.payload.sha256
    if installed is not None and package.is_version(installed) and same:
        return None
    upload = _lacks_payload(survey, package.payload)
    in_the_way = {found.path for found in desired.leftovers if found.fate is Fate.REPLACED}
    tree = desired.dkms.source_dir if desired.dkms and desired.dkms.source_dir in in_the_way else None
    return DriverPackageChange(package, upload, replaces=installed is not None, tree=tree)


def _installed(survey: Survey, tree: DkmsModule, kernel: Kernel) -> bool:
    """DKMS says so, and the file is there, whole, and the one that it built: a power cut leaves it empty."""
    if kernel.module_path is None or kernel.vermagic is None:
        return False
    return any(
        (build.module, build.version, build.kernel) == (tree.name, tree.version, kernel.release)
        and build.state in {"installed", "installed-weak"}
        and "differences" not in (build.remark or "").lower()
        for build in survey.dkms or ()
    )


def _initramfs(
    desired: DesiredState, survey: Survey, files: Mapping[Concern, FilesChange], driver: DriverChange | None
) -> InitramfsChange | None:
    state = survey.initramfs
    if state is None or state.generator is None:
        return None
    if desired.initramfs is None:
        taken_back = Concern.INITRAMFS in files
        stale = tuple(image for image in state.images if taken_back or image.record is not None)
    else:
        touched = {path for change in files.values() for path in (*(f.path for f in change.files), *change.surplus)}
        all_of_them = Concern.INITRAMFS in files or bool(touched & set(desired.initramfs.inputs))
        holds_driver = desired.initramfs.content is ImageContent.DRIVER
        built = set(driver.kernels) if driver and holds_driver else set()
        stale = tuple(i for i in state.images if all_of_them or i.kernel in built or not i.current)
    return InitramfsChange(state.generator, stale, desired.initramfs is not None) if stale else None


def _card(settings: Settings, desired: DesiredState, survey: Survey, driver: DriverChange | None) -> CardChange | None:
    if desired.module is None or survey.host.container is not None:
        return None
    nodes = [node for node in survey.nodes or () if node.bdf in _cards(survey)]
    stale = {node.bdf for node in nodes if node.bdf and not _node_as_wanted(settings, node)}
    if settings.cards and survey.dma_heap is not None and not _heap_as_wanted(survey, survey.dma_heap):
        stale.add(HEAP)
    missing = survey.driver is not None and not survey.driver.loaded
    change = CardChange(
        # Some versions of the driver refuse to load without a card, and the reboot to come loads it anyway.
        load=desired.module if missing and (_cards(survey) or not _changed(desired, survey)) else None,
        trigger=tuple(sorted(stale)),
        reload=desired.module if _to_reload(settings, survey, driver) else None,
    )
    return change if change != CardChange(load=None, trigger=()) else None


def _to_reload(settings: Settings, survey: Survey, driver: DriverChange | None) -> bool:
    """The driver in memory is not the one on disk, or soon will not be; it may be replaced, and nobody holds a card."""
    if settings.reload is Reload.NEVER or survey.driver is None or not survey.driver.loaded:
        return False
    running = survey.running_kernel
    replaced = driver is not None and driver.unpack and running is not None and running.release in driver.kernels
    free = survey.nodes is not None and all(node.holders_known and not node.holders for node in survey.nodes)
    return free and (replaced or bool(survey.driver_is_stale))


def _cards(survey: Survey) -> set[str]:
    """Addresses of functions that are a Metis: the class accel holds other vendors' devices too."""
    found = set()
    for function in survey.pci or ():
        known = contract().identify(int(function.vendor, 16), int(function.device, 16), int(function.class_code, 16))
        if known is not None and known.kind in CARD_KINDS:
            found.add(function.bdf)
    return found


def _heap_as_wanted(survey: Survey, heap: Node) -> bool:
    """As far as the mode says: an entry of an access list shows there as the group's bits."""
    mode = int(heap.mode or "0", 8)
    opened = bool(mode & 0o006) and _by_vendor(survey)
    return mode & 0o060 == 0o060 and not opened


def _by_vendor(survey: Survey) -> bool:
    return survey.past is not None and any(rule.path == VENDOR_RULES for rule in survey.past.rules)


def _node_as_wanted(settings: Settings, node: Node) -> bool:
    stable = contract().nodes.stable
    return (node.owner, node.group, node.mode) == ("root", settings.group, settings.node_mode) and any(
        stable.matches(link.removeprefix("/dev/")) for link in node.links
    )


def _boot(desired: DesiredState) -> BootChange | None:
    return BootChange(desired.boot) if desired.boot and desired.boot.content != desired.boot.now else None


def _changed(desired: DesiredState, survey: Survey) -> tuple[str, ...]:
    """Files that only a boot reads and that are, or are about to be, not what the host booted with."""
    about_to_be = _boot(desired)
    paths = (*(survey.boot.changed if survey.boot else ()), *((about_to_be.config.path,) if about_to_be else ()))
    return tuple(dict.fromkeys(paths))


def _reboot(settings: Settings, desired: DesiredState, survey: Survey) -> RebootChange | None:
    changed = _changed(desired, survey)
    if not changed or settings.reboot is Reboot.NEVER or survey.host.container is not None:
        return None
    return RebootChange(changed)


def _services(desired: DesiredState, survey: Survey, receipt: Receipt) -> ServicesChange | None:
    seen = survey.services
    if seen is None:
        return None
    changed = {file.path for file in desired.files if not _in_place(survey, file)}
    change = ServicesChange(
        remove=tuple(name for name in _dropped(desired, receipt) if name in seen),
        enable=tuple(s.name for s in desired.services if s.paths[0] in changed or not _enabled(survey, s)),
        start=tuple(s.name for s in desired.services if _to_start(survey, s, changed)),
        reload=any(state.stale for state in seen.values()),
    )
    return change if change != ServicesChange() else None


def _dropped(desired: DesiredState, receipt: Receipt) -> Iterator[str]:
    """Services that we once defined and that are no longer wanted."""
    wanted = {file.path for file in desired.files}
    for path, entry in sorted(receipt.files.items()):
        if entry.concern is Concern.SERVICES and path not in wanted and (name := service_of(path)):
            yield name


def _enabled(survey: Survey, service: Service) -> bool:
    state = (survey.services or {}).get(service.name)
    return state is not None and state.enabled


def _to_start(survey: Survey, service: Service, changed: set[str]) -> bool:
    """It is new, or what it is made of changed, or it does not do what it should."""
    if changed & set(service.paths) or not _enabled(survey, service):
        return True
    return service.can_run and not service.runs((survey.services or {}).get(service.name))


def _runtime(desired: DesiredState, survey: Survey, receipt: Receipt) -> RuntimeChange | None:
    wanted, model = desired.runtime, desired.model
    install = wanted if wanted is not None and not wanted.is_on(survey) else None
    known = tuple(InstalledRuntime(entry.kind, entry.name, entry.engine) for entry in receipt.runtimes)
    others = tuple(entry for entry in known if wanted is None or entry != wanted.installed)
    gone = tuple(entry for entry in others if entry.kind is RuntimeKind.PACKAGE and entry.name not in survey.packages)
    lacking = model if model is not None and _lacks_payload(survey, model) else None
    handed_over = receipt.payloads.get("model")
    stale = handed_over is not None and (model is None or model.sha256 != handed_over.sha256)
    change = RuntimeChange(
        install=install,
        remove=tuple(entry for entry in others if entry not in gone),
        upload=tuple(payload for payload in install.payloads if _lacks_payload(survey, payload)) if install else (),
        model=lacking,
        forget=gone,
        old_model=handed_over.sha256 if handed_over is not None and stale else None,
    )
    return change if change != RuntimeChange() else None
