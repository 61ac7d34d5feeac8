"""What one look at a host found, as typed values.

A field that is ``None`` was not looked at or could not be read; an empty tuple means looked and found nothing.
The difference matters: a check answers "unknown" for the first and may fail or pass for the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from typing import TypeAlias, Union

JsonValue: TypeAlias = Union[bool, int, float, str, "list[JsonValue]", "dict[str, JsonValue]", None]


class Section(StrEnum):
    """A part of the survey; each is a fact of its own.

    The active ones touch the card and run in verification only; so does ``images``, because it unpacks them.
    """

    HOST = "host"
    KERNELS = "kernels"
    PCI = "pci"
    DRIVER = "driver"
    NODES = "nodes"
    DKMS = "dkms"
    ACCOUNTS = "accounts"
    FILES = "files"
    PACKAGES = "packages"
    PAST = "past"
    BOOT = "boot"
    INITRAMFS = "initramfs"
    SERVICES = "services"
    STATE = "state"
    LOG = "log"
    IMAGES = "images"
    ACCESS = "access"
    DEVICES = "devices"
    SELF_TEST = "self-test"
    LOAD = "load"


ACTIVE = frozenset({Section.ACCESS, Section.DEVICES, Section.SELF_TEST, Section.LOAD})
PASSIVE = tuple(section for section in Section if section not in ACTIVE | {Section.IMAGES})


@dataclass(frozen=True, slots=True)
class SurveyRequest:
    """What to look for: the sections, and the names that the host cannot know by itself."""

    sections: tuple[Section, ...] = PASSIVE
    paths: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    """Names; with dpkg also patterns with ``*``, which stand for every installed package that matches."""
    group: str = "axelera"
    image: str | None = None
    """A container image by id or by name and digest."""
    self_test_model: str | None = None
    self_test_seconds: int = 2
    load_seconds: int | None = None
    """How long the cards are kept at work; None for not at all."""
    inference: tuple[str, ...] = ()
    """The command of the self-test in place of ``axrunmodel``: path and arguments."""
    aipu_cores: int | None = None
    """Cores that the inference is spread over; None leaves that to the tool."""
    limit: int | None = None
    """Seconds after which a section that is not whole is given up; None for no limit."""


@dataclass(frozen=True, slots=True)
class PackageLock:
    """A lock file of the package manager, and the process that holds it."""

    path: str
    pid: int
    command: str


@dataclass(frozen=True, slots=True)
class Host:
    """Operating system, machine and clock. ``os_release`` holds /etc/os-release unquoted."""

    os_release: Mapping[str, str] = field(default_factory=dict)
    rpi_issue: bool = False
    """/etc/rpi-issue exists: Raspberry Pi OS, which calls itself Debian."""
    architecture: str = ""
    """``uname -m`` of the kernel, which may be wider than the userland."""
    userland: str | None = None
    """The package manager's architecture (``dpkg --print-architecture``), where it can be asked."""
    model: str | None = None
    """/proc/device-tree/model without its NUL."""
    init: str = "unknown"
    """``systemd``, ``openrc``, ``sysvinit``, ``busybox`` or ``unknown``: what runs as PID 1."""
    container: str | None = None
    """Kind of container (podman, docker, lxc, systemd-nspawn), None on a machine of its own."""
    boot_id: str | None = None
    epoch: int | None = None
    """The host's clock, seconds since 1970."""
    uid: int | None = None
    page_size: int | None = None
    """Bytes."""
    free_kib: Mapping[str, int] = field(default_factory=dict)
    """Free space in KiB by directory: /, /usr, /var, /boot, /tmp."""
    writable: Mapping[str, bool] = field(default_factory=dict)
    """Whether the file system below /etc and /var is mounted for writing, as far as that could be read."""
    package_locks: tuple[PackageLock, ...] | None = None
    """Who holds a lock of the package manager; None if that could not be read."""
    tools: Mapping[str, str] = field(default_factory=dict)
    """Path by command name, for the commands that later steps need."""
    secure_boot: bool | None = None


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel on disk. ``headers``: its build tree's Makefile is readable, so a module can be built."""

    release: str
    running: bool
    headers: bool
    module_path: str | None = None
    """The driver's module file under /lib/modules/<release>, if there is one."""
    module_version: str | None = None
    vermagic: str | None = None
    dmabuf_heaps: bool | None = None
    """CONFIG_DMABUF_HEAPS_SYSTEM, where the kernel's configuration can be read."""
    srcversion: str | None = None
    """Checksum of the module's sources, as modpost wrote it into the file."""
    signed: bool | None = None
    """The module file ends in a signature; None where that could not be seen."""
    signer: str | None = None
    signing_key: str | None = None
    """Serial number of the certificate the module is signed with: hexadecimal, lower case, no leading zeros."""


@dataclass(frozen=True, slots=True)
class NextBoot:
    """The kernel that the boot loader loads next, as far as its configuration says so.

    ``source`` is where that was read, or why it could not be: half a sentence.
    """

    release: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that modules are signed or trusted by: hexadecimal, lower case, without separators."""

    fingerprint: str | None = None
    """SHA-1 of the certificate."""
    serial: str | None = None
    """Without leading zeros."""
    key_id: str | None = None
    """Subject key identifier."""
    name: str = ""

    def is_same(self, other: Certificate) -> bool | None:
        """Whether both are one certificate; None where they have nothing in common to compare."""
        for mine, theirs in (
            (self.fingerprint, other.fingerprint),
            (self.key_id, other.key_id),
            (self.serial, other.serial),
        ):
            if mine is not None and theirs is not None:
                return mine == theirs
        return None


class SignatureState(StrEnum):
    """What a kernel that insists on signatures makes of a module file."""

    UNSIGNED = "unsigned"
    NOT_ENROLLED = "not-enrolled"
    STAGED = "staged"
    ENROLLED = "enrolled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ModuleTrust:
    """Whether the kernel insists on signed modules, and which keys it takes.

    Lists that are None were not looked at: on a host that does not insist nobody asks for them.
    """

    sig_enforce: bool | None = None
    """``module.sig_enforce``, or the kernel was built to insist; False too where it knows no signatures."""
    lockdown: str | None = None
    """none, integrity or confidentiality."""
    shim_validates: bool | None = None
    """False where validation was switched off in shim."""
    enrolled: tuple[Certificate, ...] | None = None
    """Machine owner keys, as mokutil lists them."""
    staged: tuple[Certificate, ...] | None = None
    """Keys that wait for their confirmation at the next boot."""
    kernel_keys: tuple[Certificate, ...] | None = None
    """Keys in the running kernel's keyrings: name and identifier."""
    own: Certificate | None = None
    """The certificate that DKMS signs with on this host."""
    own_path: str | None = None

    def signature(self, kernel: Kernel) -> SignatureState:
        """What is known of the signature of a kernel's module file."""
        if kernel.signed is None:
            return SignatureState.UNKNOWN
        if not kernel.signed:
            return SignatureState.UNSIGNED
        signer = Certificate(serial=kernel.signing_key, name=kernel.signer or "")
        if self.own is not None and signer.is_same(self.own):
            signer = self.own
        return self.standing(signer)

    def standing(self, signer: Certificate) -> SignatureState:
        """Whether what is signed by this certificate is taken."""
        held = self.kernel_keys
        if held is not None and signer.key_id in {key.key_id for key in held} - {None}:
            return SignatureState.ENROLLED
        enrolled, staged = (self._among(signer, keys) for keys in (self.enrolled, self.staged))
        if enrolled:
            return SignatureState.ENROLLED
        if staged:
            return SignatureState.STAGED
        if held is not None and signer.key_id is None and signer.name in {key.name for key in held}:
            # A key of this name is in the kernel, and nothing tells whether it is this one: a name proves nothing.
            return SignatureState.UNKNOWN
        # The kernel reads machine owner keys at boot: what is in none of its keyrings it does not take.
        absent = held is not None and (signer.key_id is not None or bool(signer.name))
        return SignatureState.UNKNOWN if enrolled is None and not absent else SignatureState.NOT_ENROLLED

    @staticmethod
    def _among(signer: Certificate, keys: tuple[Certificate, ...] | None) -> bool | None:
        if keys is None:
            return None
        answers = [signer.is_same(key) for key in keys]
        if True in answers:
            return True
        return None if None in answers else False


@dataclass(frozen=True, slots=True)
class PciFunction:
    """One PCI function: ids are lower-case hexadecimal without 0x, speed in GT/s, width in lanes."""

    bdf: str
    vendor: str
    device: str
    class_code: str
    """Six hexadecimal digits, for example ``120000``."""
    revision: str | None = None
    driver: str | None = None
    current_speed: float | None = None
    current_width: int | None = None
    max_speed: float | None = None
    max_width: int | None = None
    path: tuple[str, ...] = ()
    """BDFs of the bridges above, root port first."""
    bars: tuple[int, ...] = ()
    """Bytes by BAR number, six where they could be read; 0 for one that does not exist or has no address."""
    config_reads_ff: bool = False
    """The first configuration bytes read as 0xff: the device is off the bus."""
    max_payload: int | None = None
    max_read_request: int | None = None


@dataclass(frozen=True, slots=True)
class Driver:
    """The driver in memory."""

    loaded: bool = False
    version: str | None = None
    """/sys/module/<module>/version, or the class's version file."""
    srcversion: str | None = None
    """Checksum of the sources it was built from, as in ``Kernel``."""
    bound: tuple[str, ...] = ()
    """BDFs bound to the PCI driver."""
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a node open."""

    pid: int
    command: str
    user: str


@dataclass(frozen=True, slots=True)
class Node:
    """A character device of one of the card's classes, resolved through sysfs."""

    path: str
    bdf: str | None
    device_class: str
    owner: str
    group: str
    mode: str
    """Four octal digits; empty, like owner and group, where the kernel has the device but /dev lacks the node."""
    links: tuple[str, ...] = ()
    """Symbolic links under /dev that lead here."""
    holders: tuple[Holder, ...] = ()
    holders_known: bool = True
    """False where only root could have seen who holds it: no holders then means nothing."""


@dataclass(frozen=True, slots=True)
class DkmsBuild:
    """One line of ``dkms status``: state is added, built, installed, installed-weak or broken."""

    module: str
    version: str
    kernel: str | None
    architecture: str | None
    state: str
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class FailedBuild:
    """The last build that DKMS left unfinished in its tree; ``kernel`` is what its log says it was for."""

    version: str
    kernel: str | None
    log: str
    error: str
    """The first line of the log that speaks of an error, at most 300 characters."""


class Generator(StrEnum):
    """What makes the images of early user space."""

    DRACUT = "dracut"
    INITRAMFS_TOOLS = "initramfs-tools"
    MKINITCPIO = "mkinitcpio"
    MKINITFS = "mkinitfs"


@dataclass(frozen=True, slots=True)
class InitramfsImage:
    """The image that is loaded with a kernel, at the path where the boot loader reads it."""

    kernel: str
    path: str
    identity: str
    """Size in bytes and time of change in seconds: another image has another."""
    inputs: str | None = None
    """Digest of what should go in, as the host is now; None where nothing of ours says so."""
    record: tuple[str, str] | None = None
    """Inputs and identity when we last built it or looked into it; None for an image we never had to do with."""

    @property
    def current(self) -> bool:
        """It is the image that was found to hold what should go in now."""
        return self.inputs is not None and self.record == (self.inputs, self.identity)


@dataclass(frozen=True, slots=True)
class InitramfsState:
    """How this host comes by its images, and those there are."""

    generator: Generator | None = None
    """What makes an image when a kernel arrives; None where nothing known to us does."""
    images: tuple[InitramfsImage, ...] = ()
    """One for each kernel that is booted with an image."""


@dataclass(frozen=True, slots=True)
class ImageItem:
    """Something that should be in the image of a kernel, and whether it is; None where it could not be listed."""

    kernel: str
    name: str
    held: bool | None


@dataclass(frozen=True, slots=True)
class Account:
    """A user or group; ``groups`` are names, the primary one included."""

    name: str
    id: int
    groups: tuple[str, ...] = ()
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileState:
    """What lies at a path: ``kind`` is file, link, directory, other or absent."""

    path: str
    kind: str
    sha256: str | None = None
    mode: str | None = None
    owner: str | None = None
    group: str | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True)
class RuleLine:
    """A line of a udev rule file that may speak of a card or the DMA heap; continued lines are one."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class SourceTree:
    """A driver's source below /usr/src; ``owner`` is the package it belongs to, None if it belongs to none."""

    path: str
    version: str
    has_conf: bool
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """A file of the driver's module below /lib/modules; ``owner`` as in ``SourceTree``."""

    path: str
    kernel: str
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """What may be left of other tools and older hands."""

    rules: tuple[RuleLine, ...] = ()
    units: tuple[str, ...] = ()
    """Unit files that cannot be enabled, because they have no ``[Install]``."""
    dracut_modules: tuple[str, ...] = ()
    """Module set-up scripts that call a function dracut does not have."""
    sources: tuple[SourceTree, ...] = ()
    modules: tuple[ModuleFile, ...] = ()


@dataclass(frozen=True, slots=True)
class JobState:
    """A long step on the host: still running under its lock, or ended with a status."""

    name: str
    running: bool
    status: int | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service called ``axelera*`` as the host's init system sees it; ``name`` without ``.service``.

    ``state`` is active, inactive, failed, starting, stopping or crashed (OpenRC: its process is gone).
    """

    name: str
    enabled: bool
    state: str
    detail: str = ""
    """The init system's own words."""
    ran: bool = False
    """It was started since boot, whether or not it is active now."""
    stale: bool = False
    """Its definition changed since the init system read it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to open a node, a card's or the DMA heap's: as whom, on which node, and what came of it.

    ``who`` is a service user, or ``member`` for somebody who has the group alone, or ``outsider``.
    ``result`` is ok, denied, busy, absent or error; ``detail`` the system's own words.
    """

    who: str
    node: str
    result: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a tool on the host printed: exit status 127 for a tool that is not there, 124 for one that was cut off."""

    command: str
    status: int
    output: tuple[str, ...] = ()
    earlier: tuple[CommandResult, ...] = ()
    """Attempts before this one, the first one first."""

    @property
    def program(self) -> str:
        """The command's first word."""
        return self.command.split(" ")[0]


@dataclass(frozen=True, slots=True)
class Sleep:
    """What could put the host to sleep: states its kernel knows, targets that are masked, and what would ask for it."""

    states: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Server:
    """A running ``axsystemserver`` and where it listens, each as ``ADDRESS:PORT`` in the kernel's hexadecimal.

    ``listening`` is None where only root could have seen it.
    """

    pid: int
    listening: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a host has to help with the frames around an inference: render nodes, VA-API drivers, OpenCL platforms."""

    render_nodes: tuple[str, ...] = ()
    vaapi: tuple[str, ...] = ()
    opencl: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Counted:
    """A counter of a PCI function before and after the card was at work."""

    bdf: str
    before: int
    after: int
    kind: str = ""
    """Of errors: correctable, nonfatal or fatal."""


@dataclass(frozen=True, slots=True)
class Temperatures:
    """What a card said of its temperatures, degrees Celsius: of the board (None if not told) and of its cores."""

    when: str
    """before or after it was at work."""
    board: float | None = None
    cores: tuple[float, ...] = ()

    @property
    def hottest(self) -> float | None:
        """The highest of all that were told."""
        told = (*self.cores, *(() if self.board is None else (self.board,)))
        return max(told, default=None)


@dataclass(frozen=True, slots=True)
class LinkSeen:
    """A link as it was found at a look and was not at the one before; ``seconds`` since the first look.

    ``status`` is the Link Status register, None where only root could have read it.
    """

    seconds: int
    bdf: str
    speed: float | None
    width: int | None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What was seen while the cards were kept at work."""

    looks: int = 0
    """How often the links were looked at."""
    interval: int = 0
    """Seconds between two looks."""
    links: tuple[LinkSeen, ...] = ()
    errors: tuple[Counted, ...] = ()
    """What the cards' ports and their own functions counted (AER)."""
    interrupts: tuple[Counted, ...] = ()
    temperatures: tuple[Temperatures, ...] = ()
    clocks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What ``axdevice`` printed before and after."""


@dataclass(frozen=True, slots=True)
class Boot:
    """What the firmware of a Raspberry Pi reads, and what the running device tree says of it."""

    config_path: str | None = None
    config: str | None = None
    """Contents of config.txt, each character one byte (Latin-1); None if it could not be read."""
    mount_point: str | None = None
    """Of the file system that holds config.txt."""
    file_system: str | None = None
    read_only: bool | None = None
    cmdline: str | None = None
    overlays: tuple[str, ...] | None = None
    """Names of the overlays beside config.txt, None where it has no directory of them."""
    configfs: bool = False
    """The running kernel can load overlays."""
    pcie_enabled: bool | None = None
    """What the running device tree says of the Pi 5's external PCIe port; None where it has none."""
    pcie_generation: int | None = None
    changed: tuple[str, ...] = ()
    """Files read at boot that were changed since and are not as they were then."""


@dataclass(frozen=True, slots=True)
class Survey:
    """One look at one host."""

    sections: frozenset[Section] = frozenset()
    """Sections that were asked for and arrived whole."""
    late: frozenset[Section] = frozenset()
    """Sections that the time allowed did not suffice for."""
    spent: Mapping[str, float] = field(default_factory=dict)
    """Seconds by section, by the host's own clock."""
    complaints: tuple[str, ...] = ()
    """Lines the parser did not understand, for the support bundle; never a reason to fail."""
    host: Host = field(default_factory=Host)
    kernels: tuple[Kernel, ...] = ()
    next_boot: NextBoot | None = None
    """None where nobody looked, as in a container."""
    trust: ModuleTrust | None = None
    """None where nobody looked."""
    pci: tuple[PciFunction, ...] | None = None
    """Processing accelerators, the ids in the contract, and every bridge above them; not the whole bus."""
    driver: Driver | None = None
    nodes: tuple[Node, ...] | None = None
    dma_heap: Node | None = None
    dkms: tuple[DkmsBuild, ...] | None = None
    """None where dkms is not installed."""
    failed_builds: tuple[FailedBuild, ...] = ()
    users: Mapping[str, Account] = field(default_factory=dict)
    groups: Mapping[str, Account] = field(default_factory=dict)
    files: Mapping[str, FileState] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    """Installed version by package name, for the packages asked for."""
    package_manager: str | None = None
    """``dpkg``, ``rpm``, ``pacman`` or ``apk``: who answered for the packages; None if nobody could."""
    engines: frozenset[str] = frozenset()
    """Container engines that have the image asked for."""
    initramfs: InitramfsState | None = None
    image_items: tuple[ImageItem, ...] = ()
    boot: Boot | None = None
    services: Mapping[str, ServiceState] | None = None
    """None where neither systemd nor OpenRC runs."""
    sleep: Sleep | None = None
    servers: tuple[Server, ...] | None = None
    pipeline: Pipeline | None = None
    past: Past | None = None
    receipt: str | None = None
    """Text of the receipt on the host, None if there is none."""
    jobs: Mapping[str, JobState] = field(default_factory=dict)
    locked: bool | None = None
    """Somebody holds the lock of all runs on this host."""
    log: tuple[str, ...] = ()
    """Kernel log lines around the card."""
    log_readable: bool = True
    """False where the log is kept from us, as in most containers: no lines then means nothing."""
    attempts: tuple[Attempt, ...] = ()
    devices: CommandResult | None = None
    self_test: CommandResult | None = None
    interrupts: tuple[Counted, ...] = ()
    """Of each card, before and after the self-test."""
    temperatures: tuple[Temperatures, ...] = ()
    """After the self-test."""
    sustained: CommandResult | None = None
    """The inference of the long level."""
    load: Load | None = None

    @property
    def running_kernel(self) -> Kernel | None:
        """The kernel in memory, if its release could be read."""
        return next((kernel for kernel in self.kernels if kernel.running), None)

    @property
    def driver_is_stale(self) -> bool | None:
        """Whether the driver in memory is another than the running kernel's on disk; None where that cannot be told."""
        kernel = self.running_kernel
        if self.driver is None or not self.driver.loaded or kernel is None or kernel.module_path is None:
            return None
        pairs = ((self.driver.version, kernel.module_version), (self.driver.srcversion, kernel.srcversion))
        known = [memory != disk for memory, disk in pairs if memory is not None and disk is not None]
        return any(known) if known else None

    @property
    def next_kernel(self) -> Kernel | None:
        """The kernel that boots next; None where that is not known."""
        release = self.next_boot.release if self.next_boot else None
        if release is None:
            return None
        there = next((kernel for kernel in self.kernels if kernel.release == release), None)
        # The loader may name a kernel whose modules are gone.
        return there or Kernel(release, running=False, headers=False)

    @property
    def signatures_enforced(self) -> str | None:
        """What makes the kernel refuse modules it does not trust, in words; empty for nothing, None if not known.

        Secure Boot by itself does not: distributions' kernels lock themselves down under it, others do not.
        """
        trust = self.trust
        if trust is None:
            return "" if self.host.secure_boot is False else None
        if trust.sig_enforce:
            return "module.sig_enforce"
        if trust.lockdown in {"integrity", "confidentiality"}:
            under = ", under Secure Boot" if self.host.secure_boot else ""
            return f"the kernel's lockdown ({trust.lockdown}{under})"
        if not self.host.secure_boot or trust.shim_validates is False:
            return "" if self.host.secure_boot is not None or trust.lockdown is not None else None
        return "" if trust.lockdown == "none" else "Secure Boot"

    def to_json(self) -> dict[str, JsonValue]:
        """Return the survey as JSON types; pyinfra prints facts with it."""
        return {item.name: plain(getattr(self, item.name)) for item in fields(self)}


def plain(value: object) -> JsonValue:
    """Turn a value of this module into JSON types: dataclasses and mappings to dicts, tuples and sets to lists."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Set):
        return [plain(item) for item in sorted(value)]
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no form in JSON")
