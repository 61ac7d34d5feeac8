"""What udev itself makes of the rules: the real programs of Debian 12 and 13 on devices made of files.

Debian 13's udev checks the syntax. Debian 12's is asked about devices, because in a simulation it still runs the
program that names the cards; that owner, mode and links arrive on a real node is shown in the virtual machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import udev_root
from udev_root import MadeUpHost

from metis_provision.desired import access
from metis_provision.model.settings import Settings

pytestmark = [
    pytest.mark.container,
    pytest.mark.skipif(bool(udev_root.missing()), reason=f"needs {', '.join(udev_root.missing())}"),
]

SETTINGS = Settings(driver="none")  # type: ignore[arg-type]
GROUPS = {"axelera": 990, "render": 991, "video": 44}
INITRAMFS_RULES = "/etc/udev/rules.d/99-axelera.rules"
VENDOR = 'SUBSYSTEM=="metis", MODE="0666", GROUP="axelera"\nSUBSYSTEM=="dma_heap", MODE="0666"\n'
CAMERAS = 'SUBSYSTEM=="dma_heap", GROUP="video", MODE="0660"\n'
METIS, NPU = ("0x1f9d", "0x1100"), ("0x8086", "0x7d1d")
FIRST, SECOND = "0000:01:00.0", "0001:03:00.0"


@dataclass
class Answer:
    """What udev would do with a device; numbers as udev prints them."""

    owner: str | None = None
    group: str | None = None
    mode: str | None = None
    links: set[str] = field(default_factory=set)
    tags: set[str] = field(default_factory=set)
    run: tuple[str, ...] = ()


def made_up(base: Path, settings: Settings = SETTINGS, *, rules: bool = True, release: str = "bookworm") -> MadeUpHost:
    host = MadeUpHost(base / release, release)
    known = [line for line in (host.root / "etc/group").read_text().splitlines() if line.split(":")[0] not in GROUPS]
    host.file("/etc/group", "\n".join([*known, *(f"{name}:x:{gid}:" for name, gid in GROUPS.items())]) + "\n")
    for file in access.files(settings) if rules else ():
        host.file(file.path, file.content, int(file.mode, 8))
    return host


@pytest.fixture
def host(tmp_path: Path) -> MadeUpHost:
    """A Debian 12 with our rules."""
    return made_up(tmp_path)


def ask(host: MadeUpHost, device: str, action: str = "add") -> Answer:
    done = host.run("udevadm", "test", f"--action={action}", device)
    assert done.returncode == 0, done.stderr
    values = dict(line.split("=", 1) for line in done.stdout.splitlines() if re.match(r"[A-Z_]+=", line))
    answer = Answer(
        links={link.removeprefix("/dev/") for link in values.get("DEVLINKS", "").split()},
        tags={tag for tag in values.get("TAGS", "").split(":") if tag},
        run=tuple(re.findall(r"^run: '(.*)'$", done.stdout, re.MULTILINE)),
    )
    for name, value in re.findall(r"\.rules:\d+ (OWNER|GROUP|MODE) (\S+)$", done.stderr, re.MULTILINE):
        setattr(answer, name.lower(), value)
    return answer


def test_debian_13_finds_no_fault_with_the_rules(tmp_path: Path) -> None:
    host = made_up(tmp_path, release="trixie")
    host.file(INITRAMFS_RULES, access.initramfs_rules(SETTINGS))
    host.file("/x/files-only.rules", access.files(SETTINGS.model_copy(update={"cards": 0}))[1].content)
    done = host.run("udevadm", "verify", access.UDEV_RULES, INITRAMFS_RULES, "/x/files-only.rules")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Success: 3" in done.stdout


def test_verification_would_find_a_fault(tmp_path: Path) -> None:
    host = made_up(tmp_path, release="trixie")
    host.file("/x/broken.rules", 'SUBSYSTEM=="metis", GRUOP="axelera"\n')
    assert host.run("udevadm", "verify", "/x/broken.rules").returncode == 1


@pytest.mark.parametrize("device_class", ["metis", "axlaipu", "accel"])
def test_the_cards_node_gets_group_mode_and_links(host: MadeUpHost, device_class: str) -> None:
    card = host.pci(FIRST, *METIS)
    node = host.node(card, device_class, "metis-0:1:0", "metis-0-1-0")
    assert ask(host, node) == Answer(
        "0",
        "990",
        "0660",
        {f"axelera/by-path/pci-{FIRST}", "axelera0", "metis-0:1:0"},
        {"systemd"},
        (f"{access.CARD_NAMES} --recount {FIRST}",),
    )
    assert ask(host, node, "change").run == ()


def test_the_node_of_older_drivers_is_not_linked_to_itself(host: MadeUpHost) -> None:
    node = host.node(host.pci(FIRST, *METIS), "metis", "metis-0:1:0")
    assert ask(host, node).links == {f"axelera/by-path/pci-{FIRST}", "axelera0"}


def test_cards_are_numbered_by_path_whoever_comes_first(host: MadeUpHost) -> None:
    second = host.node(host.pci(SECOND, *METIS), "metis", "metis-1:3:0", "metis-1-3-0", 1)
    host.pci("0000:02:00.0", *NPU)
    first = host.node(host.pci(FIRST, "0x1f9d", "0x11aa"), "metis", "metis-0:1:0", "metis-0-1-0", 0)
    assert ask(host, second).links == {f"axelera/by-path/pci-{SECOND}", "axelera1", "metis-1:3:0"}
    assert ask(host, first).links == {f"axelera/by-path/pci-{FIRST}", "axelera0", "metis-0:1:0"}


@pytest.mark.parametrize(
    ("ids", "class_code"),
    [
        (NPU, "0x120000"),
        (("0x1e81", "0x1203"), "0x010802"),
        (("0x1f0f", "0x0001"), "0x020000"),
        (("0x1f9d", "0x0001"), "0x120000"),
    ],
    ids=["Intel NPU", "Ramaxel disk", "NebulaMatrix network card", "Europa"],
)
def test_what_is_no_metis_is_left_as_it_was(tmp_path: Path, ids: tuple[str, str], class_code: str) -> None:
    answers = []
    for name, rules in (("with", True), ("without", False)):
        host = made_up(tmp_path / name, rules=rules)
        node = host.node(host.pci(FIRST, *ids, class_code), "accel", "accel0", "accel/accel0")
        answers.append(ask(host, node))
    assert answers[0] == answers[1]
    assert answers[0].group != "990"


@pytest.mark.parametrize("ids", [("0x1f0f", "0x0001"), ("0x1e81", "0x1203")])
def test_ids_of_the_documents_count_for_accelerators(host: MadeUpHost, ids: tuple[str, str]) -> None:
    node = host.node(host.pci(FIRST, *ids), "accel", "accel0", "accel/accel0")
    answer = ask(host, node)
    assert (answer.group, answer.mode) == ("990", "0660")
    assert "axelera0" in answer.links


@pytest.mark.parametrize(
    ("ids", "class_code", "tagged"),
    [
        (METIS, "0x120000", True),
        (("0x1f0f", "0x0001"), "0x120000", True),
        (("0x1f0f", "0x0001"), "0x020000", False),
        (("0x1e81", "0x1203"), "0x010802", False),
        (NPU, "0x120000", False),
    ],
)
def test_the_pci_function_of_a_card_is_tagged_for_systemd(
    host: MadeUpHost, ids: tuple[str, str], class_code: str, tagged: bool
) -> None:
    assert ("systemd" in ask(host, host.pci(FIRST, *ids, class_code)).tags) is tagged


def heap(host: MadeUpHost) -> str:
    return host.node("/sys/devices/virtual", "dma_heap", "system", "dma_heap/system", 9)


def test_the_heap_keeps_its_group_and_mode_and_admits_ours(host: MadeUpHost) -> None:
    host.file("/etc/udev/rules.d/60-cameras.rules", CAMERAS)
    answer = ask(host, heap(host))
    assert (answer.group, answer.mode) == ("44", "0660")
    assert answer.run == ("/usr/bin/setfacl -m g::rw,g:axelera:rw /dev/dma_heap/system",)


def test_a_heap_that_nobody_spoke_of_keeps_what_the_kernel_gave_it(host: MadeUpHost) -> None:
    answer = ask(host, heap(host))
    assert (answer.owner, answer.group, answer.mode) == (None, None, None)


def test_other_heaps_get_no_entry(host: MadeUpHost) -> None:
    other = host.node("/sys/devices/virtual", "dma_heap", "reserved", "dma_heap/reserved")
    assert ask(host, other).run == ()


def test_the_vendors_rules_are_overridden_on_node_and_heap(host: MadeUpHost) -> None:
    host.file(access.VENDOR_RULES, VENDOR)
    card = ask(host, host.node(host.pci(FIRST, *METIS), "metis", "metis-0:1:0", "metis-0-1-0"))
    assert (card.group, card.mode) == ("990", "0660")
    assert ask(host, heap(host)).mode == "0660"


def test_a_host_that_only_carries_the_files_leaves_the_heap_alone(tmp_path: Path) -> None:
    host = made_up(tmp_path, SETTINGS.model_copy(update={"cards": 0}))
    assert ask(host, heap(host)) == Answer(links=ask(host, heap(made_up(tmp_path / "bare", rules=False))).links)


def test_another_group_and_mode(tmp_path: Path) -> None:
    host = made_up(tmp_path, SETTINGS.model_copy(update={"group": "render", "node_mode": "0600"}))
    answer = ask(host, host.node(host.pci(FIRST, *METIS), "metis", "metis-0:1:0", "metis-0-1-0"))
    assert (answer.group, answer.mode) == ("991", "0600")


def test_the_hailo_line_matches_and_takes_nothing_over(host: MadeUpHost) -> None:
    card = host.pci(FIRST, "0x1e60", "0x2864")
    answer = ask(host, host.node(card, "hailo_pci", "hailo-pci-0", "hailo-pci-0"))
    assert answer == Answer(links={"hailo0"}, tags={"systemd"})
    assert ask(host, host.node(card, "hailo_pci", "hailo0", "hailo0", 1)).links == set()


def test_a_card_that_goes_gets_no_new_links(host: MadeUpHost) -> None:
    node = host.node(host.pci(FIRST, *METIS), "metis", "metis-0:1:0", "metis-0-1-0")
    assert ask(host, node, "remove") == Answer()


def test_inside_the_initramfs_the_card_belongs_to_render(tmp_path: Path) -> None:
    host = made_up(tmp_path, rules=False)
    host.file(INITRAMFS_RULES, access.initramfs_rules(SETTINGS))
    card = ask(host, host.node(host.pci(FIRST, *METIS), "metis", "metis-0:1:0", "metis-0-1-0"))
    assert (card.group, card.mode) == ("991", "0660")
    assert card.links == {f"axelera/by-path/pci-{FIRST}", "axelera0"}
    hailo = host.pci("0000:02:00.0", "0x1e60", "0x2864")
    answer = ask(host, host.node(hailo, "hailo_pci", "hailo-pci-0", "hailo-pci-0", 1))
    assert answer == Answer(group="991", mode="0660", links={"hailo0"}, tags={"systemd"})
    npu = host.node(host.pci("0000:03:00.0", *NPU), "accel", "accel0", "accel/accel0", 2)
    assert "axelera0" not in ask(host, npu).links


def test_an_image_that_does_not_know_the_group_leaves_the_card_to_root(tmp_path: Path) -> None:
    host = made_up(tmp_path, rules=False)
    host.file("/etc/group", "root:x:0:\n")
    host.file(INITRAMFS_RULES, access.initramfs_rules(SETTINGS))
    answer = ask(host, host.node(host.pci(FIRST, *METIS), "metis", "metis-0:1:0", "metis-0-1-0"))
    # As a gid this is -1, which chown(2) takes for "leave it".
    assert answer.group == str(2**32 - 1)
    assert "axelera0" in answer.links


def test_debian_13_finds_no_fault_with_any_rendered_rules(tmp_path: Path) -> None:
    host = made_up(tmp_path, rules=False, release="trixie")
    golden = Path(__file__).resolve().parents[1] / "golden" / "files"
    rules = [path for path in sorted(golden.rglob("*")) if ".rules" in path.name]
    for number, path in enumerate(rules):
        host.file(f"/x/{number}.rules", path.read_bytes())
    done = host.run("udevadm", "verify", *(f"/x/{number}.rules" for number in range(len(rules))))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Success: {len(rules)}" in done.stdout
