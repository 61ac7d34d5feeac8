"""Each code passes on a healthy host and says no, in its own words, on one that is broken in its way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from builders import (
    CARD,
    DEVICE_LINE,
    HEAP,
    HOLDER,
    KERNEL,
    MODULE_PATH,
    NODE,
    OTHER_KERNEL,
    PORT,
    RULES,
    SECOND_CARD,
    SECOND_NODE,
    SECOND_PORT,
    VERSION,
    attempts,
    build,
    card,
    desired,
    evidence,
    heap,
    kernel,
    node,
    port,
    settings,
    state_of,
    survey,
    without,
)

from metis_provision.checks.catalogue import catalogue
from metis_provision.checks.evaluate import evaluate
from metis_provision.checks.evidence import Evidence
from metis_provision.model.artifact import (
    BootConfig,
    EnvironmentRuntime,
    Fate,
    File,
    Group,
    ImageContent,
    ImageRuntime,
    Initramfs,
    Leftover,
    LeftoverKind,
    Needs,
    PackagedRuntime,
    Service,
    User,
)
from metis_provision.model.survey import (
    Account,
    Attempt,
    Boot,
    Certificate,
    CommandResult,
    Counted,
    Driver,
    FailedBuild,
    FileState,
    Generator,
    Host,
    ImageItem,
    InitramfsImage,
    InitramfsState,
    Kernel,
    LinkSeen,
    Load,
    ModuleTrust,
    NextBoot,
    PackageLock,
    Past,
    Pipeline,
    RuleLine,
    Section,
    Server,
    ServiceState,
    Sleep,
    Temperatures,
)
from metis_provision.model.verdict import Answer, Finding

PASS, WARN, FAIL, SKIP, UNKNOWN = Answer.PASS, Answer.WARN, Answer.FAIL, Answer.SKIP, Answer.UNKNOWN

HEALTHY = evidence()
TWO_CARDS = evidence(
    pci=(port(), card(), port(SECOND_PORT), card(SECOND_CARD, path=(SECOND_PORT,))),
    nodes=(node(), node(SECOND_NODE, SECOND_CARD, links=("/dev/axelera1",))),
    asked=settings(cards=2),
)
SWITCH = ("0001:00:00.0", "0001:01:00.0", "0001:02:03.0")
PI_GEN2 = (
    port(max_speed=5.0, max_width=1, current_speed=5.0, current_width=1),
    card(current_speed=5.0, current_width=1),
)


def ran(status: int, *output: str, command: str = "axrunmodel /opt/m.json") -> CommandResult:
    """What a self-test left."""
    return CommandResult(command, status, output)


def listed(*output: str, status: int = 0) -> CommandResult:
    """What axdevice left."""
    return CommandResult("axdevice", status, output)


def behind_switch(*, uplink: float = 5.0, downlink: float = 5.0, port_max: float = 8.0) -> tuple:
    """Return a card behind a switch, with the speeds of its two links."""
    root, up, down = SWITCH
    return (
        port(root, current_speed=uplink, current_width=1, max_width=1, max_speed=port_max),
        port(up, current_speed=uplink, current_width=1, max_width=1, path=(root,)),
        port(down, current_speed=downlink, current_width=1, max_width=1, path=(root, up)),
        card(path=SWITCH, current_speed=downlink, current_width=1),
    )


@dataclass(frozen=True)
class Case:
    """One host, one code, and what is said: the worst answer of the code and a part of its words."""

    code: str
    name: str
    evidence: Evidence
    answer: Answer
    words: str


def _host() -> Iterator[Case]:
    yield Case("METIS-010", "now", HEALTHY, PASS, "2025-10-09")
    yield Case("METIS-010", "no battery", evidence(host=Host(epoch=86_400)), FAIL, "says 1970-01-02, which is before")
    yield Case("METIS-010", "first second", evidence(host=Host(epoch=1_735_689_600)), PASS, "2025-01-01 00:00")
    yield Case("METIS-010", "last second", evidence(host=Host(epoch=1_735_689_599)), FAIL, "2024-12-31")
    yield Case("METIS-010", "unread", evidence(host=Host()), UNKNOWN, "clock could not be read")
    yield Case("METIS-010", "absurd", evidence(host=Host(epoch=10**18)), UNKNOWN, "which is no date")

    def room(**free: int) -> Evidence:
        return evidence(host=Host(free_kib={f"/{path}": kib for path, kib in free.items()}))

    yield Case("METIS-011", "room", HEALTHY, PASS, "MiB at least")
    yield Case("METIS-011", "full", room(usr=900_000, var=4096), FAIL, "/var has 4 MiB free, 128 are the least")
    yield Case("METIS-011", "just enough", room(usr=128 * 1024), PASS, "128 MiB at least")
    yield Case("METIS-011", "just not", room(usr=128 * 1024 - 1), FAIL, "/usr has 127 MiB free")
    yield Case("METIS-011", "small boot", room(usr=900_000, boot=10, tmp=10), PASS, "878 MiB")
    yield Case("METIS-011", "unread", evidence(host=Host(epoch=1)), UNKNOWN, "free space could not be read")
    yield Case("METIS-012", "both", HEALTHY, PASS, "/etc is mounted for writing")
    read_only = evidence(host=Host(writable={"/etc": False, "/var": True}))
    yield Case("METIS-012", "read-only", read_only, FAIL, "/etc is on a file system that is mounted read-only")
    yield Case("METIS-012", "unread", evidence(host=Host(epoch=1)), UNKNOWN, "how /etc and /var are mounted")
    yield Case("METIS-013", "free", HEALTHY, PASS, "No lock of the package manager is held")
    apt = PackageLock("/var/lib/dpkg/lock-frontend", 812, "apt-get")
    held = evidence(host=Host(package_locks=(apt,)))
    yield Case("METIS-013", "held", held, WARN, "apt-get (process 812) holds /var/lib/dpkg/lock-frontend.")
    nameless = evidence(host=Host(package_locks=(replace(apt, command=""),)))
    yield Case("METIS-013", "held by somebody", nameless, WARN, "an unnamed process (process 812)")
    yield Case("METIS-013", "unread", evidence(host=Host(epoch=1)), UNKNOWN, "/proc/locks")
    yield Case("METIS-020", "debian", HEALTHY, PASS, "Debian GNU/Linux 13 (trixie), x86_64, systemd.")
    terse = evidence(host=Host(os_release={"ID": "alpine"}))
    yield Case("METIS-020", "terse", terse, PASS, "alpine, unknown machine, unknown.")
    blocked = desired(blockers=("A 64-bit module needs an arm64 compiler.", "No space."))
    yield Case("METIS-020", "blocked", evidence(wanted=blocked), FAIL, "an arm64 compiler; No space.")
    yield Case("METIS-020", "nameless", evidence(host=Host(epoch=1_760_000_000)), UNKNOWN, "which system it runs")


def _cards() -> Iterator[Case]:
    def only(*functions, **changes) -> Evidence:
        return evidence(pci=(port(), *functions), **changes)

    yield Case("METIS-101", "one", HEALTHY, PASS, f"1 card: {CARD} 1f9d:1100")
    yield Case("METIS-101", "two", TWO_CARDS, PASS, "2 cards")
    yield Case("METIS-101", "empty slot", only(), FAIL, "No card on the bus, 1 expected.")
    yield Case("METIS-101", "no bus at all", evidence(pci=()), FAIL, "No card on the bus")
    yield Case("METIS-101", "bus unread", evidence(pci=None), UNKNOWN, "PCI bus could not be read")
    one_of_two = replace(HEALTHY, settings=settings(cards=2))
    yield Case("METIS-101", "one of two", one_of_two, FAIL, f"1 card ({CARD} 1f9d:1100) on the bus, 2 expected")
    dead = card(vendor="16c3", device="abcd", class_code="ff0000")
    yield Case("METIS-101", "half dead", only(dead), FAIL, f"found instead: {CARD} 16c3:abcd")
    synopsys_port = port("0000:00:00.0", vendor="16c3", device="abcd")
    yield Case("METIS-101", "synopsys port", only(synopsys_port), FAIL, "No card on the bus, 1 expected.")
    gone = card(config_reads_ff=True)
    yield Case("METIS-101", "left the bus", only(gone), FAIL, "which reads 0xff")
    europa = card(device="0001")
    yield Case("METIS-101", "europa", only(europa), FAIL, "Europa AIPU, which is not a Metis")
    ssd = card(vendor="1e81", device="1202", class_code="010802")
    yield Case("METIS-101", "ramaxel ssd", only(ssd), FAIL, "No card on the bus, 1 expected.")
    nic = card(vendor="1f0f", device="0001", class_code="020000")
    yield Case("METIS-101", "nebulamatrix nic", only(nic), FAIL, "No card on the bus, 1 expected.")
    documented = card(vendor="1e81", device="1202", class_code="120000")
    yield Case("METIS-101", "documented id", only(documented), PASS, "1 card")
    npu = card(vendor="8086", device="7d1d")
    yield Case("METIS-101", "npu", only(npu), FAIL, "No card on the bus, 1 expected.")

    yield Case("METIS-102", "none too many", HEALTHY, PASS, "None beyond")
    too_many = replace(TWO_CARDS, settings=settings())
    yield Case("METIS-102", "one too many", too_many, WARN, "2 cards on the bus, 1 expected")

    yield Case("METIS-103", "none", HEALTHY, PASS, "No function")
    yield Case("METIS-103", "instead of the card", only(dead), FAIL, f"{CARD} shows 16c3:abcd")
    beside = replace(dead, bdf=SECOND_CARD)
    yield Case("METIS-103", "beside the card", only(card(), beside), WARN, f"{SECOND_CARD} shows 16c3:abcd")
    yield Case("METIS-103", "a port of the board", only(card(), synopsys_port), PASS, "No function")

    yield Case("METIS-104", "answers", HEALTHY, PASS, "No card reads 0xff")
    yield Case("METIS-104", "gone", only(gone), FAIL, f"{CARD} reads 0xff")

    yield Case("METIS-105", "product", HEALTHY, PASS, "1f9d:1100")
    yield Case("METIS-105", "alpha", only(card(device="11aa")), WARN, "1f9d:11aa, alpha silicon")
    yield Case("METIS-105", "emulator", only(card(vendor="1234", device="2024")), WARN, "an emulator")
    yield Case("METIS-105", "documented id", only(documented), WARN, "to another vendor")
    yield Case("METIS-105", "no card", only(), SKIP, "METIS-101")

    yield Case("METIS-110", "both", HEALTHY, PASS, f"{CARD} has windows of 4 KiB and 32 MiB.")
    yield Case("METIS-110", "listed without gaps", only(card(bars=(0x1000, 0x2000000))), PASS, "4 KiB and 32 MiB")
    yield Case("METIS-110", "one window", only(card(bars=(0x2000000,))), FAIL, "has windows of 32 MiB, where")
    one_mib = only(card(bars=(0x1000, 0x100000)))
    yield Case("METIS-110", "one MiB", one_mib, FAIL, f"{CARD} has windows of 4 KiB and 1 MiB, where")
    unassigned = only(card(bars=(0, 0, 0, 0, 0, 0)))
    yield Case("METIS-110", "no address, in words", unassigned, FAIL, "has windows of no size at all, where")
    for name, bars in {
        "none": (),
        "no address": (0, 0, 0, 0, 0, 0),
        "registers only": (0x1000, 0, 0, 0, 0, 0),
        "memory only": (0, 0, 0x2000000, 0, 0, 0),
        "small window": (0x1000, 0, 0x1FFFFFF, 0, 0, 0),
        "small registers": (0xFFF, 0, 0x2000000, 0, 0, 0),
    }.items():
        yield Case("METIS-110", name, only(card(bars=bars)), FAIL, "where 4 KiB and 32 MiB are needed")
    yield Case(
        "METIS-110",
        "second card",
        replace(TWO_CARDS, survey=survey(pci=(port(), card(), card(SECOND_CARD, bars=())))),
        FAIL,
        f"{SECOND_CARD} has windows of no size",
    )


def _link() -> Iterator[Case]:
    def at(carrier: str, *functions) -> Evidence:
        return evidence(pci=functions, asked=settings(carrier=carrier))

    yield Case("METIS-120", "full", HEALTHY, PASS, "8 GT/s x4")
    limits = f"({PORT} up to 8 GT/s x4, {CARD} up to 8 GT/s x4, PCIe or M.2 slot of an x86 machine up to 8 GT/s x4)"
    yield Case("METIS-120", "limits named", at("x86-slot", port(), card(current_width=2)), WARN, limits)
    yield Case("METIS-120", "limits in part", at("rk3588", port(), card()), PASS, "RK3588 board up to 8 GT/s)")
    yield Case(
        "METIS-120",
        "narrow",
        evidence(pci=(port(), card(current_width=1))),
        WARN,
        f"The link {PORT} to {CARD} runs at 8 GT/s x1, the path allows 8 GT/s x4",
    )
    yield Case("METIS-120", "slow", evidence(pci=(port(), card(current_speed=2.5))), WARN, "runs at 2.5 GT/s x4")
    yield Case("METIS-120", "narrow port", evidence(pci=(port(max_width=1), card(current_width=1))), PASS, "8 GT/s x1")
    yield Case("METIS-120", "pi without gen3", at("exaviz-cruiser", *PI_GEN2), PASS, "5 GT/s x1")
    yield Case("METIS-120", "carrier is the limit", at("rpi5-dual-hat", *behind_switch()), PASS, "5 GT/s x1")
    yield Case(
        "METIS-120",
        "switch below its best",
        at("generic", *behind_switch(downlink=8.0)),
        WARN,
        f"The link {SWITCH[0]} to {SWITCH[1]} runs at 5 GT/s x1, the path allows 8 GT/s x1",
    )
    slow_root = behind_switch(downlink=2.5, port_max=5.0)
    yield Case(
        "METIS-120",
        "below the switch",
        at("generic", *slow_root),
        WARN,
        f"The link {SWITCH[2]} to {CARD} runs at 2.5 GT/s x1, the path allows 5 GT/s x1",
    )
    yield Case(
        "METIS-120",
        "port tells for the card",
        evidence(pci=(port(), card(current_speed=None, current_width=None))),
        PASS,
        "8 GT/s x4",
    )
    relayed = list(behind_switch(downlink=8.0))
    relayed[3] = replace(relayed[3], current_speed=None, current_width=None)
    yield Case("METIS-120", "switch tells for the card", at("rpi5-dual-hat", *relayed), PASS, "runs at 8 GT/s x1")
    silent = evidence(pci=(port(current_width=None), card(current_width=None)))
    yield Case("METIS-120", "state unread", silent, UNKNOWN, f"link to {CARD} could not be read")
    mute_port = port(max_speed=None, max_width=None)
    yield Case(
        "METIS-120",
        "limit unread, narrow",
        evidence(pci=(mute_port, card(current_width=1))),
        UNKNOWN,
        f"what {PORT} allows could not be read",
    )
    yield Case(
        "METIS-120", "limit unread, full", evidence(pci=(mute_port, card())), PASS, f"x4 ({CARD} up to 8 GT/s x4)."
    )
    speed_unread = evidence(pci=(port(current_speed=None), card(current_speed=None)))
    yield Case("METIS-120", "speed unread", speed_unread, UNKNOWN, f"link to {CARD} could not be read")
    for part in ("max_speed", "max_width"):
        half_mute = evidence(pci=(port(**{part: None}), card(current_width=1)))
        yield Case("METIS-120", f"{part} unread, narrow", half_mute, UNKNOWN, f"what {PORT} allows could not be read")
    lanes = evidence(pci=(port(max_speed=None), card()))
    yield Case("METIS-120", "limit in lanes alone", lanes, PASS, f"({PORT} up to x4, ")
    yield Case(
        "METIS-120", "limit in part", evidence(pci=(port(max_width=None), card())), PASS, f"({PORT} up to 8 GT/s, "
    )
    limitless = evidence(pci=(mute_port, card(max_speed=None, max_width=None)))
    yield Case("METIS-120", "no limit known", limitless, UNKNOWN, "no port on the way")
    yield Case("METIS-120", "guest", evidence(pci=(card(path=()),)), SKIP, "no port above")
    yield Case(
        "METIS-120", "port not looked at", evidence(pci=(card(),)), UNKNOWN, f"nothing is known of the port {PORT}"
    )
    yield Case(
        "METIS-120",
        "odd path",
        evidence(pci=(port(), port(SECOND_PORT), card(path=(PORT, SECOND_PORT)))),
        PASS,
        "8 GT/s x4",
    )
    yield Case(
        "METIS-120", "unknown carrier", at("exaviz-cruzer", port(), card()), UNKNOWN, "did you mean 'exaviz-cruiser'"
    )

    yield Case("METIS-121", "as it gives", at("x86-slot", port(), card()), PASS, "8 GT/s x4")
    yield Case("METIS-121", "pi without gen3", at("exaviz-cruiser", *PI_GEN2), WARN, "gives 8 GT/s x1")
    yield Case(
        "METIS-121",
        "one lane slot",
        at("x86-slot", port(max_width=1), card(current_width=1)),
        WARN,
        "allows 8 GT/s x1, PCIe or M.2 slot of an x86 machine gives 8 GT/s x4",
    )
    yield Case(
        "METIS-121", "speed only", at("rk3588", port(max_speed=5.0), card(current_speed=5.0)), WARN, "gives 8 GT/s"
    )
    yield Case(
        "METIS-121", "width left open", at("rk3588", port(max_width=1), card(current_width=1)), PASS, "8 GT/s x1"
    )
    yield Case("METIS-121", "any board", HEALTHY, SKIP, "nothing is known")
    yield Case("METIS-121", "limit unread", at("x86-slot", mute_port, card()), UNKNOWN, "could not be read")
    yield Case("METIS-121", "guest", at("x86-slot", card(path=())), SKIP, "no port above")


def _driver() -> Iterator[Case]:
    def loaded(**changes) -> Driver:
        return replace(Driver(loaded=True, version="1.6.2", bound=(CARD,)), **changes)

    yield Case("METIS-201", "loaded", HEALTHY, PASS, "Module metis is in memory")
    yield Case("METIS-201", "not loaded", evidence(driver=Driver()), FAIL, "Module metis is not in memory")
    cardless = evidence(pci=(port(),), driver=Driver())
    for code in ("METIS-201", "METIS-203", "METIS-204"):
        yield Case(code, "no card to drive", cardless, SKIP, "no card on the bus")
    yield Case("METIS-201", "loaded without a card", evidence(pci=(port(),)), PASS, "is in memory")
    yield Case("METIS-201", "unread", evidence(driver=None), UNKNOWN, "state of the driver")

    unbound = (port(), card(driver=None))
    yield Case("METIS-202", "bound", HEALTHY, PASS, "bound to axl")
    yield Case("METIS-202", "bound, by the driver's list", evidence(pci=unbound), PASS, "bound to axl")
    yield Case("METIS-202", "unbound", evidence(pci=unbound, driver=loaded(bound=())), FAIL, "no driver instead of axl")
    guest = evidence(pci=(port(), card(driver="vfio-pci")), driver=loaded(bound=()))
    yield Case("METIS-202", "given to a guest", guest, FAIL, "bound to vfio-pci")
    yield Case(
        "METIS-202",
        "second card",
        replace(TWO_CARDS, survey=replace(TWO_CARDS.survey, pci=(port(), card(), card(SECOND_CARD, driver=None)))),
        FAIL,
        f"{SECOND_CARD} is bound to no driver",
    )

    old = evidence(driver=loaded(version="1.5.6"))
    yield Case("METIS-203", "as asked", HEALTHY, PASS, "1.6.2")
    yield Case("METIS-203", "older", old, FAIL, "Version 1.5.6 is in memory, 1.6.2 is asked for")
    yield Case("METIS-203", "unread", evidence(driver=loaded(version=None)), UNKNOWN, "version of the driver in memory")
    from_package = evidence(asked=settings(driver="none", driver_version=None), wanted=desired(dkms=None))
    yield Case("METIS-203", "nothing asked", from_package, SKIP, "no version is asked for")

    yield Case("METIS-204", "same", HEALTHY, PASS, "in memory and on disk")
    yield Case("METIS-204", "older in memory", old, FAIL, f"1.5.6 is in memory, version 1.6.2 is on disk for {KERNEL}")
    no_file = evidence(kernels=(kernel(module_path=None, module_version=None),))
    rebuilt = (kernel(srcversion="AA"),)
    other_sources = evidence(kernels=rebuilt, driver=loaded(srcversion="BB"))
    yield Case("METIS-204", "other sources", other_sources, FAIL, "1.6.2, built from other sources, is on disk")
    same_sources = evidence(kernels=rebuilt, driver=loaded(srcversion="AA"))
    yield Case("METIS-204", "same sources", same_sources, PASS, "in memory and on disk")
    yield Case("METIS-204", "no file", no_file, FAIL, "no module is on disk")
    yield Case("METIS-204", "file unread", evidence(kernels=(kernel(module_version=None),)), UNKNOWN, "metis.ko.xz")
    yield Case("METIS-204", "kernel unread", evidence(kernels=()), UNKNOWN, "which kernel is running")

    yield Case("METIS-210", "there", HEALTHY, PASS, KERNEL)
    no_headers = (kernel(headers=False),)
    yield Case("METIS-210", "missing", evidence(kernels=no_headers), FAIL, f"/lib/modules/{KERNEL}/build/Makefile")
    yield Case(
        "METIS-210", "not ours", replace(from_package, survey=survey(kernels=no_headers)), SKIP, "not come from DKMS"
    )

    yield Case("METIS-211", "installed", HEALTHY, PASS, f"installed for {KERNEL}")
    twice = (build(state="built", architecture="i686"), build())
    yield Case("METIS-211", "two architectures", evidence(dkms=twice), PASS, f"installed for {KERNEL}")
    yield Case("METIS-211", "weak", evidence(dkms=(build(state="installed-weak"),)), PASS, "installed-weak")
    for state in ("built", "broken"):
        yield Case("METIS-211", state, evidence(dkms=(build(state=state),)), FAIL, f"metis/1.6.2 for {KERNEL}: {state}")
    added = (build(state="added", kernel=None, architecture=None),)
    yield Case("METIS-211", "added", evidence(dkms=added), FAIL, ": added.")
    yield Case("METIS-211", "other version", evidence(dkms=(build(version="1.5.6"),)), FAIL, "not known to DKMS")
    yield Case("METIS-211", "other module", evidence(dkms=(build(module="v4l2loopback"),)), FAIL, "not known to DKMS")
    yield Case("METIS-211", "other kernel", evidence(dkms=(build(kernel=OTHER_KERNEL),)), FAIL, "not known to DKMS")
    yield Case("METIS-211", "empty", evidence(dkms=()), FAIL, "not known to DKMS")
    yield Case("METIS-211", "no dkms", evidence(dkms=None), FAIL, "DKMS is not installed")
    failing = FailedBuild(VERSION, KERNEL, "/make.log", "metis_main.c:88:9: error: x")
    told = evidence(dkms=(build(state="built"),), failed_builds=(failing,))
    yield Case("METIS-211", "does not compile", told, FAIL, "built; it does not compile: metis_main.c:88:9: error: x.")
    hollow = evidence(kernels=(kernel(module_path=None, module_version=None),))
    yield Case("METIS-211", "installed nowhere", hollow, FAIL, "installed, says DKMS, but there is no such file")
    replaced = build(remark="Differences between built and installed modules")
    yield Case("METIS-211", "replaced since", evidence(dkms=(replaced,)), WARN, "installed, but Differences between")
    for change in ({"kernel": OTHER_KERNEL}, {"version": "1.5.6"}, {"module": "v4l2loopback"}):
        elsewhere = evidence(dkms=(build(), replace(replaced, **change)))
        yield Case("METIS-211", f"replaced since, another {next(iter(change))}", elsewhere, PASS, "installed")
    shadowing = build(remark="original_module exists")
    yield Case("METIS-211", "harmless remark", evidence(dkms=(shadowing,)), PASS, "installed")
    not_ours = replace(from_package, survey=survey(dkms=None))
    yield Case("METIS-211", "not ours", not_ours, SKIP, "not come from DKMS")

    def with_other(**changes) -> Evidence:
        return evidence(kernels=(kernel(), kernel(OTHER_KERNEL, **changes)))

    yield Case("METIS-220", "both", with_other(), PASS, OTHER_KERNEL)
    yield Case("METIS-220", "one only", HEALTHY, SKIP, "no other kernel")
    yield Case("METIS-220", "no module", with_other(module_path=None), WARN, f"{OTHER_KERNEL}, which would not run")
    bare = with_other(module_path=None, headers=False)
    yield Case("METIS-220", "no headers", bare, WARN, "its headers are missing")
    yield Case("METIS-220", "of another build", with_other(vermagic=f"{KERNEL} SMP"), WARN, f"was built for {KERNEL}")
    failing = FailedBuild(VERSION, OTHER_KERNEL, "/make.log", "a.c:1: error: x")
    uncompiled = evidence(kernels=(kernel(), kernel(OTHER_KERNEL, module_path=None)), failed_builds=(failing,))
    yield Case("METIS-220", "does not compile", uncompiled, WARN, "none is installed, and it does not compile: a.c:1")
    following = evidence(kernels=(kernel(), kernel(OTHER_KERNEL)), next_boot=NextBoot(OTHER_KERNEL, "a link"))
    yield Case("METIS-220", "boots next", following, SKIP, "no other kernel")
    not_looked = evidence(kernels=(kernel(), kernel(OTHER_KERNEL)), next_boot=None)
    yield Case("METIS-220", "next not looked for", not_looked, PASS, OTHER_KERNEL)
    yield Case(
        "METIS-220", "older version", with_other(module_version="1.5.6"), WARN, "is version 1.5.6, 1.6.2 is asked"
    )
    yield Case("METIS-220", "build unread", with_other(vermagic=None), PASS, OTHER_KERNEL)
    packaged = replace(from_package, survey=survey(kernels=(kernel(), kernel(OTHER_KERNEL, module_version="1.5.6"))))
    yield Case("METIS-220", "any version", packaged, PASS, OTHER_KERNEL)
    yield Case("METIS-220", "version unread", with_other(module_version=None), PASS, OTHER_KERNEL)


def _next_boot() -> Iterator[Case]:
    def booting(*kernels: Kernel, following: str | None = OTHER_KERNEL, **changes: object) -> Evidence:
        """A host that runs KERNEL, has these others too, and boots ``following`` next."""
        named = NextBoot(following, "GRUB's default entry" if following else "there are both a and b")
        return evidence(kernels=(kernel(), *kernels), next_boot=named, **changes)

    def other(**changes: object) -> Kernel:
        return kernel(OTHER_KERNEL, **changes)

    container = evidence(host=replace(survey().host, container="podman"))
    no_driver = evidence(wanted=desired(module=None, dkms=None))
    not_ours = evidence(wanted=desired(dkms=None), asked=settings(driver="none", driver_version=None))

    yield Case("METIS-230", "only one", HEALTHY, PASS, f"{KERNEL} boots next (the only kernel on disk)")
    yield Case("METIS-230", "named", booting(other()), PASS, f"{OTHER_KERNEL} boots next (GRUB's")
    yield Case("METIS-230", "unknown", booting(other(), following=None), UNKNOWN, "next: there are both a and b")
    yield Case("METIS-230", "not looked", evidence(next_boot=None), UNKNOWN, "did not look for a boot loader")
    yield Case("METIS-230", "gone", booting(following="9.9"), WARN, "9.9 boots next (GRUB's default entry), and has no")
    for code in ("METIS-230", "METIS-232", "METIS-234", "METIS-235"):
        yield Case(code, "container", container, SKIP, "kernel of its host")
        yield Case(code, "no driver", no_driver, SKIP, "is not wanted here")
        yield Case(code, "no kernel", evidence(kernels=(), next_boot=None), UNKNOWN, "no kernel was found")

    yield Case("METIS-231", "there", booting(other()), PASS, OTHER_KERNEL)
    bare = other(headers=False, module_path=None, module_version=None, vermagic=None)
    yield Case(
        "METIS-231", "missing", booting(bare), FAIL, f"{OTHER_KERNEL}/build/Makefile), which boots next: the driver"
    )
    yield Case("METIS-231", "built before", booting(other(headers=False)), WARN, "the driver is there, but no other")
    yield Case("METIS-231", "gone", booting(following="9.9"), SKIP, "METIS-232")
    yield Case("METIS-231", "not ours", not_ours, SKIP, "not come from DKMS")
    either = booting(other(), following=None)
    yield Case("METIS-231", "whichever boots", either, PASS, "The build tree of")
    yield Case("METIS-231", "perhaps", booting(bare, following=None), UNKNOWN, f"not in order for {OTHER_KERNEL}, and")

    yield Case("METIS-232", "there", booting(other()), PASS, f"{OTHER_KERNEL}/updates/dkms/metis.ko.xz is there")
    yield Case("METIS-232", "of no matter", booting(bare, following=KERNEL), PASS, MODULE_PATH)
    unbuilt = other(module_path=None, module_version=None, vermagic=None)
    yield Case("METIS-232", "not built", booting(unbuilt), FAIL, "has no driver: metis/1.6.2 is not known to DKMS.")
    added = (build(), build(kernel=None, architecture=None, state="added"))
    yield Case("METIS-232", "added", booting(unbuilt, dkms=added), FAIL, "no driver: metis/1.6.2 is added.")
    broken = (build(), build(kernel=None, architecture=None, state="broken"))
    yield Case("METIS-232", "broken", booting(unbuilt, dkms=broken), FAIL, "no driver: metis/1.6.2 is broken.")
    built = (build(), build(kernel=OTHER_KERNEL, state="built"))
    yield Case("METIS-232", "built only", booting(unbuilt, dkms=built), FAIL, "no driver: metis/1.6.2 is built.")
    hollow = (build(), build(kernel=OTHER_KERNEL))
    yield Case("METIS-232", "hollow", booting(unbuilt, dkms=hollow), FAIL, "is installed, but there is no such file")
    log = FailedBuild(VERSION, OTHER_KERNEL, "/make.log", "metis_main.c:88:9: error: no class_create_v2")
    yield Case(
        "METIS-232",
        "does not compile",
        booting(unbuilt, failed_builds=(log,)),
        FAIL,
        "does not compile: metis_main.c:88",
    )
    elsewhere = (replace(log, kernel="9.9"), replace(log, version="1.5.6"))
    yield Case("METIS-232", "other builds", booting(unbuilt, failed_builds=elsewhere), FAIL, "is not known to DKMS.")
    yield Case("METIS-232", "modules gone", booting(following="9.9"), FAIL, "there is no /lib/modules/9.9")
    packaged = replace(not_ours, survey=booting(unbuilt).survey)
    yield Case("METIS-232", "not ours", packaged, FAIL, "there is no such file below its modules")

    yield Case("METIS-233", "as asked", booting(other()), PASS, "is version 1.6.2")
    yield Case(
        "METIS-233", "older", booting(other(module_version="1.5.6")), FAIL, "is version 1.5.6; 1.6.2 is asked for"
    )
    yield Case("METIS-233", "unread", booting(other(module_version=None)), UNKNOWN, "the version of")
    yield Case("METIS-233", "no module", booting(unbuilt), SKIP, "METIS-232")
    yield Case("METIS-233", "nothing asked", not_ours, SKIP, "no version is asked for")

    yield Case("METIS-234", "its own", booting(other()), PASS, f"was built for {OTHER_KERNEL}")
    copied = other(vermagic=f"{KERNEL} SMP")
    yield Case(
        "METIS-234", "another's", booting(copied), FAIL, f"boots next, and {copied.module_path} was built for {KERNEL}"
    )
    weak = replace(copied, module_path=f"/lib/modules/{OTHER_KERNEL}/weak-updates/metis.ko")
    yield Case("METIS-234", "weak module", booting(weak), PASS, f"was built for {KERNEL}")
    yield Case("METIS-234", "unread", booting(other(vermagic=None)), UNKNOWN, "the vermagic of")
    yield Case("METIS-234", "no module", booting(unbuilt), SKIP, "METIS-232")


def _signatures() -> Iterator[Case]:
    ours = Certificate("0a" * 20, "afe12", "0d1c", "DKMS module signing key")
    stranger = replace(ours, fingerprint="1b" * 20, serial="77", key_id="99")
    unsigned = kernel(signed=False)
    signed = kernel(signed=True, signer="DKMS module signing key", signing_key="afe12")

    def under(trust: ModuleTrust, module: Kernel, *, secure_boot: bool = True, **changes: object) -> Evidence:
        return evidence(host=replace(survey().host, secure_boot=secure_boot), trust=trust, kernels=(module,), **changes)

    def locked(**changes: object) -> ModuleTrust:
        usual = {"sig_enforce": False, "lockdown": "integrity", "enrolled": (stranger,), "staged": (), "own": ours}
        return ModuleTrust(**{**usual, "own_path": "/var/lib/dkms/mok.pub", **changes})  # type: ignore[arg-type]

    asleep = Driver()
    cases = (
        ("unsigned", under(locked(), unsigned, driver=asleep), "is not signed, and the kernel's lockdown"),
        ("not enrolled", under(locked(), signed, driver=asleep), "is signed by a key that is not enrolled"),
        ("staged", under(locked(staged=(ours,)), signed, driver=asleep), "waits for a confirmation at the console"),
        (
            "enforced without EFI",
            under(ModuleTrust(sig_enforce=True, enrolled=()), signed, secure_boot=False, driver=asleep),
            "not enrolled, and module.sig_enforce refuses",
        ),
    )
    for name, seen, words in cases:
        yield Case("METIS-235", name, seen, FAIL, words)
        yield Case("METIS-240", name, seen, FAIL, words)
    yield Case("METIS-235", "nothing insists", HEALTHY, PASS, "Nothing on this host insists")
    yield Case(
        "METIS-235", "enrolled", under(locked(enrolled=(stranger, ours)), signed), PASS, "a key that is enrolled"
    )
    listed = locked(enrolled=None, kernel_keys=(ours,))
    yield Case("METIS-235", "in the kernel's keyring", under(listed, signed), PASS, "a key that is enrolled")
    blind = locked(enrolled=None, staged=None)
    yield Case("METIS-235", "in memory", under(blind, signed), PASS, "a key that is enrolled")
    yield Case("METIS-235", "unread", under(blind, signed, driver=asleep), UNKNOWN, "could not be read")
    for name, following, running, answer, words in (
        ("same key as the one in memory", "afe12", "afe12", PASS, "a key that is enrolled"),
        ("another key than the one in memory", "bee34", "afe12", UNKNOWN, "could not be read"),
        ("both keys unread", None, None, UNKNOWN, "could not be read"),
    ):
        both = (kernel(signed=True, signing_key=running), kernel(OTHER_KERNEL, signed=True, signing_key=following))
        later = under(blind, signed).survey
        later = replace(later, kernels=both, next_boot=NextBoot(OTHER_KERNEL, "a link"))
        yield Case("METIS-235", name, evidence(later), answer, words)
    nothing = evidence(trust=None, host=replace(survey().host, secure_boot=None))
    yield Case("METIS-235", "not looked", nothing, UNKNOWN, "whether the kernel insists")
    away = kernel(module_path=None, module_version=None, vermagic=None)
    yield Case("METIS-235", "no module", under(locked(), away), SKIP, "METIS-232")
    unlocked = ModuleTrust(sig_enforce=False, lockdown="none")
    yield Case("METIS-235", "Secure Boot alone", under(unlocked, unsigned), PASS, "Nothing on this host insists")
    ignored = ModuleTrust(sig_enforce=False, shim_validates=False)
    yield Case("METIS-235", "off in shim", under(ignored, unsigned), PASS, "Nothing on this host insists")
    yield Case("METIS-235", "lockdown unread", under(ModuleTrust(), unsigned), FAIL, "is not signed, and Secure Boot")

    yield Case("METIS-240", "in memory", under(locked(), signed), PASS, "took the module")
    yield Case("METIS-240", "nothing insists", evidence(driver=asleep), SKIP, "nothing speaks against")
    yield Case("METIS-240", "no module", evidence(driver=asleep, kernels=(away,)), SKIP, "METIS-211")
    yield Case("METIS-240", "host unread", evidence(without(Section.HOST)), UNKNOWN, "'host'")
    lax = under(unlocked, unsigned, driver=asleep)
    yield Case("METIS-240", "unsigned, and nothing insists", lax, SKIP, "nothing speaks against")
    enrolled = under(locked(enrolled=(ours,)), signed, driver=asleep)
    yield Case("METIS-240", "enrolled, and not in memory", enrolled, SKIP, "nothing speaks against")
    refused = ("[   12.1] metis: Loading of module with unavailable key is rejected",)
    said = under(locked(enrolled=None), signed, driver=asleep, log=refused)
    yield Case("METIS-240", "the kernel's word", said, FAIL, '("Loading of module with unavailable key is rejected")')
    lockdown = ("[   12.1] Lockdown: modprobe: unsigned module loading is restricted; see man kernel_lockdown.7",)
    said = evidence(driver=asleep, log=lockdown, kernels=(unsigned,), trust=None)
    yield Case("METIS-240", "lockdown's word", said, FAIL, "is not signed, and the kernel (")
    tainted = ("[   12.1] metis: module verification failed: signature and/or required key missing - tainting kernel",)
    yield Case("METIS-240", "a warning", evidence(driver=asleep, log=tainted), SKIP, "nothing speaks against")


def _rules() -> Iterator[Case]:
    def other(path: str, text: str, **node_now: str) -> Evidence:
        return evidence(nodes=(node(**(node_now or {"mode": "0666"})),), past=Past(rules=(RuleLine(path, text),)))

    later, earlier = "/etc/udev/rules.d/99-zz.rules", "/usr/lib/udev/rules.d/50-x.rules"
    mode, final = 'SUBSYSTEM=="metis", MODE="0666"', 'KERNEL=="metis*", MODE:="0666"'
    yield Case("METIS-304", "as wanted", HEALTHY, PASS, f"{NODE} is what our rules say")
    yield Case("METIS-304", "later rule", other(later, mode), FAIL, f"{NODE} is root:axelera 0666 because of {later}.")
    yield Case("METIS-304", "final rule", other(earlier, final), FAIL, f"because of {earlier}.")
    documented = "/etc/udev/rules.d/99-axelera.rules"
    yield Case("METIS-304", "late name of old", other(documented, mode), FAIL, documented)
    yield Case("METIS-304", "no effect", other(later, mode, mode="0660"), PASS, "what our rules say")
    yield Case("METIS-304", "earlier rule", other(earlier, mode), SKIP, "no rule is known that wins")
    shadowed = f"/usr/lib/udev/rules.d/{RULES.path.rpartition('/')[2]}"
    yield Case("METIS-304", "of our name", other(shadowed, mode), SKIP, "no rule is known that wins")
    yield Case("METIS-304", "a match", other(later, 'SUBSYSTEM=="metis", MODE=="0666"'), SKIP, "no rule is known")
    yield Case("METIS-304", "the heap's", other(later, 'SUBSYSTEM=="dma_heap", MODE="0666"'), SKIP, "no rule is known")
    yield Case("METIS-304", "ours", other(RULES.path, final), SKIP, "no rule is known")
    yield Case("METIS-304", "no rules", evidence(wanted=desired(files=())), SKIP, "wants no udev rules")
    yield Case("METIS-304", "no node", evidence(nodes=()), SKIP, "METIS-301")
    yield Case("METIS-304", "unread", evidence(past=None), UNKNOWN, "could not be read")


def _past() -> Iterator[Case]:
    def leftover(fate: Fate, why: str = "") -> Evidence:
        item = Leftover("/usr/src/metis-1.5.0", LeftoverKind.SOURCE, "driver source 1.5.0", fate, why)
        return evidence(wanted=desired(leftovers=(item,)))

    yield Case("METIS-604", "nothing", HEALTHY, PASS, "Nothing is left of others.")
    yield Case("METIS-604", "overridden", leftover(Fate.OVERRIDDEN), PASS, "/usr/src/metis-1.5.0 is overridden")
    yield Case("METIS-604", "to be set aside", leftover(Fate.SET_ASIDE), WARN, "metis-1.5.0: driver source 1.5.0.")
    yield Case("METIS-604", "left", leftover(Fate.LEFT, "it is a package's"), WARN, "1.5.0 (it is a package's).")


def _node() -> Iterator[Case]:
    yield Case("METIS-301", "there", HEALTHY, PASS, NODE)
    yield Case("METIS-301", "colons", evidence(nodes=(node("/dev/metis-0:1:0"),)), PASS, "/dev/metis-0:1:0")
    yield Case("METIS-301", "missing", evidence(nodes=()), FAIL, f"{CARD} has no device node.")
    yield Case("METIS-301", "of another card", evidence(nodes=(node(bdf=SECOND_CARD),)), FAIL, "no device node")
    yield Case("METIS-301", "of no known card", evidence(nodes=(node(bdf=None),)), FAIL, "no device node")
    not_in_dev = evidence(nodes=(node(owner="", group="", mode=""),))
    yield Case("METIS-301", "not in /dev", not_in_dev, FAIL, f"the kernel has it, but {NODE} is missing")
    yield Case("METIS-301", "unread", evidence(nodes=None), UNKNOWN, "device nodes could not be read")

    yield Case("METIS-302", "as asked", HEALTHY, PASS, "root:axelera 0660")
    for name, changes in {"mode": {"mode": "0666"}, "group": {"group": "root"}, "owner": {"owner": "nobody"}}.items():
        now = node(**changes)
        words = f"{NODE} is {now.owner}:{now.group} {now.mode}, root:axelera 0660 is asked for"
        yield Case("METIS-302", name, evidence(nodes=(now,)), FAIL, words)
    yield Case(
        "METIS-302",
        "own settings",
        evidence(nodes=(node(group="ai", mode="0640"),), asked=settings(group="ai", node_mode="0640")),
        PASS,
        "root:ai 0640",
    )
    yield Case("METIS-302", "not in /dev", not_in_dev, SKIP, f"{NODE} is not there (METIS-301)")
    yield Case("METIS-302", "no node", evidence(pci=(port(),)), SKIP, "METIS-301")

    yield Case("METIS-303", "there", HEALTHY, PASS, f"/dev/axelera0 leads to {NODE}")
    yield Case("METIS-303", "none", evidence(nodes=(node(links=()),)), FAIL, "/dev/axelera0 does not lead")
    yield Case(
        "METIS-303", "wrong number", evidence(nodes=(node(links=("/dev/axelera1",)),)), FAIL, "/dev/axelera0 does"
    )
    yield Case("METIS-303", "two", TWO_CARDS, PASS, "/dev/axelera0")
    second_lost = replace(TWO_CARDS.survey, nodes=(node(), node(SECOND_NODE, SECOND_CARD, links=())))
    yield Case("METIS-303", "one of two", replace(TWO_CARDS, survey=second_lost), FAIL, "/dev/axelera1 does not lead")
    twice = replace(TWO_CARDS.survey, nodes=(node(), node(SECOND_NODE, SECOND_CARD)))
    yield Case("METIS-303", "one for two", replace(TWO_CARDS, survey=twice), FAIL, f"leads to {NODE} and {SECOND_NODE}")
    yield Case("METIS-303", "no card", evidence(pci=(port(),)), SKIP, "METIS-101")


def _access() -> Iterator[Case]:
    def tried(*extra: Attempt, **results: str) -> Evidence:
        return evidence(attempts=(*attempts(**results), *extra))

    yield Case("METIS-310", "can", HEALTHY, PASS, f"A member of the group can open {NODE}")
    yield Case("METIS-310", "held", tried(member="busy"), PASS, "can open")
    shy = (Attempt("member", NODE, "ok", "not opened, permissions only"),)
    yield Case(
        "METIS-310", "not disturbed", evidence(attempts=shy), PASS, "can open /dev/metis-0-1-0 (not opened, perm"
    )
    yield Case("METIS-310", "cannot", tried(member="denied"), FAIL, "A member of axelera cannot open")
    yield Case("METIS-310", "error", tried(member="error"), UNKNOWN, "as a member of the group")
    yield Case("METIS-310", "not tried", evidence(attempts=()), UNKNOWN, "was not tried")
    other = (Attempt("member", SECOND_NODE, "ok"),)
    yield Case("METIS-310", "tried elsewhere", evidence(attempts=other), UNKNOWN, "was not tried")
    yield Case("METIS-310", "no node", evidence(pci=(port(),)), SKIP, "METIS-301")

    yield Case("METIS-311", "can", HEALTHY, PASS, "frigate can open")
    yield Case("METIS-311", "held", tried(frigate="busy"), PASS, "frigate can open")
    yield Case("METIS-311", "cannot", tried(frigate="denied"), FAIL, f"frigate cannot open {NODE}: permission denied")
    nobody = evidence(users={})
    yield Case("METIS-311", "not on this host", nobody, SKIP, "none of the service users exists")
    yield Case("METIS-311", "not tried", evidence(attempts=()), UNKNOWN, "as frigate was not tried")
    half = replace(TWO_CARDS, survey=replace(TWO_CARDS.survey, attempts=attempts()))
    yield Case("METIS-311", "one of two nodes", half, UNKNOWN, f"opening {SECOND_NODE} as frigate was not tried")

    yield Case("METIS-312", "refused", HEALTHY, PASS, "is refused at")
    yield Case("METIS-312", "let in", tried(outsider="ok"), FAIL, f"A user outside axelera can open {NODE}")
    yield Case("METIS-312", "let in while held", tried(outsider="busy"), FAIL, "can open")
    yield Case("METIS-312", "let in once", tried(Attempt("outsider", NODE, "ok")), FAIL, "can open")
    yield Case("METIS-312", "absent", tried(outsider="absent"), UNKNOWN, "as a user outside the group")
    yield Case("METIS-312", "not tried", evidence(attempts=()), UNKNOWN, "was not tried")
    yield Case("METIS-312", "no node", evidence(pci=(port(),)), SKIP, "METIS-301")

    held = (node(holders=(HOLDER,)),)
    yield Case("METIS-320", "free", HEALTHY, PASS, "No process holds")
    yield Case("METIS-320", "held", evidence(nodes=held), WARN, f"{NODE} is held by frigate (process 812 of frigate)")
    strict = evidence(nodes=held, asked=settings(when_busy="fail"))
    yield Case("METIS-320", "held, must not", strict, FAIL, "which was left alone")
    unseen = evidence(nodes=(node(holders_known=False),))
    yield Case("METIS-320", "holders unseen", unseen, UNKNOWN, "only root can see")

    yield Case("METIS-330", "there", HEALTHY, PASS, HEAP)
    yield Case("METIS-330", "missing", evidence(dma_heap=None), FAIL, f"{HEAP} does not exist.")
    without_heaps = evidence(dma_heap=None, kernels=(kernel(dmabuf_heaps=False),))
    yield Case("METIS-330", "kernel unread", evidence(dma_heap=None, kernels=()), FAIL, f"{HEAP} does not exist.")
    yield Case("METIS-330", "not in the kernel", without_heaps, FAIL, "without CONFIG_DMABUF_HEAPS_SYSTEM")

    def heap_tried(*tries: Attempt, **changes) -> Evidence:
        return evidence(dma_heap=heap(**changes), attempts=(*attempts(), *tries))

    let_in, refused = Attempt("member", HEAP, "ok"), Attempt("member", HEAP, "denied", "Permission denied")
    user_let_in, user_refused = Attempt("frigate", HEAP, "ok"), Attempt("frigate", HEAP, "denied")
    yield Case("METIS-331", "can", HEALTHY, PASS, f"frigate can open {HEAP}.")
    yield Case("METIS-331", "member can", heap_tried(let_in), PASS, f"A member of the group can open {HEAP}.")
    roots = heap_tried(refused, group="root", mode="0600")
    words = f"A member of the group cannot open {HEAP}: Permission denied (root:root 0600)."
    yield Case("METIS-331", "member cannot", roots, FAIL, words)
    video = heap_tried(user_let_in, refused, group="video")
    yield Case("METIS-331", "user by another group", video, PASS, f"frigate can open {HEAP}.")
    yield Case("METIS-331", "user cannot", heap_tried(user_refused, let_in), FAIL, "frigate cannot open")
    yield Case("METIS-331", "try broke", heap_tried(Attempt("member", HEAP, "error")), UNKNOWN, "not come to an answer")
    outsider_refused = heap_tried(let_in, Attempt("outsider", HEAP, "denied"))
    yield Case("METIS-331", "outsiders do not count", outsider_refused, PASS, "A member of the group can open")
    only_outsider = heap_tried(Attempt("outsider", HEAP, "ok"))
    yield Case("METIS-331", "nobody tried", only_outsider, UNKNOWN, f"nobody tried to open {HEAP}")
    yield Case("METIS-331", "none", evidence(dma_heap=None), SKIP, "there is no DMA heap (METIS-330)")


def _device() -> Iterator[Case]:
    def said(*output: str, status: int = 0, **changes) -> Evidence:
        return evidence(devices=listed(*output, status=status), **changes)

    yield Case("METIS-401", "answers", HEALTHY, PASS, "1 GiB, m2, firmware 1.3.2, board controller 1.4, 800 MHz")
    old = "Device 0: metis-0:1:0 board_type=pcie fwver=v1.0.0-a6-15-g9d681b7bcfe9 clock=800MHz"
    yield Case("METIS-401", "older tool", said(old), PASS, "pcie, firmware v1.0.0-a6-15-g9d681b7bcfe9, 800 MHz")
    silent = "Device 0: metis-0:1:0 board_type=unknown (not responding)"
    yield Case("METIS-401", "silent", said(silent), FAIL, "0 of 1 cards answer; axdevice said: Device 0")
    yield Case("METIS-401", "silent, bare", said("board_type=unknown (not responding)"), FAIL, "0 of 1 cards answer")
    no_driver = "AXR_ERROR_CONNECTION_ERROR: No AIPU driver found in lsmod output"
    yield Case("METIS-401", "no driver", said(no_driver, status=1), FAIL, "No AIPU driver found")
    one_of_two = replace(TWO_CARDS, survey=replace(TWO_CARDS.survey, devices=listed(DEVICE_LINE)))
    yield Case("METIS-401", "one of two", one_of_two, FAIL, "1 of 2 cards answer")
    same_twice = replace(TWO_CARDS, survey=replace(TWO_CARDS.survey, devices=listed(DEVICE_LINE, DEVICE_LINE)))
    yield Case("METIS-401", "one listed twice", same_twice, FAIL, "1 of 2 cards answer")
    yield Case(
        "METIS-401", "listed, but failed", said(DEVICE_LINE, status=1), FAIL, "1 of 1 cards answer; axdevice said"
    )
    silent_once = CommandResult("axdevice", 0, (DEVICE_LINE,), (listed("AXR_ERROR_TIMEOUT: no answer", status=1),))
    third = "AXR_ERROR_TIMEOUT: no answer"
    three = CommandResult("axdevice", 1, (third,), (listed(third, status=1), listed(status=1)))
    yield Case(
        "METIS-401",
        "second attempt",
        evidence(devices=silent_once),
        PASS,
        "(attempt 2; attempt 1 ended with status 1: AXR",
    )
    yield Case("METIS-401", "third attempt", evidence(devices=three), FAIL, "attempt 2 ended with status 1: no words).")
    yield Case("METIS-401", "no tool", said(status=127), UNKNOWN, "axdevice is not installed")
    without_runtime = said(status=127, asked=settings(self_test=False))
    yield Case("METIS-401", "says little", said("Device 0: metis-0:1:0"), PASS, "metis-0:1:0 answers: no detail.")
    yield Case("METIS-401", "board unsaid", said("Device 0: metis-0:1:0 1GiB"), PASS, "metis-0:1:0 answers: 1 GiB.")
    pinned = {"runtime_version": "1.8.0", "runtime_source": "rt.deb", "runtime_sha256": "0" * 64}
    lost_runtime = said(status=127, asked=settings(self_test=False, runtime="deb", **pinned))
    yield Case("METIS-401", "tool wanted", lost_runtime, UNKNOWN, "axdevice is not installed")
    own_runtime = said(no_driver, status=1, asked=settings(self_test=False))
    yield Case("METIS-401", "tool not ours", own_runtime, FAIL, "No AIPU driver found")
    yield Case("METIS-401", "no tool wanted", without_runtime, SKIP, "no runtime is wanted")
    yield Case("METIS-401", "hangs", said(status=124), UNKNOWN, "did not end in time")
    yield Case("METIS-401", "new form", said("Found 1 AIPU: metis0 (fw 2.0)"), UNKNOWN, "not understood: Found 1 AIPU")
    yield Case("METIS-401", "nothing", said(), UNKNOWN, "axdevice printed nothing")
    toolless = said(no_driver, status=1, host=Host(epoch=1_760_000_000, tools={"lspci": "/usr/bin/lspci"}))
    yield Case("METIS-401", "no lsmod", toolless, UNKNOWN, "axdevice runs lsmod, which this host lacks")
    hostless = evidence(without(Section.HOST, host=Host(), devices=listed(no_driver, status=1)))
    yield Case("METIS-401", "host unread", hostless, FAIL, "No AIPU driver found")
    half = replace(TWO_CARDS, survey=replace(TWO_CARDS.survey, host=Host(), devices=listed(DEVICE_LINE, status=1)))
    yield Case("METIS-401", "one of two, no lsmod", half, FAIL, "1 of 2 cards answer")
    busy = "Device 0: /dev/metis-0-1-0 is held by another process (EBUSY)"
    held = (node(holders=(HOLDER,)),)
    yield Case(
        "METIS-401", "held", evidence(devices=None, nodes=held), SKIP, "held: /dev/metis-0-1-0 by frigate (process 812)"
    )
    yield Case("METIS-401", "held, tool says so", said(busy, status=1, nodes=held), SKIP, "by frigate")
    yield Case("METIS-401", "held by nobody seen", said(busy, status=1), UNKNOWN, "no holder was seen")
    yield Case("METIS-401", "held, but answers", said(DEVICE_LINE, nodes=held), PASS, "1.3.2")
    yield Case("METIS-401", "fails in silence", evidence(devices=listed(status=1)), FAIL, "0 of 1 cards answer.")
    yield Case("METIS-401", "not run", evidence(devices=None), UNKNOWN, "axdevice was not run")

    def at_least(floor: str, devices: CommandResult | None = HEALTHY.survey.devices, **changes) -> Evidence:
        return evidence(devices=devices, asked=settings(min_firmware=floor), **changes)

    yield Case("METIS-402", "new enough", at_least("1.3.2"), PASS, "metis-0:1:0 runs firmware 1.3.2")
    yield Case("METIS-402", "too old", at_least("1.4"), FAIL, "runs firmware 1.3.2, at least 1.4 is asked for")
    yield Case("METIS-402", "older form", at_least("1.0.1", listed(old)), FAIL, "firmware v1.0.0-a6-15-g9d681b7bcfe9")
    yield Case("METIS-402", "no floor", HEALTHY, SKIP, "metis_min_firmware")
    unsaid = listed("Device 0: metis-0:1:0 1GiB")
    yield Case("METIS-402", "unsaid", at_least("1.4", unsaid), UNKNOWN, "does not say which firmware")
    yield Case("METIS-402", "silent", at_least("1.4", listed(status=127)), UNKNOWN, "no card says which firmware")
    yield Case("METIS-402", "held", at_least("1.4", None, nodes=held), SKIP, "by frigate (process 812)")
    asked_only = evidence(asked=settings(min_firmware="1.3.0"), devices=None)
    for code in ("METIS-402", "METIS-403"):
        yield Case(code, "not run", asked_only, UNKNOWN, "axdevice was not run")
    slow = DEVICE_LINE.replace("clock=800MHz", "clock=400MHz")
    yield Case("METIS-403", "full clock", HEALTHY, PASS, "runs at 800 MHz")
    yield Case("METIS-403", "lowered", said(slow), WARN, "metis-0:1:0 runs at 400 MHz instead of 800")
    yield Case(
        "METIS-403", "lowered on purpose", evidence(devices=listed(slow), asked=settings(clock_mhz=400)), PASS, "400"
    )
    yield Case("METIS-403", "unsaid", said("Device 0: metis-0:1:0 1GiB"), SKIP, "does not say its clock")
    yield Case("METIS-403", "silent", said(status=127), SKIP, "no card says its clock")
    yield Case("METIS-403", "held", evidence(devices=None, nodes=held), SKIP, "no card says its clock")


def _self_test() -> Iterator[Case]:
    ok = "Answer check: ok (12 inferences, 3072 bytes compared)"
    wrong = "Answer check: FAILED: device 0, inference 3, byte 17: expected 0x2a, got 0x2b"
    fps = "System throughput: 405.2 FPS"
    held = (node(holders=(HOLDER,)),)
    busy = "Device 0: /dev/metis-0-1-0 is held by another process (EBUSY)"

    def test(status: int, *output: str, **changes) -> Evidence:
        return evidence(self_test=ran(status, *output), **changes)

    not_run = {"self_test": None}
    off = settings(self_test=False)
    yield Case("METIS-501", "ran", HEALTHY, PASS, "device 469.2 FPS, system 405.2 FPS")
    yield Case(
        "METIS-501",
        "failed",
        test(1, "USR_DMA_XFER failed: Connection timed out"),
        FAIL,
        "axrunmodel /opt/m.json ended with status 1: USR_DMA_XFER failed: Connection timed out.",
    )
    yield Case("METIS-501", "failed in silence", test(139), FAIL, "status 139: it printed nothing")
    yield Case(
        "METIS-501", "no frames", test(0, "System throughput: 0.0 FPS", ok), FAIL, "status 0: its throughput is zero"
    )
    yield Case("METIS-501", "slow", test(0, "System throughput: 0.5 FPS", ok), PASS, "system 0.5 FPS")
    yield Case("METIS-501", "no figure", test(0, ok), UNKNOWN, "reported no throughput")
    yield Case("METIS-501", "not a number", test(0, "System throughput: n/a FPS"), UNKNOWN, "reported no throughput")
    yield Case("METIS-501", "no tool", test(127), UNKNOWN, "axrunmodel is not installed")
    yield Case("METIS-501", "hangs", test(124, fps), UNKNOWN, "did not end in time")
    yield Case("METIS-501", "wrong answer", test(1, wrong), SKIP, "follows from METIS-502")
    yield Case("METIS-501", "switched off", evidence(asked=off, **not_run), SKIP, "metis_self_test = False")
    yield Case(
        "METIS-501", "no model", evidence(asked=settings(self_test_model=None), **not_run), UNKNOWN, "no model is set"
    )
    yield Case("METIS-501", "not run", evidence(**not_run), UNKNOWN, "the self-test was not run")
    yield Case("METIS-501", "held", evidence(nodes=held, **not_run), SKIP, "by frigate (process 812)")
    yield Case("METIS-501", "held, tool says so", test(1, busy, nodes=held), SKIP, "by frigate (process 812)")
    yield Case("METIS-501", "held by nobody seen", test(1, busy), UNKNOWN, "no holder was seen")

    yield Case("METIS-502", "right", HEALTHY, PASS, "12 inferences")
    yield Case("METIS-502", "one wrong byte", test(1, wrong), FAIL, "byte 17: expected 0x2a, got 0x2b.")
    yield Case("METIS-502", "wrong, status 0", test(0, fps, wrong), FAIL, "byte 17")
    yield Case("METIS-502", "wrong and right", test(0, fps, ok, wrong), FAIL, "byte 17")
    yield Case(
        "METIS-502",
        "nothing compared",
        test(0, fps, "Answer check: ok (0 inferences, 0 bytes compared)"),
        UNKNOWN,
        "not understood",
    )
    yield Case(
        "METIS-502", "new form", test(0, fps, "Answer check: fine"), UNKNOWN, "not understood: Answer check: fine"
    )
    yield Case("METIS-502", "not compared", test(0, fps), UNKNOWN, "does not compare")
    yield Case("METIS-502", "did not run", test(1, "error"), SKIP, "METIS-501")
    yield Case("METIS-502", "right, but failed", test(1, fps, ok), SKIP, "METIS-501")
    yield Case("METIS-502", "switched off", evidence(asked=off, **not_run), SKIP, "metis_self_test = False")
    yield Case("METIS-502", "not run", evidence(**not_run), SKIP, "METIS-501")
    yield Case("METIS-502", "not looked at", evidence(without(Section.SELF_TEST)), SKIP, "METIS-501")

    mismatch = 'axrunmodel: /opt/m.json: Version mismatch! Actual="1.7.0" Expected="1.8.0"'
    yield Case("METIS-504", "taken", HEALTHY, PASS, "took the model")
    yield Case("METIS-504", "other release", test(1, mismatch), FAIL, "compiled for 1.7.0, the runtime is 1.8.0: axrun")
    yield Case("METIS-504", "failed otherwise", test(1, "error"), SKIP, "METIS-501")
    yield Case("METIS-504", "switched off", evidence(asked=off, **not_run), SKIP, "metis_self_test = False")
    yield Case("METIS-501", "other release", test(1, mismatch), SKIP, "follows from METIS-504")
    model = settings(
        self_test_model=None,
        model_source="m.json",
        model_sha256="0" * 64,
        model_release="1.8.0",
        model_operations=8_000_000_000,
    )
    yield Case("METIS-501", "operations", evidence(asked=model), PASS, "3.2 TOPS (1.51 % of the 214 TOPS that 4 co")
    yield Case("METIS-501", "model not run", evidence(asked=model, **not_run), UNKNOWN, "the self-test was not run")
    for operations, words in (
        (1_000_000_000_000, "405.2 TOPS ("),
        (517_571_600_000, "209.7 TOPS (98 % of the 214 TOPS"),
        (526_500_000_000, "213.3 TOPS (99.7 % of the 214 TOPS"),
        (1_000_000_000, "405.2 GOPS ("),
        (1_000_000, "405.2 MOPS ("),
        (1_000, "0.4 MOPS ("),
    ):
        asked = settings(model_operations=operations)
        yield Case("METIS-501", f"{operations} operations", evidence(asked=asked), PASS, f"system 405.2 FPS, {words}")
    thousand = test(0, "System throughput: 1000 FPS", asked=settings(model_operations=1_000_000_000))
    yield Case("METIS-501", "one unit exactly", thousand, PASS, "1.0 TOPS (")
    one_core = evidence(asked=model, self_test=ran(0, fps, command="axrunmodel /opt/m.json --aipu-cores 1"))
    yield Case("METIS-501", "operations of one core", one_core, PASS, "of the 53.5 TOPS that 1 core can do at 800 MHz)")
    sustained = replace(evidence(asked=model), survey=LONG.survey)
    yield Case(
        "METIS-501",
        "operations of itself alone",
        sustained,
        PASS,
        "FPS, 3.2 TOPS (1.51 % of the 214 TOPS that 4 cores can do at 800 MHz).",
    )

    floor = settings(min_fps=400)
    yield Case("METIS-503", "fast", evidence(asked=floor), PASS, "405.2 FPS (system), at least 400")
    yield Case("METIS-503", "at the floor", evidence(asked=settings(min_fps=405.2)), PASS, "at least 405.2")
    slow = evidence(asked=settings(min_fps=405.3))
    yield Case("METIS-503", "slow", slow, FAIL, "405.2 FPS (system), at least 405.3 are asked for")
    yield Case("METIS-503", "no floor", HEALTHY, SKIP, "no floor is set")
    yield Case("METIS-503", "did not run", test(1, fps, asked=floor), SKIP, "METIS-501")
    yield Case("METIS-503", "no figure", test(0, ok, asked=floor), SKIP, "METIS-501")
    yield Case(
        "METIS-503",
        "switched off",
        evidence(asked=settings(min_fps=400, self_test=False), **not_run),
        SKIP,
        "metis_self_test = False",
    )


def _interrupts() -> Iterator[Case]:
    def counted(*counts: Counted, **changes) -> Evidence:
        return evidence(interrupts=counts, **changes)

    yield Case("METIS-505", "came", HEALTHY, PASS, "0000:01:00.0 raised 24 interrupts")
    yield Case("METIS-505", "none came", counted(Counted(CARD, 7, 7)), FAIL, "0000:01:00.0 raised no interrupt during")
    yield Case("METIS-505", "not counted", counted(), UNKNOWN, "does not count the card's interrupts")
    yield Case("METIS-505", "did not run", counted(self_test=ran(1, "error")), SKIP, "METIS-501")
    yield Case("METIS-505", "not run", counted(self_test=None), SKIP, "METIS-501")
    yield Case("METIS-505", "switched off", evidence(asked=settings(self_test=False)), SKIP, "metis_self_test = False")
    yield Case(
        "METIS-505", "came at work alone", replace(LONG, survey=replace(LONG.survey, interrupts=())), PASS, "raised 900"
    )
    two = counted(Counted(CARD, 7, 9), Counted(SECOND_CARD, 7, 7), Counted(CARD, 1, 2))
    yield Case("METIS-505", "one of two", two, FAIL, f"{SECOND_CARD} raised no interrupt during")
    yield Case("METIS-505", "one came", counted(Counted(CARD, 7, 8)), PASS, "raised 1 interrupts")
    polls = Driver(loaded=True, version=VERSION, bound=(CARD,), parameters={"dma_poll": "1"})
    yield Case("METIS-505", "polls", counted(Counted(CARD, 7, 7), driver=polls), SKIP, "dma_poll")


def _thermal() -> Iterator[Case]:
    def hot(*degrees: float, **changes) -> Evidence:
        return evidence(temperatures=tuple(Temperatures("after", it) for it in degrees), **changes)

    yield Case("METIS-405", "cool", HEALTHY, PASS, "46 C at its hottest; the card throttles at 105 C.")
    yield Case("METIS-405", "below", hot(94.9), PASS, "94.9 C")
    yield Case("METIS-405", "near", hot(40, 95), WARN, "95 C: the card throttles itself at 105 C and switches itself")
    yield Case("METIS-405", "throttles", hot(105), FAIL, "105 C: the card throttles")
    tools = {"axlogdevice": "/usr/bin/axlogdevice"}
    told_nothing = hot(host=replace(HEALTHY.survey.host, tools=tools))
    yield Case("METIS-405", "not told", told_nothing, UNKNOWN, "did not tell its temperature")
    yield Case("METIS-405", "no tool", hot(), SKIP, "brings no tool")
    yield Case("METIS-405", "held", hot(nodes=(node(holders=(HOLDER,)),)), SKIP, "by frigate (process 812)")
    at_work = replace(LONG, survey=replace(LONG.survey, load=replace(LOAD, temperatures=(Temperatures("after", 107),))))
    yield Case("METIS-405", "hot at work", at_work, FAIL, "107 C")
    held = (node(holders=(HOLDER,)),)
    yield Case("METIS-405", "held, and told", hot(46, nodes=held), PASS, "46 C")
    silent = evidence(temperatures=(Temperatures("before"), Temperatures("after", 46)))
    yield Case("METIS-405", "silent once", silent, PASS, "46 C")
    early = evidence(without(Section.SELF_TEST, temperatures=(Temperatures("after", 107),)))
    yield Case("METIS-405", "no time, no tool", early, SKIP, "brings no tool")
    early = replace(early, survey=replace(early.survey, host=told_nothing.survey.host))
    yield Case("METIS-405", "no time", early, UNKNOWN, f"no section '{Section.SELF_TEST}'")
    undone = replace(at_work, survey=replace(at_work.survey, sections=frozenset(Section) - {Section.LOAD}))
    yield Case("METIS-405", "no time at work", undone, PASS, "46 C")

    def limits(state: ServiceState | None) -> Evidence:
        return evidence(services={state.name: state} if state else {}, asked=settings(throttle="85:5:40"))

    name = "axelera-limits"
    yield Case("METIS-404", "set", limits(ServiceState(name, True, "active", ran=True)), PASS, "has set throttling 85:")
    yield Case("METIS-404", "failed", limits(ServiceState(name, True, "failed", ran=True)), FAIL, "axelera-limits, whi")
    yield Case("METIS-404", "never ran", limits(ServiceState(name, True, "inactive")), FAIL, "is inactive.")
    yield Case("METIS-404", "no service", limits(None), FAIL, "is not there.")
    yield Case("METIS-404", "not asked for", HEALTHY, SKIP, "the card throttles itself at 105 C")
    asked = settings(throttle="85:5:40")
    yield Case("METIS-404", "no init answers", evidence(services=None, asked=asked), FAIL, "is not there.")
    unlooked = evidence(without(Section.SERVICES), asked=asked)
    yield Case("METIS-404", "not looked", unlooked, UNKNOWN, f"no section '{Section.SERVICES}'")


LOAD = Load(
    looks=121,
    interval=1,
    links=(LinkSeen(0, CARD, 8.0, 4, 0x43), LinkSeen(0, PORT, 8.0, 4, 0x4043)),
    errors=(Counted(PORT, 3, 3, "correctable"), Counted(PORT, 0, 0, "fatal")),
    interrupts=(Counted(CARD, 0, 900),),
    clocks={"before": (DEVICE_LINE,), "after": (DEVICE_LINE,)},
)
LONG = evidence(
    asked=settings(verify_level="long"),
    sustained=CommandResult("axrunmodel /opt/m.json --seconds 120", 0, ("System throughput: 401.5 FPS",)),
    load=LOAD,
)


def _load() -> Iterator[Case]:
    def at_work(**changes) -> Evidence:
        return replace(LONG, survey=replace(LONG.survey, load=replace(LOAD, **changes)))

    def ended(status: int, *output: str, **changes) -> Evidence:
        return replace(LONG, survey=replace(LONG.survey, sustained=ran(status, *output), **changes))

    off = evidence(asked=settings(verify_level="long", self_test=False))
    idle = replace(LONG, survey=replace(LONG.survey, sustained=None, load=None))
    held = replace(LONG, survey=replace(idle.survey, nodes=(node(holders=(HOLDER,)),)))
    wrong = "Answer check: FAILED: device 0, inference 3, byte 17: expected 0x2a, got 0x2b"
    fps = "System throughput: 401.5 FPS"
    yield Case("METIS-510", "endured", LONG, PASS, "--seconds 120: system 401.5 FPS.")
    yield Case("METIS-510", "broke off", ended(1, "USR_DMA_XFER failed"), FAIL, "ended with status 1: USR_DMA_XFER fai")
    yield Case("METIS-510", "wrong answer", ended(1, fps, wrong), FAIL, "byte 17: expected 0x2a, got 0x2b.")
    yield Case("METIS-510", "wrong, status 0", ended(0, fps, wrong), FAIL, "byte 17")
    yield Case("METIS-510", "wrong, after a warning", ended(1, "error: no display", wrong), FAIL, "byte 17")
    yield Case("METIS-510", "hangs", ended(124), UNKNOWN, "did not end in time")
    yield Case("METIS-510", "no tool", ended(127), UNKNOWN, "axrunmodel is not installed")
    sdk = settings(
        verify_level="long", inference="/opt/sdk/inference.py", inference_model="yolo", inference_source="clip.mp4"
    )
    yield Case(
        "METIS-510", "no SDK", replace(ended(127), settings=sdk), UNKNOWN, "/opt/sdk/inference.py is not on this host"
    )
    yield Case("METIS-510", "no figure", ended(0), UNKNOWN, "no throughput")
    yield Case("METIS-510", "no frames", ended(0, "System throughput: 0 FPS"), UNKNOWN, "no throughput")
    yield Case("METIS-510", "few frames", ended(0, "System throughput: 0.5 FPS"), PASS, "system 0.5 FPS")
    yield Case("METIS-510", "not run", idle, UNKNOWN, "was not kept at work")
    yield Case("METIS-510", "held", held, SKIP, "by frigate (process 812)")
    since = replace(LONG, survey=replace(LONG.survey, nodes=held.survey.nodes))
    yield Case("METIS-510", "held since", since, PASS, "system 401.5 FPS")
    for code in ("METIS-510", "METIS-511"):
        unlooked = replace(LONG, survey=replace(LONG.survey, sections=frozenset(Section) - {Section.LOAD}))
        yield Case(code, "not looked", unlooked, UNKNOWN, f"no section '{Section.LOAD}'")
        of_others = replace(unlooked, survey=replace(unlooked.survey, nodes=held.survey.nodes))
        yield Case(code, "not looked, and held", of_others, SKIP, "by frigate (process 812)")
    yield Case("METIS-510", "switched off", off, SKIP, "metis_self_test = False")
    yield Case("METIS-510", "medium", HEALTHY, SKIP, "not looked at by level medium: verify with --level long")

    def links(*seen: LinkSeen) -> Evidence:
        return at_work(links=seen)

    full, narrow = LinkSeen(0, CARD, 8.0, 4, 0x43), LinkSeen(31, CARD, 8.0, 1, 0x13)
    yield Case("METIS-511", "the same", LONG, PASS, "The link of 0000:01:00.0 was the same at 121 looks.")
    flaps = links(full, narrow, replace(full, seconds=32))
    yield Case(
        "METIS-511",
        "flaps",
        flaps,
        FAIL,
        "(121 looks): 8 GT/s x4, after 31 s 8 GT/s x1; 8 GT/s x1, after 32 s",
    )
    slower = links(full, replace(narrow, speed=2.5, width=4))
    yield Case("METIS-511", "slower", slower, FAIL, "after 31 s 2.5 GT/s x4")
    gone = links(full, LinkSeen(8, CARD, None, None))
    yield Case("METIS-511", "gone", gone, FAIL, "8 GT/s x4, after 8 s unreadable.")
    half = links(full, LinkSeen(8, CARD, None, 4))
    yield Case("METIS-511", "half gone", half, FAIL, "8 GT/s x4, after 8 s unreadable.")
    retrained = links(full, replace(full, seconds=9, status=0x4043))
    yield Case("METIS-511", "between two looks", retrained, FAIL, "trained again between two looks, after 9 s")
    torn = links(replace(full, status=0x11))
    yield Case("METIS-511", "within one look", torn, FAIL, "8 GT/s x4 and 2.5 GT/s x1 within the look after 0 s")
    unnamed = links(replace(full, speed=None))
    yield Case("METIS-511", "a speed that the kernel has no name for", unnamed, PASS, "the same")
    yield Case("METIS-511", "other bits", links(full, replace(full, seconds=9, status=0x1043)), PASS, "the same")
    yield Case("METIS-511", "only root knows", links(replace(full, status=None)), PASS, "the same")
    for name, first, second in (
        ("only root ever knew", None, None),
        ("only root knew at first", None, 0x4043),
        ("only root knew later", 0x43, None),
        ("no register", 0, 0),
        ("a speed of no generation", 0x40, 0x40),
        ("a register without lanes", 0x3, 0x3),
    ):
        looks = links(replace(full, status=first), replace(full, seconds=9, status=second))
        yield Case("METIS-511", name, looks, PASS, "the same")
    yield Case("METIS-511", "not seen", links(), UNKNOWN, "no link could be looked at")
    yield Case("METIS-511", "not run", idle, SKIP, "METIS-510")
    yield Case("METIS-511", "switched off", off, SKIP, "metis_self_test = False")

    def errors(*counts: Counted) -> Evidence:
        return at_work(errors=counts)

    yield Case("METIS-512", "none", LONG, PASS, "0000:00:01.0 counted no error.")
    yield Case(
        "METIS-512",
        "corrected",
        errors(Counted(PORT, 3, 5, "correctable")),
        WARN,
        "errors while the card worked: 2 correctable.",
    )
    both = errors(Counted(PORT, 3, 4, "correctable"), Counted(PORT, 0, 1, "nonfatal"))
    yield Case("METIS-512", "not corrected", both, FAIL, "1 correctable, 1 nonfatal.")
    yield Case("METIS-512", "fatal", errors(Counted(PORT, 0, 1, "fatal")), FAIL, "1 fatal.")
    yield Case("METIS-512", "not counted", errors(), UNKNOWN, "no port on the way")
    yield Case("METIS-512", "not run", idle, SKIP, "METIS-510")

    def clocks(before: str, after: str) -> Evidence:
        line = "Device 0: metis-0:1:0 1GiB m2 {}"
        return at_work(clocks={"before": (line.format(before),), "after": (line.format(after),)})

    yield Case("METIS-513", "kept", LONG, PASS, "metis-0:1:0 ran at 800 MHz before and at 800 MHz after.")
    slow = clocks("clock=800MHz", "clock=600MHz")
    yield Case("METIS-513", "lowered", slow, WARN, "metis-0:1:0 ran at 800 MHz before and at 600 MHz after")
    yield Case("METIS-513", "not told", clocks("clock=800MHz", ""), UNKNOWN, "did not tell a clock")
    yield Case("METIS-513", "not told before", clocks("", "clock=800MHz"), UNKNOWN, "did not tell a clock")
    yield Case("METIS-513", "never told", at_work(clocks={}), UNKNOWN, "did not tell a clock")
    yield Case("METIS-513", "not run", idle, SKIP, "METIS-510")


def _exposure() -> Iterator[Case]:
    yield Case("METIS-640", "no server", HEALTHY, PASS, "No axsystemserver runs.")
    yield Case("METIS-640", "not looked", evidence(servers=None), UNKNOWN, "what listens")
    for name, places, answer, words in (
        ("everywhere", ("00000000:15B3",), FAIL, "(process 77) listens to other machines at port 5555"),
        ("everywhere, v6", ("00000000000000000000000000000000:15B3",), FAIL, "port 5555"),
        ("this host alone", ("0100007F:15B3", "00000000000000000000000001000000:15B3"), PASS, "this host alone"),
        ("one of two", ("0100007F:15B3", "0A00000A:15B4"), FAIL, "port 5556"),
        ("at no number", ("0A00000A:http",), FAIL, "port 0A00000A:http"),
        ("nowhere", (), PASS, "this host alone"),
        ("unseen", None, UNKNOWN, "only root can see"),
    ):
        yield Case("METIS-640", name, evidence(servers=(Server(77, places),)), answer, words)

    def sleeps(*states: str, masked: tuple[str, ...] = (), by: tuple[str, ...] = ("a desktop session",)) -> Evidence:
        return evidence(sleep=Sleep(states, masked, by))

    yield Case("METIS-612", "nothing asks", HEALTHY, PASS, "nothing makes it do so by itself")
    yield Case("METIS-612", "a desktop", sleeps("freeze", "mem"), WARN, "put to sleep by a desktop session")
    yield Case("METIS-612", "to disk", sleeps("disk", by=("IdleAction=hibernate",)), WARN, "by IdleAction=hibernate")
    yield Case("METIS-612", "cannot", sleeps("freeze"), PASS, "cannot suspend")
    yield Case("METIS-612", "masked", sleeps("mem", masked=("sleep.target",)), PASS, "sleep.target cannot be reached")
    suspend = sleeps("mem", masked=("hibernate.target", "suspend.target"))
    yield Case("METIS-612", "suspend masked", suspend, PASS, "hibernate.target and suspend.target cannot be reached")
    only_disk = sleeps("mem", masked=("hibernate.target",))
    yield Case("METIS-612", "half masked", only_disk, WARN, "put to sleep")
    yield Case("METIS-612", "not looked", evidence(sleep=None), UNKNOWN, "can sleep")
    for code in ("METIS-612", "METIS-640"):
        unlooked = evidence(without(Section.SERVICES))
        yield Case(code, "services not looked at", unlooked, UNKNOWN, f"no section '{Section.SERVICES}'")
    yield Case("METIS-612", "standby", sleeps("standby"), WARN, "put to sleep")


def _pages_and_pairs() -> Iterator[Case]:
    def pages(size: int | None) -> Evidence:
        return evidence(host=replace(HEALTHY.survey.host, page_size=size))

    yield Case("METIS-014", "usual", HEALTHY, PASS, "pages of 4096 bytes")
    yield Case("METIS-014", "raspberry pi 5", pages(16384), UNKNOWN, "nobody has said")
    yield Case("METIS-014", "64 KiB", pages(65536), WARN, "pages of 65536 bytes, and no card is known")
    yield Case("METIS-014", "unread", pages(None), UNKNOWN, "could not be read")

    def pair(driver: str | None, *runtimes: str) -> Evidence:
        packages = {f"axelera-runtime-{version}": version for version in runtimes}
        return evidence(driver=Driver(loaded=True, version=driver, bound=(CARD,)), packages=packages)

    yield Case("METIS-206", "together", pair("1.6.2", "1.8.0"), PASS, "Driver 1.6.2 and runtime 1.8.0 belong together.")
    other = pair("1.4.4", "1.8.0")
    yield Case(
        "METIS-206", "apart", other, FAIL, "Driver 1.4.4 is in memory, and runtime 1.8.0 goes with driver 1.6.2."
    )
    yield Case("METIS-206", "one of two", pair("1.6.2", "1.5.3", "1.8.0"), FAIL, "runtime 1.5.3 goes with driver 1.4.4")
    yield Case("METIS-206", "unknown driver", pair("9.9", "1.8.0"), UNKNOWN, "does not have driver 9.9")
    yield Case("METIS-206", "unknown runtime", pair("1.6.2", "9.9"), UNKNOWN, "does not have runtime 9.9")
    yield Case("METIS-206", "later driver", pair("1.6.9", "1.8.0"), PASS, "are of series that belong together")
    yield Case("METIS-206", "later runtime", pair("1.6.2", "1.8.7"), PASS, "are of series that belong together")
    yield Case("METIS-206", "no runtime", pair("1.6.2"), SKIP, "no runtime is installed")
    podman = desired(runtime=ImageRuntime("1.8.0", "podman", "f" * 64))

    def image(driver: str, **changes) -> Evidence:
        return evidence(driver=Driver(loaded=True, version=driver, bound=(CARD,)), wanted=podman, **changes)

    there = {"engines": frozenset({"podman"})}
    belongs = image("1.6.2", **there)
    yield Case("METIS-206", "an image", belongs, PASS, "Driver 1.6.2 and runtime 1.8.0 belong together.")
    yield Case("METIS-206", "an image, apart", image("1.4.4", **there), FAIL, "runtime 1.8.0 goes with driver 1.6.2.")
    yield Case("METIS-206", "no image yet", image("1.6.2"), SKIP, "no runtime is installed")
    beside = image("1.6.2", packages={"axelera-runtime-1.5.3": "1.5.3"}, **there)
    yield Case("METIS-206", "a package beside the image", beside, FAIL, "runtime 1.5.3 goes with driver 1.4.4")
    yield Case("METIS-206", "no driver", pair(None, "1.8.0"), SKIP, "no driver is in memory")
    yield Case(
        "METIS-206", "unlisted", evidence(without(Section.PACKAGES)), UNKNOWN, f"no section '{Section.PACKAGES}'"
    )


def _helpers() -> Iterator[Case]:
    pinned = {"runtime_version": "1.8.0", "runtime_source": "r.deb", "runtime_sha256": "0" * 64}
    asked = settings(runtime="deb", **pinned)
    render = "/dev/dri/renderD128"

    def host(pipeline: Pipeline | None, *tries: Attempt) -> Evidence:
        return evidence(asked=asked, pipeline=pipeline, attempts=(*attempts(), *tries))

    full = Pipeline((render,), ("iHD",), ("intel",))
    usable = host(full, Attempt("frigate", render, "ok"))
    flags = "inference.py --enable-vaapi --enable-opencl --enable-opengl."
    yield Case("METIS-340", "usable", usable, PASS, f"{render}; VA-API iHD; OpenCL intel: {flags}")
    bare = "no render node; no VA-API driver; no OpenCL platform: inference.py --disable-vaapi --disable-opencl"
    yield Case("METIS-340", "none", host(Pipeline()), PASS, bare)
    headless = host(Pipeline(vaapi=("iHD",), opencl=("pocl",)))
    yield Case("METIS-340", "no render node", headless, PASS, "--disable-vaapi --enable-opencl --disable-opengl")
    refused = host(full, Attempt("frigate", render, "denied", "Permission denied"))
    yield Case("METIS-340", "refused", refused, WARN, f"frigate cannot open {render}; this host has {render}; VA-API")
    yield Case("METIS-340", "not looked", host(None), UNKNOWN, "does not say")
    yield Case("METIS-340", "no runtime", HEALTHY, SKIP, "no runtime is wanted")
    outsider = host(full, Attempt("frigate", HEAP, "denied"), Attempt("frigate", render, "error"))
    yield Case("METIS-340", "refused elsewhere", outsider, PASS, render)
    unlooked = evidence(without(Section.NODES), asked=asked)
    yield Case("METIS-340", "nodes not looked at", unlooked, UNKNOWN, f"no section '{Section.NODES}'")
    driverless = host(Pipeline((render,)))
    yield Case("METIS-340", "no VA-API", driverless, PASS, "--disable-vaapi --disable-opencl --enable-opengl.")


def _runtime() -> Iterator[Case]:
    pinned = {"runtime_version": "1.8.0", "runtime_source": "r.deb", "runtime_sha256": "0" * 64}
    asked = settings(runtime="deb", **pinned)
    wanted = desired(runtime=PackagedRuntime("1.8.0", "axelera-runtime-1.8.0"))

    def has(*packages: str) -> Evidence:
        return evidence(asked=asked, wanted=wanted, packages=dict.fromkeys(packages, "1"))

    yield Case(
        "METIS-630", "there", has("axelera-runtime-1.8.0"), PASS, "Runtime 1.8.0 is there: axelera-runtime-1.8.0"
    )
    yield Case("METIS-630", "none", has(), FAIL, "Runtime 1.8.0 is not there (axelera-runtime-1.8.0 is missing).")
    yield Case("METIS-630", "another", has("axelera-runtime-1.7.0"), FAIL, "is missing, axelera-runtime-1.7.0 is).")
    yield Case("METIS-630", "not wanted", HEALTHY, SKIP, "no runtime is wanted")
    yield Case("METIS-630", "blocked", evidence(asked=asked), UNKNOWN, "could not say what to install")
    for section in (Section.PACKAGES, Section.FILES, Section.HOST):
        unread = evidence(without(section), wanted=wanted, asked=asked)
        yield Case("METIS-630", f"{section} unread", unread, UNKNOWN, f"the survey has no section '{section}'")
    image = desired(runtime=ImageRuntime("1.8.0", "podman", "f" * 64))
    yield Case("METIS-630", "no image", evidence(asked=asked, wanted=image), FAIL, "the podman image ffff")
    environment = desired(runtime=EnvironmentRuntime("1.8.0", "python3.13"))
    yield Case(
        "METIS-630", "no environment", evidence(asked=asked, wanted=environment), FAIL, "/opt/axelera/venv-1.8.0-"
    )


def _files() -> Iterator[Case]:
    def lies(**changes) -> Evidence:
        return evidence(files={RULES.path: state_of(RULES, **changes)})

    yield Case("METIS-601", "as wanted", HEALTHY, PASS, "1 of 1")
    yield Case("METIS-601", "edited", lies(sha256="f" * 64), FAIL, f"1 of 1 differ: {RULES.path} (content).")
    yield Case("METIS-601", "mode", lies(mode="0666"), FAIL, "mode 0666 instead of 0644")
    yield Case("METIS-601", "owner", lies(owner="pi"), FAIL, "owner pi instead of root")
    yield Case("METIS-601", "group", lies(group="users"), FAIL, "group users instead of root")
    yield Case("METIS-601", "link", lies(kind="link"), FAIL, "a link instead of a file")
    absent = evidence(files={RULES.path: FileState(RULES.path, "absent")})
    yield Case("METIS-601", "missing", absent, FAIL, f"{RULES.path} (missing)")
    yield Case("METIS-601", "not looked at", evidence(files={}), UNKNOWN, RULES.path)
    for part in ("sha256", "mode", "owner", "group"):
        yield Case("METIS-601", f"{part} unread", lies(**{part: None}), UNKNOWN, RULES.path)
    many = tuple(File(f"/etc/f{number}", b"") for number in range(7))
    drifted = evidence(wanted=desired(files=many), files={f.path: FileState(f.path, "absent") for f in many})
    yield Case("METIS-601", "many", drifted, FAIL, "7 of 7 differ: /etc/f0 (missing)")
    yield Case("METIS-601", "many, the rest counted", drifted, FAIL, "/etc/f4 (missing), and 2 more.")
    five = evidence(wanted=desired(files=many[:5]), files={f.path: FileState(f.path, "absent") for f in many})
    yield Case("METIS-601", "all named", five, FAIL, "/etc/f4 (missing).")
    half = evidence(wanted=desired(files=(RULES, many[0])), files={many[0].path: FileState(many[0].path, "absent")})
    yield Case("METIS-601", "drift and unread", half, FAIL, "1 of 2 differ")
    yield Case("METIS-601", "none wanted", evidence(wanted=desired(files=())), SKIP, "wants no files")

    yield Case("METIS-602", "there", HEALTHY, PASS, "gid 997")
    yield Case("METIS-602", "missing", evidence(groups={}), FAIL, "Group axelera does not exist")
    fixed = desired(groups=(Group("axelera", 990),))
    yield Case("METIS-602", "other gid", evidence(wanted=fixed), FAIL, "has gid 997, 990 is asked for")
    right = desired(groups=(Group("axelera", 997),))
    yield Case("METIS-602", "gid as asked", evidence(wanted=right), PASS, "gid 997")
    yield Case("METIS-602", "none wanted", evidence(wanted=desired(groups=())), SKIP, "wants no groups")

    outside = {"frigate": Account("frigate", 998, groups=("frigate",))}
    empty = {"axelera": Account("axelera", 997)}
    yield Case("METIS-603", "member", HEALTHY, PASS, "frigate is in axelera")
    yield Case("METIS-603", "by the user's groups", evidence(groups=empty), PASS, "frigate is in axelera")
    yield Case("METIS-603", "by the group's members", evidence(users=outside), PASS, "frigate is in axelera")
    yield Case("METIS-603", "not a member", evidence(users=outside, groups=empty), FAIL, "frigate is not in axelera")
    yield Case("METIS-603", "not on this host", evidence(users={}), SKIP, "does not exist on this host")
    created = desired(users=(User("frigate", "axelera", create=True),))
    yield Case("METIS-603", "not created", evidence(users={}, wanted=created), FAIL, "was to be created")
    yield Case("METIS-603", "created", evidence(wanted=created), PASS, "frigate is in axelera")
    yield Case("METIS-603", "none wanted", evidence(wanted=desired(users=())), SKIP, "wants no service users")


def _services() -> Iterator[Case]:
    watchdog = Service("axelera-watchdog", ("/etc/systemd/system/axelera-watchdog.service",), Needs.CARD_NODE, True)
    limits = replace(watchdog, name="axelera-limits", lasting=False)
    running = ServiceState("axelera-watchdog", enabled=True, state="active", detail="loaded enabled running success")
    done = ServiceState("axelera-limits", enabled=True, state="inactive", ran=True)

    def with_services(*states: ServiceState, wanted: Service = watchdog) -> Evidence:
        return evidence(services={state.name: state for state in states}, wanted=desired(services=(wanted,)))

    for code in ("METIS-610", "METIS-611"):
        yield Case(code, "none wanted", HEALTHY, SKIP, "wants no services")
        no_manager = evidence(services=None, wanted=desired(services=(watchdog,)))
        yield Case(code, "no init system", no_manager, UNKNOWN, "neither systemd nor OpenRC")
        unread = evidence(without(Section.SERVICES), desired(services=(watchdog,)))
        yield Case(code, "not looked at", unread, UNKNOWN, "no section 'services'")
    yield Case("METIS-610", "in the boot", with_services(running), PASS, "axelera-watchdog is started at boot")
    disabled = replace(running, enabled=False, detail="loaded disabled running success")
    yield Case("METIS-610", "disabled", with_services(disabled), FAIL, "not started at boot: loaded disabled")
    yield Case("METIS-610", "not there", with_services(), FAIL, "the init system does not know it")
    yield Case("METIS-611", "runs", with_services(running), PASS, "axelera-watchdog is active")
    yield Case("METIS-611", "its work is done", with_services(done, wanted=limits), PASS, "axelera-limits is inactive")
    stopped = replace(running, state="inactive")
    yield Case("METIS-611", "stopped", with_services(stopped), FAIL, "axelera-watchdog is inactive")
    never = replace(done, ran=False)
    yield Case("METIS-611", "work never done", with_services(never, wanted=limits), FAIL, "axelera-limits is inactive")
    waiting = replace(watchdog, can_run=False)
    yield Case("METIS-611", "no card", with_services(stopped, wanted=waiting), SKIP, "waits for a card")
    for section in (Section.NODES, Section.PCI):
        dark = with_services(stopped)
        dark = replace(dark, survey=replace(dark.survey, sections=frozenset(Section) - {section}))
        yield Case("METIS-611", f"stopped, {section} not looked at", dark, UNKNOWN, f"no section '{section}'")
    failed = replace(running, state="failed")
    yield Case("METIS-611", "failed without a card", with_services(failed, wanted=waiting), FAIL, "is failed")
    failed_limits = replace(done, state="failed")
    yield Case(
        "METIS-611", "work failed", with_services(failed_limits, wanted=limits), FAIL, "axelera-limits is failed"
    )
    yield Case("METIS-611", "crashed", with_services(replace(running, state="crashed")), FAIL, "is crashed")


def _initramfs() -> Iterator[Case]:
    wanted = desired(initramfs=Initramfs(ImageContent.DRIVER, "asked for"))
    explicit = settings(initramfs="driver")

    def image(release: str = KERNEL) -> InitramfsImage:
        return InitramfsImage(release, f"/boot/initrd.img-{release}", "100 1", "d1", ("d1", "100 1"))

    def items(release: str = KERNEL, **held: bool) -> tuple[ImageItem, ...]:
        names = {"metis": "metis", "rule": "/etc/udev/rules.d/99-axelera.rules", "mark": "inputs d1"}
        return tuple(ImageItem(release, name, held.get(key, True)) for key, name in names.items())

    def host(*found: ImageItem, images: tuple[InitramfsImage, ...] = (image(),), **changes) -> Evidence:
        state = InitramfsState(Generator.DRACUT, images)
        given = {"initramfs": state, "image_items": found, **changes}
        return evidence(wanted=wanted, asked=explicit, **given)

    for code in ("METIS-620", "METIS-621", "METIS-622", "METIS-623"):
        yield Case(code, "nothing wanted", HEALTHY, SKIP, "wants nothing in the initramfs")
        inside = replace(HEALTHY.survey.host, container="podman")
        yield Case(code, "container", host(host=inside), SKIP, "its host's")
        no_tool = evidence(wanted=wanted, initramfs=InitramfsState())
        yield Case(code, "no generator", no_tool, SKIP, "nothing known to us makes an initramfs")
        yield Case(code, "not looked", evidence(without(Section.INITRAMFS), wanted, explicit), UNKNOWN, "'initramfs'")
    complete = host(*items())
    unlisted = host(ImageItem(KERNEL, "", None))
    yield Case("METIS-620", "complete", complete, PASS, f"initrd.img-{KERNEL} holds metis, /etc/udev/rules.d")
    yield Case("METIS-620", "no module", host(*items(metis=False)), FAIL, "lacks metis.")
    yield Case("METIS-620", "neither", host(*items(metis=False, rule=False)), FAIL, "lacks metis, /etc/udev")
    yield Case("METIS-620", "unlisted", unlisted, UNKNOWN, "could not be listed")
    yield Case("METIS-620", "only a mark", host(items()[2]), PASS, "has nothing to put into")
    yield Case("METIS-620", "never looked into", host(), FAIL, "nothing of ours is on the host")
    yield Case("METIS-620", "no image", host(images=()), FAIL, f"kernel {KERNEL} is booted without an image")
    without_image = evidence(wanted=wanted, initramfs=InitramfsState(Generator.DRACUT))
    yield Case("METIS-620", "no image, by carrier", without_image, SKIP, "is booted without an image")
    unasked = evidence(wanted=wanted, asked=explicit, initramfs=None)
    yield Case("METIS-620", "no images known", unasked, FAIL, f"kernel {KERNEL} is booted without an image")
    unpacked_none = replace(
        complete, survey=replace(complete.survey, sections=frozenset(set(Section) - {Section.IMAGES}))
    )
    yield Case("METIS-620", "not unpacked", unpacked_none, UNKNOWN, "'images'")
    yield Case("METIS-621", "current", complete, PASS, "was built from what goes in now")
    yield Case("METIS-621", "stale", host(*items(mark=False)), FAIL, "was built before the driver")
    yield Case("METIS-621", "unlisted", unlisted, UNKNOWN, "could not be listed")
    yield Case("METIS-621", "no image", host(images=()), SKIP, "METIS-620")
    yield Case("METIS-621", "no image, by carrier", without_image, SKIP, "the running kernel has no image")
    both = (image(), image(OTHER_KERNEL))
    yield Case("METIS-622", "one kernel", complete, SKIP, "no other kernel")
    yield Case("METIS-622", "complete", host(*items(), *items(OTHER_KERNEL), images=both), PASS, "is current")
    next_unread = host(*items(), *items(OTHER_KERNEL), images=both, next_boot=None)
    yield Case("METIS-622", "next boot unread", next_unread, PASS, "is current")
    bare = host(*items(), *items(OTHER_KERNEL, metis=False), images=both)
    yield Case("METIS-622", "no module", bare, WARN, f"initrd.img-{OTHER_KERNEL} lacks metis.")
    stale = host(*items(), *items(OTHER_KERNEL, mark=False), images=both)
    yield Case("METIS-622", "stale", stale, WARN, "from something else than what goes in now")
    dark = host(*items(), ImageItem(OTHER_KERNEL, "", None), images=both)
    yield Case("METIS-622", "unlisted", dark, UNKNOWN, "could not be listed")
    yield Case("METIS-622", "never looked into", host(*items(), images=both), WARN, "never looked into")
    other = {"kernels": (kernel(), kernel(OTHER_KERNEL)), "next_boot": NextBoot(OTHER_KERNEL, "a link")}
    whole = host(*items(), *items(OTHER_KERNEL), images=both, **other)
    yield Case("METIS-622", "boots next", whole, SKIP, "no other kernel")
    yield Case("METIS-623", "running", complete, SKIP, "METIS-620")
    yield Case("METIS-623", "complete", whole, PASS, f"initrd.img-{OTHER_KERNEL} holds everything")
    bare = host(*items(), *items(OTHER_KERNEL, metis=False), images=both, **other)
    yield Case("METIS-623", "no module", bare, FAIL, f"initrd.img-{OTHER_KERNEL} lacks metis.")
    stale = host(*items(), *items(OTHER_KERNEL, mark=False), images=both, **other)
    yield Case("METIS-623", "stale", stale, FAIL, "from something else than what goes in now")
    yield Case("METIS-623", "no image", host(*items(), **other), FAIL, f"{OTHER_KERNEL} is booted without an image")
    dark = host(*items(), ImageItem(OTHER_KERNEL, "", None), images=both, **other)
    yield Case("METIS-623", "unlisted", dark, UNKNOWN, "could not be listed")
    unnamed = host(*items(), images=both, next_boot=NextBoot(None, "no loader"))
    yield Case("METIS-623", "which is not known", unnamed, SKIP, "METIS-230")


def _boot() -> Iterator[Case]:
    pi5 = Host(os_release={"ID": "debian"}, architecture="aarch64", model="Raspberry Pi 5 Model B Rev 1.0")
    lines = ("dtparam=pciex1", "dtparam=pciex1_gen=3")
    path = "/boot/firmware/config.txt"

    def on_a_pi(carrier: str = "rpi5-m2-hat-plus", where: Host = pi5) -> Evidence:
        return evidence(host=where, asked=settings(carrier=carrier))

    yield Case("METIS-021", "any", HEALTHY, PASS, "'generic' fits x86_64 without")
    yield Case("METIS-021", "fits", on_a_pi(), PASS, "'rpi5-m2-hat-plus' fits Raspberry Pi 5 Model B")
    pc = Host(architecture="x86_64")
    yield Case(
        "METIS-021", "pi board on a pc", on_a_pi(where=pc), FAIL, "is for Raspberry Pi 5, and this host is x86_64"
    )
    yield Case(
        "METIS-021", "pc slot on a pi", on_a_pi("x86-slot"), FAIL, "is for x86_64, and this host is Raspberry Pi"
    )
    module = replace(pi5, model="Raspberry Pi Compute Module 5 Rev 1.0")
    yield Case("METIS-021", "other pi", on_a_pi(where=module), FAIL, "this host is Raspberry Pi Compute Module 5")
    yield Case("METIS-021", "container", on_a_pi(where=replace(pc, container="podman")), SKIP, "container")
    yield Case("METIS-021", "machine unread", on_a_pi(where=Host()), UNKNOWN, "which machine")

    def config(now: bytes, content: bytes, asked: tuple[str, ...] = lines, **boot) -> Evidence:
        seen = Boot(**{"pcie_enabled": True, "pcie_generation": 3, **boot})
        return evidence(boot=seen, wanted=desired(boot=BootConfig(path, asked, now, content)))

    yield Case("METIS-022", "none", HEALTHY, SKIP, "no config.txt")
    yield Case("METIS-022", "as wanted", config(b"x", b"x"), PASS, f"{path} has {', '.join(lines)}.")
    yield Case("METIS-022", "lacks lines", config(b"x", b"xy"), FAIL, f"does not put {', '.join(lines)} into force")
    yield Case("METIS-022", "left over", config(b"xy", b"x", ()), FAIL, "lines of ours that nothing asks for")

    yield Case("METIS-023", "none", HEALTHY, SKIP, "asks for nothing")
    yield Case("METIS-023", "other lines", config(b"x", b"x", ("arm_boost=1",)), SKIP, "asks for nothing")
    yield Case("METIS-023", "in force", config(b"x", b"x"), PASS, "is on, generation 3")
    slow = config(b"x", b"x", pcie_generation=2)
    yield Case("METIS-023", "slower", slow, WARN, "asks for generation 3, and the running device tree has generation 2")
    off = config(b"x", b"x", pcie_enabled=False, pcie_generation=None)
    yield Case("METIS-023", "off", off, WARN, "the port switched off")
    any_speed = config(b"x", b"x", lines[:1], pcie_generation=None)
    yield Case("METIS-023", "any speed", any_speed, PASS, "port is on.")
    any_off = config(b"x", b"x", lines[:1], pcie_enabled=False)
    yield Case("METIS-023", "any speed, off", any_off, WARN, "asks for the port switched on")
    for part in ("pcie_enabled", "pcie_generation"):
        yield Case("METIS-023", f"{part} unread", config(b"x", b"x", **{part: None}), UNKNOWN, "does not say")
    yield Case("METIS-023", "before the reboot", config(b"x", b"x", changed=(path,)), SKIP, "not before the reboot")
    yield Case("METIS-023", "not written", config(b"x", b"xy"), SKIP, "not before the reboot")

    yield Case("METIS-024", "none", HEALTHY, PASS, "Nothing that only a boot reads")
    pending = evidence(boot=Boot(changed=(path,)))
    yield Case("METIS-024", "pending", pending, WARN, f"Reboot needed: {path} is not what the host booted with")
    yield Case("METIS-024", "unread", evidence(boot=None), UNKNOWN, "boots with could not be read")


def _options() -> Iterator[Case]:
    def loaded(parameters: dict[str, str], **asked: int) -> Evidence:
        return evidence(driver=Driver(loaded=True, parameters=parameters), wanted=desired(module_options=asked))

    yield Case("METIS-205", "none asked", HEALTHY, SKIP, "no options")
    yield Case("METIS-205", "as asked", loaded({"single_msi": "1"}, single_msi=1), PASS, "loaded with single_msi=1.")
    yield Case("METIS-205", "a switch", loaded({"dma_poll": "Y"}, dma_poll=1), PASS, "dma_poll=1")
    other = loaded({"single_msi": "0", "dma_poll": "N"}, single_msi=1, dma_poll=0)
    yield Case("METIS-205", "other", other, WARN, "loaded with single_msi=0, single_msi=1 is asked for")
    words = loaded({"single_msi": "(null)"}, single_msi=1)
    yield Case("METIS-205", "no number", words, WARN, "single_msi=(null)")
    yield Case("METIS-205", "unread", loaded({}, single_msi=1), UNKNOWN, "does not show its option single_msi")
    unloaded = evidence(driver=Driver(), wanted=desired(module_options={"single_msi": 1}))
    yield Case("METIS-205", "not loaded", unloaded, SKIP, "METIS-201")


GROUPS = (
    _boot,
    _options,
    _past,
    _rules,
    _next_boot,
    _signatures,
    _host,
    _cards,
    _link,
    _driver,
    _node,
    _access,
    _device,
    _self_test,
    _interrupts,
    _thermal,
    _load,
    _exposure,
    _pages_and_pairs,
    _helpers,
    _runtime,
    _files,
    _services,
    _initramfs,
)
CASES = tuple(case for group in GROUPS for case in group())


def findings(case: Case) -> list[Finding]:
    """Return what the verdict says under the case's code."""
    return [finding for finding in evaluate("host", case.evidence).findings if finding.code == case.code]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{case.name}".replace(" ", "-"))
def test_code(case):
    found = findings(case)
    assert case.answer in {finding.answer for finding in found}, found
    if case.answer is PASS:
        assert {finding.answer for finding in found} <= {PASS, SKIP}, found
    said = [finding for finding in found if finding.answer is case.answer]
    assert any(case.words in finding.seen for finding in said), said
    for finding in said:
        needs_a_step = finding.answer in {WARN, FAIL, UNKNOWN}
        assert bool(finding.next_step) == needs_a_step, finding
        assert "{" not in finding.seen + finding.next_step


@pytest.mark.parametrize("code", catalogue())
def test_every_code_is_seen_to_pass_and_to_say_no(code):
    answers = {case.answer for case in CASES if case.code == code}
    assert PASS in answers
    assert answers & {FAIL, WARN}


def test_no_case_for_a_code_that_does_not_exist():
    assert {case.code for case in CASES} == set(catalogue())


NEEDED = {
    Section.HOST: "METIS-010 METIS-020 METIS-021",
    Section.KERNELS: "METIS-204 METIS-210 METIS-211 METIS-220 METIS-230 METIS-231 METIS-232 METIS-233 METIS-234"
    " METIS-235",
    Section.PCI: "METIS-101 METIS-102 METIS-103 METIS-104 METIS-105 METIS-110 METIS-120 METIS-202 METIS-301 METIS-302"
    " METIS-303 METIS-310 METIS-311 METIS-312 METIS-320",
    Section.DRIVER: "METIS-201 METIS-203 METIS-204",
    Section.NODES: "METIS-301 METIS-302 METIS-303 METIS-310 METIS-311 METIS-312 METIS-320 METIS-330 METIS-331",
    Section.DKMS: "METIS-211",
    Section.ACCOUNTS: "METIS-311 METIS-602 METIS-603",
    Section.FILES: "METIS-601",
    Section.BOOT: "METIS-024",
    Section.PAST: "METIS-304 METIS-604",
    Section.ACCESS: "METIS-310 METIS-311 METIS-312 METIS-331",
    Section.DEVICES: "METIS-401",
    Section.SELF_TEST: "METIS-501",
}


@pytest.mark.parametrize(
    ("section", "code"), [(section, code) for section, codes in NEEDED.items() for code in codes.split()]
)
def test_a_missing_section_is_unknown(section, code):
    survey_without = without(section, kernels=(kernel(), kernel(OTHER_KERNEL)))
    verdict = evaluate("host", evidence(survey_without))
    answers = {finding.answer for finding in verdict.findings if finding.code == code}
    assert answers == {UNKNOWN}
    assert not verdict.ok or not catalogue()[code].required


def test_nothing_but_unknown_and_skip_without_any_section():
    verdict = evaluate("host", evidence(without(*Section, pci=None, driver=None, devices=None, self_test=None)))
    assert {finding.answer for finding in verdict.findings} <= {UNKNOWN, SKIP}
    assert not verdict.ok
