"""Nodes, who holds them and who may open them, on made-up hosts with real device nodes and real processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import HostTree

from metis_provision.model.survey import Attempt, CommandResult, Section, SurveyRequest
from metis_provision.survey.parser import parse_survey

MEMBER_GID = 64123
HOLD = "import sys; node = open(sys.argv[1], 'r+b', buffering=0); print('open', flush=True); sys.stdin.read()"


@contextmanager
def holding(host: HostTree, node: Path, *words: str) -> Iterator[int]:
    """Run a process that has ``node`` open and is one of the host's; it must still have it at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(node), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout.readline() == b"open\n"
        host.link(f"/proc/{process.pid}", f"/proc/{process.pid}")
        yield process.pid
        assert process.poll() is None
        opened = {link.readlink() for link in Path(f"/proc/{process.pid}/fd").iterdir()}
        assert node.resolve() in opened
    finally:
        process.communicate()


@pytest.fixture
def carded(rooted: HostTree) -> HostTree:
    """A host with a card, its node with both links, a group and a service user."""
    rooted.node("metis-0-1-0", rooted.card())
    rooted.link("/dev/metis-0:1:0", "metis-0-1-0")
    rooted.link("/dev/axelera0", "metis-0-1-0")
    rooted.link("/dev/axelera/by-path/pci-0000:01:00.0", "../../metis-0-1-0")
    rooted.link("/dev/axelera-other", "null")
    # Of the real processes only those that a test names: another run of the tests may hold the same device.
    rooted.link(f"/proc/{os.getpid()}", f"/proc/{os.getpid()}")
    rooted.file("/etc/passwd", f"root:x:0:0::/root:/bin/sh\nfrigate:x:64200:{MEMBER_GID}::/:/bin/false\n")
    rooted.file("/etc/group", f"root:x:0:\naxelera:x:{MEMBER_GID}:\n")
    return rooted


def test_a_node_its_links_and_its_mode(carded: HostTree):
    os.chown(carded.root / "dev/metis-0-1-0", 0, MEMBER_GID)
    carded.file("/dev/dma_heap/system", mode=0o600)
    survey = carded.survey("nodes")
    (node,) = survey.nodes
    assert (node.path, node.bdf, node.device_class) == ("/dev/metis-0-1-0", "0000:01:00.0", "metis")
    assert (node.owner, node.group, node.mode) == ("root", str(MEMBER_GID), "0660")
    assert node.links == ("/dev/axelera/by-path/pci-0000:01:00.0", "/dev/axelera0", "/dev/metis-0:1:0")
    assert node.holders == ()
    assert node.holders_known
    assert survey.dma_heap is not None
    assert survey.dma_heap.mode == "0600"


def test_a_node_with_colons_and_one_that_dev_lacks(rooted: HostTree):
    card = rooted.card()
    rooted.node("metis-0:1:0", card, mode=0o600)
    rooted.node("metis-0-2-0", card, present=False)
    absent, colons = rooted.survey("nodes").nodes
    assert (colons.path, colons.mode) == ("/dev/metis-0:1:0", "0600")
    assert (absent.path, absent.mode, absent.owner) == ("/dev/metis-0-2-0", "", "")


def test_class_accel_counts_only_for_a_metis(rooted: HostTree):
    npu = rooted.pci("0000:00:0b.0", ids=("0x8086", "0x7d1d", "0x120000"))
    disk = rooted.pci("0000:00:0c.0", ids=("0x1e81", "0x1202", "0x010802"))
    rooted.node("accel/accel0", npu, device_class="accel")
    rooted.node("accel/accel1", disk, device_class="accel")
    rooted.node("accel/accel2", rooted.card(), device_class="accel")
    rooted.node("accel/accel3", None, device_class="accel")
    (node,) = rooted.survey("nodes").nodes
    assert (node.path, node.bdf, node.device_class) == ("/dev/accel/accel2", "0000:01:00.0", "accel")


@pytest.mark.parametrize("through", ["metis-0-1-0", "axelera0"])
def test_a_holder_is_named_and_left_alone(carded: HostTree, through):
    with holding(carded, carded.root / "dev" / through, "--name", 'it\'s a\n"holder"\t@end nodes') as pid:
        (node,) = carded.survey("nodes").nodes
    (holder,) = node.holders
    assert (holder.pid, holder.user) == (pid, "root")
    assert holder.command.endswith('--name it\'s a "holder" @end nodes')


def test_a_holder_with_a_node_of_its_own_is_found_by_number(carded: HostTree):
    # A container has a node of its own for the device, perhaps of another name.
    own = carded.root / "container/dev/metis-card"
    own.parent.mkdir(parents=True)
    os.mknod(own, 0o020660, (carded.root / "dev/metis-0-1-0").stat().st_rdev)
    with holding(carded, own) as pid:
        (node,) = carded.survey("nodes").nodes
    assert [holder.pid for holder in node.holders] == [pid]


def test_without_root_the_holders_are_unknown(carded: HostTree):
    unprivileged = ("/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    (node,) = carded.survey("nodes", identity=unprivileged).nodes
    assert not node.holders_known


def attempts(host: HostTree, **names: object) -> dict[str, Attempt]:
    return {attempt.who: attempt for attempt in host.survey("access", **names).attempts}


def test_the_group_may_open_the_node_and_nobody_else(carded: HostTree):
    os.chown(carded.root / "dev/metis-0-1-0", 0, MEMBER_GID)
    if carded.shell == "busybox":
        # busybox has no setpriv that changes identities.
        (carded.bin / "setpriv").symlink_to("/usr/bin/setpriv")
    seen = attempts(carded, users=("frigate", "hass"))
    # A user outside the real user database has no groups that could be initialised.
    assert set(seen) == {"frigate", "member", "outsider"}
    assert seen["member"] == Attempt("member", "/dev/metis-0-1-0", "ok")
    assert seen["outsider"].result == "denied"
    assert "ermission denied" in seen["outsider"].detail


def test_a_node_for_everybody_lets_an_outsider_in(carded: HostTree):
    (carded.root / "dev/metis-0-1-0").chmod(0o666)
    if carded.shell == "busybox":
        pytest.skip("busybox has no setpriv that changes identities")
    assert attempts(carded)["outsider"].result == "ok"


def test_a_service_user_opens_the_node_with_its_own_groups(carded: HostTree):
    if carded.shell == "busybox":
        pytest.skip("busybox has no setpriv that changes identities")
    carded.file("/etc/passwd", "nobody:x:65534:65534::/:/bin/false\n")
    os.chown(carded.root / "dev/metis-0-1-0", 0, 65534)
    assert attempts(carded, users=("nobody",))["nobody"] == Attempt("nobody", "/dev/metis-0-1-0", "ok")


def test_the_dma_heap_is_tried_as_well(carded: HostTree):
    if carded.shell == "busybox":
        pytest.skip("busybox has no setpriv that changes identities")
    heap = carded.root / "dev/dma_heap/system"
    heap.parent.mkdir()
    os.mknod(heap, 0o020660, (carded.root / "dev/metis-0-1-0").stat().st_rdev)
    heap.chmod(0o660)
    os.chown(heap, 0, MEMBER_GID)
    survey = carded.survey("access")
    assert [(attempt.who, attempt.result) for attempt in survey.attempts if attempt.node == "/dev/dma_heap/system"] == [
        ("member", "ok"),
        ("outsider", "denied"),
    ]


def test_a_missing_group_is_an_error_not_a_denial(carded: HostTree):
    seen = attempts(carded, group="nope")
    assert seen["member"].result == "error"
    assert seen["member"].detail == "there is no group nope"


def test_without_an_account_database_nobody_is_said_to_have_been_tried(carded: HostTree):
    (carded.root / "etc/passwd").unlink()
    survey = parse_survey(carded.output(SurveyRequest(sections=(Section.ACCESS,), users=("frigate",))))
    assert survey.sections == frozenset()
    assert survey.complaints == ("access: the user database did not answer",)


def test_a_node_that_dev_lacks_is_absent(carded: HostTree):
    (carded.root / "dev/metis-0-1-0").unlink()
    assert {attempt.result for attempt in attempts(carded).values()} == {"absent"}


def test_without_root_no_identity_can_be_tried(carded: HostTree):
    unprivileged = ("/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    survey = carded.survey("access", identity=unprivileged)
    assert {(attempt.who, attempt.result) for attempt in survey.attempts} == {
        ("member", "error"),
        ("outsider", "error"),
    }
    assert "needs root" in survey.attempts[0].detail


def test_without_setpriv_a_member_cannot_be_tried(carded: HostTree):
    carded.stub("setpriv", "exit 1")
    seen = attempts(carded)
    assert (seen["member"].result, seen["member"].detail) == ("error", "no setpriv on this host")


def test_a_held_node_is_asked_for_permissions_but_not_opened(carded: HostTree):
    if carded.shell == "busybox":
        pytest.skip("busybox has no setpriv that changes identities")
    os.chown(carded.root / "dev/metis-0-1-0", 0, MEMBER_GID)
    with holding(carded, carded.root / "dev/metis-0-1-0") as pid:
        seen = attempts(carded)
    note = f"not opened, permissions only: process {pid} has it open"
    assert seen["member"] == Attempt("member", "/dev/metis-0-1-0", "ok", note)
    assert seen["outsider"] == Attempt("outsider", "/dev/metis-0-1-0", "denied", note)


@pytest.mark.parametrize(
    ("words", "result"),
    [
        ("sh: 1: cannot create /dev/metis-0-1-0: Device or resource busy", "busy"),
        ("sh: can't open '/dev/metis-0-1-0': Operation not permitted", "denied"),
        ("sh: /dev/metis-0-1-0: No such device or address", "error"),
    ],
)
def test_what_the_system_says_decides(carded: HostTree, words, result):
    carded.stub("setpriv", f'case "$*" in *" true") exit 0 ;; esac; echo "{words}" >&2; exit 2')
    seen = attempts(carded)["outsider"]
    assert (seen.result, seen.detail) == (result, words)


def test_a_node_that_does_not_answer_is_an_error(carded: HostTree):
    carded.stub("setpriv", 'case "$*" in *" true") exit 0 ;; esac; exit 124')
    assert attempts(carded)["member"].detail == "no answer within 10 s"


def test_tools_that_are_not_there_exit_with_127(carded: HostTree):
    survey = carded.survey("devices", "self-test", self_test_model="/usr/share/metis/model.json")
    assert survey.devices == CommandResult("axdevice", 127)
    assert survey.self_test == CommandResult("axrunmodel /usr/share/metis/model.json --seconds 2", 127)


def test_tools_answer_with_status_and_words(carded: HostTree):
    carded.stub("axdevice", "echo 'Device 0: metis-0:1:0 1GiB m2'; echo trouble >&2; exit 3")
    carded.stub("axrunmodel", 'printf "%s|" "$@"; exit 124')
    survey = carded.survey("devices", "self-test", self_test_model="/a b/'m'.json", self_test_seconds=7)
    assert survey.devices == CommandResult("axdevice", 3, ("Device 0: metis-0:1:0 1GiB m2", "trouble"))
    assert survey.self_test.status == 124
    assert survey.self_test.output == ("/a b/'m'.json|--seconds|7|",)


def test_axdevice_is_given_what_its_container_takes_to_start_on_a_slow_host(carded: HostTree) -> None:
    carded.stub("axdevice", "echo 'Device 0: metis-0:1:0 1GiB m2'")
    # 27 s were measured; the stand-in for timeout cuts off whatever is given less than that and as much again.
    carded.stub("timeout", 'shift 2; [ "$1 $2" != "$1 axdevice" ] || [ "$1" -ge 54 ] || exit 124; shift; exec "$@"')
    assert carded.survey("devices").devices == CommandResult("axdevice", 0, ("Device 0: metis-0:1:0 1GiB m2",))


def test_no_tool_is_run_while_a_process_holds_the_card(carded: HostTree):
    carded.stub("axdevice", f"touch '{carded.root}/ran'")
    carded.stub("axrunmodel", f"touch '{carded.root}/ran'")
    with holding(carded, carded.root / "dev/metis-0-1-0"):
        survey = carded.survey("devices", "self-test", self_test_model="/m.json")
    assert survey.devices is None
    assert survey.self_test is None
    assert not (carded.root / "ran").exists()


def test_no_model_no_self_test(carded: HostTree):
    assert carded.survey("self-test").self_test is None
