"""Evidence of a healthy host with one Metis, and small ways to break it, for tests of checks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from metis_provision.checks.evidence import Evidence
from metis_provision.model.artifact import DesiredState, DkmsModule, File, Group, Payload, User, Validator
from metis_provision.model.settings import Settings
from metis_provision.model.survey import (
    Account,
    Attempt,
    Boot,
    CommandResult,
    Counted,
    DkmsBuild,
    Driver,
    FileState,
    Holder,
    Host,
    Kernel,
    ModuleTrust,
    NextBoot,
    Node,
    Past,
    PciFunction,
    Pipeline,
    Section,
    Sleep,
    Survey,
    Temperatures,
)

PORT, CARD = "0000:00:01.0", "0000:01:00.0"
SECOND_PORT, SECOND_CARD = "0000:00:02.0", "0000:02:00.0"
NODE, SECOND_NODE = "/dev/metis-0-1-0", "/dev/metis-0-2-0"
HEAP = "/dev/dma_heap/system"
KERNEL, OTHER_KERNEL = "6.12.48+deb13-amd64", "6.12.57+deb13-amd64"
VERSION = "1.6.2"
MODULE_PATH = f"/lib/modules/{KERNEL}/updates/dkms/metis.ko.xz"
RULES = File("/etc/udev/rules.d/99-axelera-metis.rules", b"# rules\n", validator=Validator.UDEV_RULES)
MODEL = "/opt/models/resnet.json"
HOLDER = Holder(812, "frigate", "frigate")

DEVICE_LINE = "Device 0: metis-0:1:0 1GiB m2 flver=1.3.2 bcver=1.4 clock=800MHz(0-3:800MHz) mvm=0-3:100%"
RAN_WELL = (
    "Device throughput: 469.2 FPS",
    "System throughput: 405.2 FPS",
    "Answer check: ok (12 inferences, 3072 bytes compared)",
)

PAYLOAD = Payload("metis", VERSION, "metis-1.6.2.tar.gz", "0" * 64)
DKMS_MODULE = DkmsModule("metis", VERSION, PAYLOAD, b"")


def settings(**changes: Any) -> Settings:
    """Return settings of a host with one card and a pinned driver."""
    data: dict[str, Any] = {
        "driver_version": VERSION,
        "driver_source": "metis-1.6.2.tar.gz",
        "driver_sha256": "0" * 64,
        "service_users": ["frigate"],
        "self_test_model": MODEL,
    }
    return Settings.model_validate({**data, **changes})


def card(bdf: str = CARD, **changes: Any) -> PciFunction:
    """Return a healthy Metis M.2 at 8 GT/s x4 below ``PORT``."""
    healthy = PciFunction(
        bdf=bdf,
        vendor="1f9d",
        device="1100",
        class_code="120000",
        revision="02",
        driver="axl",
        current_speed=8.0,
        current_width=4,
        max_speed=8.0,
        max_width=4,
        path=(PORT,),
        bars=(0x1000, 0, 0x2000000, 0, 0, 0),
    )
    return replace(healthy, **changes)


def port(bdf: str = PORT, **changes: Any) -> PciFunction:
    """Return a root port that can do 8 GT/s x4."""
    healthy = PciFunction(
        bdf=bdf,
        vendor="1b36",
        device="000c",
        class_code="060400",
        driver="pcieport",
        current_speed=8.0,
        current_width=4,
        max_speed=8.0,
        max_width=4,
    )
    return replace(healthy, **changes)


def node(path: str = NODE, bdf: str | None = CARD, **changes: Any) -> Node:
    """Return a card's node as the deploy leaves it."""
    healthy = Node(path, bdf, "metis", "root", "axelera", "0660", links=("/dev/axelera0", "/dev/metis-0:1:0"))
    return replace(healthy, **changes)


def heap(**changes: Any) -> Node:
    """Return a DMA heap that the group can use."""
    return replace(Node(HEAP, None, "dma_heap", "root", "axelera", "0660"), **changes)


def kernel(release: str = KERNEL, **changes: Any) -> Kernel:
    """Return a kernel with headers and the driver's module."""
    healthy = Kernel(
        release=release,
        running=release == KERNEL,
        headers=True,
        module_path=f"/lib/modules/{release}/updates/dkms/metis.ko.xz",
        module_version=VERSION,
        vermagic=f"{release} SMP preempt mod_unload modversions",
        dmabuf_heaps=True,
    )
    return replace(healthy, **changes)


def build(**changes: Any) -> DkmsBuild:
    """Return the line of dkms for the running kernel."""
    return replace(DkmsBuild("metis", VERSION, KERNEL, "x86_64", "installed"), **changes)


def attempts(**results: str) -> tuple[Attempt, ...]:
    """Return tries to open the node; keyword arguments change the result of who they name."""
    usual = {"frigate": "ok", "member": "ok", "outsider": "denied"}
    return tuple(Attempt(who, NODE, result) for who, result in {**usual, **results}.items())


def desired(**changes: Any) -> DesiredState:
    """Return the desired state of the healthy host."""
    wanted = DesiredState(
        groups=(Group("axelera"),),
        users=(User("frigate", "axelera", create=False),),
        files=(RULES,),
        dkms=DKMS_MODULE,
        module="metis",
    )
    return replace(wanted, **changes)


def state_of(file: File, **changes: Any) -> FileState:
    """Return how a desired file looks on a host that has it."""
    return replace(FileState(file.path, "file", file.sha256, file.mode, file.owner, file.group), **changes)


def survey(**changes: Any) -> Survey:
    """Return the survey of the healthy host."""
    healthy = Survey(
        sections=frozenset(Section),
        host=Host(
            os_release={"ID": "debian", "PRETTY_NAME": "Debian GNU/Linux 13 (trixie)"},
            architecture="x86_64",
            init="systemd",
            epoch=1_760_000_000,
            uid=0,
            free_kib={"/": 2_000_000, "/usr": 2_000_000, "/var": 2_000_000},
            writable={"/etc": True, "/var": True},
            package_locks=(),
            page_size=4096,
            tools={"lsmod": "/usr/bin/lsmod", "lspci": "/usr/bin/lspci"},
            secure_boot=False,
        ),
        kernels=(kernel(),),
        next_boot=NextBoot(KERNEL, "the only kernel on disk"),
        trust=ModuleTrust(sig_enforce=False, lockdown="none"),
        pci=(port(), card()),
        driver=Driver(loaded=True, version=VERSION, bound=(CARD,)),
        nodes=(node(),),
        dma_heap=heap(),
        past=Past(),
        boot=Boot(),
        dkms=(build(),),
        users={"frigate": Account("frigate", 998, groups=("frigate", "axelera"))},
        groups={"axelera": Account("axelera", 997, members=("frigate",))},
        files={RULES.path: state_of(RULES)},
        attempts=(*attempts(), Attempt("frigate", HEAP, "ok"), Attempt("member", HEAP, "ok")),
        devices=CommandResult("axdevice", 0, (DEVICE_LINE,)),
        self_test=CommandResult(f"axrunmodel {MODEL} --seconds 2", 0, RAN_WELL),
        interrupts=(Counted(CARD, 100, 124),),
        temperatures=(Temperatures("after", 41.0, (45.0, 44.0, 45.0, 46.0)),),
        sleep=Sleep(("freeze", "mem", "disk")),
        servers=(),
        pipeline=Pipeline(),
    )
    return replace(healthy, **changes)


def without(*sections: Section, **changes: Any) -> Survey:
    """Return the survey of the healthy host with sections that never arrived."""
    return survey(sections=frozenset(Section) - set(sections), **changes)


def evidence(
    found: Survey | None = None, wanted: DesiredState | None = None, asked: Settings | None = None, **changes: Any
) -> Evidence:
    """Return evidence of the healthy host; keyword arguments change its survey."""
    return Evidence(asked or settings(), found or survey(**changes), wanted or desired())
