"""Nodes, who holds them and who may open them, on made-up hosts with real device nodes and real processes."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import FULL, HostTree

from metis_provision.model.survey import (
    Attempt,
    CommandResult,
    Counted,
    Pipeline,
    Section,
    Server,
    Sleep,
    SurveyRequest,
    Temperatures,
)
from metis_provision.survey.parser import parse_survey, read_survey
from metis_provision.survey.script import survey_command

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
    words = ("Device 0: metis-0:1:0 1GiB m2", "trouble")
    earlier = CommandResult("axdevice", 3, words)
    assert survey.devices == CommandResult("axdevice", 3, words, (earlier, earlier))
    assert survey.self_test.status == 124
    assert survey.self_test.output == ("/a b/'m'.json|--seconds|7|",)


def test_axdevice_is_given_what_its_container_takes_to_start_on_a_slow_host(carded: HostTree) -> None:
    carded.stub("axdevice", "echo 'Device 0: metis-0:1:0 1GiB m2'")
    # 27 s were measured; the stand-in for timeout cuts off whatever is given less than that and as much again.
    carded.stub("timeout", 'shift 2; [ "$4" != axdevice ] || [ "$1" -ge 54 ] || exit 124; shift; exec "$@"')
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


def test_a_card_that_answers_the_second_time_shows_both_attempts(carded: HostTree):
    flag = carded.root / "asked"
    silent = "board_type=unknown (not responding)"
    carded.stub("axdevice", f"[ -e {flag} ] || {{ : >{flag}; echo '{silent}'; exit 0; }}; echo 'Device 0: metis-0:1:0'")
    devices = carded.survey("devices").devices
    assert devices.output == ("Device 0: metis-0:1:0",)
    assert devices.earlier == (CommandResult("axdevice", 0, (silent,)),)


def test_the_cores_of_the_plan_are_asked_for(carded: HostTree):
    carded.stub("axrunmodel", "echo ran")
    survey = carded.survey("self-test", self_test_model="/m.json", aipu_cores=3)
    assert survey.self_test.command == "axrunmodel /m.json --aipu-cores 3 --seconds 2"


def test_inference_runs_in_place_of_axrunmodel(carded: HostTree):
    tool = carded.file("/opt/a sdk/inference.py", "#!/bin/sh\nprintf '%s|' \"$@\"\n", mode=0o755)
    words = (str(tool), "yolov8n-coco", "media/a $b*.mp4", "--show-stats")
    ran = carded.survey("self-test", inference=words).self_test
    assert ran == CommandResult(" ".join(words), 0, ("yolov8n-coco|media/a $b*.mp4|--show-stats|",))


def test_an_inference_that_is_not_there_exits_with_127(carded: HostTree):
    ran = carded.survey("self-test", inference=("/opt/none/inference.py", "m", "s")).self_test
    assert ran == CommandResult("/opt/none/inference.py m s", 127)


def test_a_tool_that_hangs_ends_with_all_it_started(carded: HostTree):
    # It does not listen to the signal, and its child has left its process group.
    child = carded.root / "child"
    carded.stub("axrunmodel", f"trap '' TERM; setsid sh -c 'echo $$ >{child}; exec sleep 300' & sleep 300; sleep 300")
    survey = carded.survey("self-test", self_test_model="/m.json", limit=9)
    assert survey.self_test.status == 124
    assert is_over(child.read_text().strip())


def is_over(process: str) -> bool:
    """Whether a process has ended, even if nobody has asked yet what became of it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_without_time_left_nothing_is_begun(carded: HostTree):
    carded.stub("axdevice", f": >'{carded.root}/ran'")
    output = carded.output(SurveyRequest(sections=("devices",), limit=5))
    survey = read_survey(output)
    assert survey.late == {"devices"}
    assert survey.sections == frozenset()
    assert not (carded.root / "ran").exists()


def test_every_section_tells_its_time(carded: HostTree):
    survey = carded.survey("host", "pci", limit=60)
    assert set(survey.spent) == {"host", "pci"}
    assert all(seconds >= 0 for seconds in survey.spent.values())


def test_interrupts_are_counted_around_the_inference(carded: HostTree):
    table = carded.file(
        "/proc/interrupts", "     CPU0  CPU1\n 24:  5  7  PCI-MSI axl\n 25:  1  1  PCI-MSI axl\nNMI: 9 9\n"
    )
    for number in ("24", "25"):
        carded.file(f"/sys/bus/pci/devices/0000:01:00.0/msi_irqs/{number}")
    carded.stub("axrunmodel", f"sed -i 's/ 5  7 / 15  9 /' {table}")
    survey = carded.survey("self-test", self_test_model="/m.json")
    assert survey.interrupts == (Counted("0000:01:00.0", 14, 26),)


@pytest.mark.parametrize(
    ("tool", "line", "read"),
    [
        (
            "axlogdevice",
            "[0] <inf> collector: core_temps=[35,34,34,35,36]",
            Temperatures("after", 35, (34, 34, 35, 36)),
        ),
        ("axcmd", "0: temp_sensor0@48 = 50.25", Temperatures("after", 50.25)),
    ],
)
def test_the_card_tells_its_temperature_after_the_inference(carded: HostTree, tool, line, read):
    carded.stub("axrunmodel", "exit 0")
    carded.stub(tool, f"echo noise; echo '{line}'")
    assert carded.survey("self-test", self_test_model="/m.json").temperatures == (read,)


def test_a_logger_that_nothing_could_end_is_not_started(carded: HostTree):
    carded.without("timeout")
    carded.stub("axlogdevice", f": >'{carded.root}/ran'; echo 'core_temps=[35,34,34,35,36]'")
    assert carded.survey("self-test").temperatures == ()
    assert not (carded.root / "ran").exists()


def test_the_load_is_watched(carded: HostTree):
    card = carded.root / "sys/bus/pci/devices/0000:01:00.0"
    port = carded.root / "sys/bus/pci/devices/0000:00:01.0"
    (port / "aer_dev_correctable").write_text("RxErr 0\nTOTAL_ERR_COR 2\n")
    carded.stub("axdevice", "echo 'Device 0: metis-0:1:0 clock=800MHz(0-3:800MHz)'")
    carded.stub(
        "axrunmodel",
        f"width() {{ echo $1 >{card}/next && mv {card}/next {card}/current_link_width; }}; "  # a look sees either whole
        "sleep 2; width 1; sleep 2; width 4; sleep 3; "
        f"sed -i 's/COR 2/COR 5/' {port}/aer_dev_correctable; echo 'System throughput: 9.5 FPS'",
    )
    survey = carded.survey("load", self_test_model="/m.json", load_seconds=10)
    assert survey.sustained.output == ("System throughput: 9.5 FPS",)
    assert 3 < survey.load.looks < 60, "it ends with the work, not with its own limit of 70"
    seen = [link for link in survey.load.links if link.bdf == "0000:01:00.0"]
    assert [link.width for link in seen] == [4, 1, 4]
    assert [link.width for link in survey.load.links if link.bdf == "0000:00:01.0"] == [4]
    assert survey.load.errors == (Counted("0000:00:01.0", 2, 5, "correctable"),)
    assert survey.load.clocks["after"] == survey.load.clocks["before"] != ()


def test_no_signal_is_trapped():
    """Bash 5.2 loses one that comes while it reads a command substitution, and fails over that substitution."""
    assert "trap " not in survey_command(SurveyRequest(sections=("load",), self_test_model="/m.json", load_seconds=1))


def test_without_a_time_the_cards_are_not_kept_at_work(carded: HostTree):
    carded.stub("axrunmodel", f": >'{carded.root}/ran'")
    assert carded.survey("load", self_test_model="/m.json").load is None
    assert not (carded.root / "ran").exists()


def test_the_link_status_register_is_read_where_it_lies(carded: HostTree):
    config = carded.root / "sys/bus/pci/devices/0000:01:00.0/config"
    data = bytearray(config.read_bytes())
    data[0x82:0x84] = (0x4043).to_bytes(2, "little")
    config.write_bytes(bytes(data))
    carded.stub("axrunmodel", "sleep 1")
    survey = carded.survey("load", self_test_model="/m.json", load_seconds=1)
    assert [link.status for link in survey.load.links if link.bdf == "0000:01:00.0"] == [0x4043]


def test_a_link_status_that_only_root_may_read_is_not_made_up(carded: HostTree):
    card = carded.root / "sys/bus/pci/devices/0000:01:00.0/config"
    carded.stub("axrunmodel", "sleep 1")
    seen = carded.survey("load", self_test_model="/m.json", load_seconds=1).load.links
    assert {link.bdf: link.status is None for link in seen} == {"0000:01:00.0": False, "0000:00:01.0": True}
    card.write_bytes(card.read_bytes()[:64])
    seen = carded.survey("load", self_test_model="/m.json", load_seconds=1).load.links
    assert {link.bdf: (link.width, link.status) for link in seen} == {
        "0000:01:00.0": (4, None),
        "0000:00:01.0": (4, None),
    }


def test_a_server_that_listens_is_found_with_where(rooted: HostTree):
    tree = rooted.root / "proc/77"
    rooted.file("/proc/77/comm", "axsystemserver\n")
    (tree / "fd").mkdir()
    (tree / "fd/5").symlink_to("socket:[4242]")
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    row = "   {}: {} 00000000:0000 {} 00000000:00000000 00:00000000 00000000     0        0 {} 1 0 100 0 0 10 0\n"
    rooted.file(
        "/proc/77/net/tcp",
        head
        + row.format(0, "00000000:15B3", "0A", 4242)
        + row.format(1, "00000000:0016", "0A", 4243)
        + row.format(2, "0100007F:15B4", "01", 4242),
    )
    assert rooted.survey("services").servers == (Server(77, ("00000000:15B3",)),)


def test_what_could_put_the_host_to_sleep(host: HostTree):
    host.file("/sys/power/state", "freeze mem disk\n")
    host.link("/etc/systemd/system/suspend.target", "/dev/null")
    host.link("/etc/systemd/system/display-manager.service", "/lib/systemd/system/gdm.service")
    host.file("/etc/systemd/logind.conf", "#IdleAction=ignore\nIdleAction=suspend\n")
    sleep = host.survey("services").sleep
    assert sleep == Sleep(("freeze", "mem", "disk"), ("suspend.target",), ("a desktop session", "IdleAction=suspend"))
    assert host.survey("services").servers == ()


def test_what_helps_with_frames_and_who_may_use_it(carded: HostTree):
    carded.file("/usr/lib/x86_64-linux-gnu/dri/iHD_drv_video.so")
    carded.file("/etc/OpenCL/vendors/intel.icd")
    carded.file("/etc/passwd", "frigate:x:998:998::/:/bin/sh\n")
    render = carded.root / "dev/dri/renderD128"
    render.parent.mkdir()
    os.mknod(render, stat.S_IFCHR | 0o600, FULL)
    survey = carded.survey("nodes", "access", users=("frigate",))
    assert survey.pipeline == Pipeline(("/dev/dri/renderD128",), ("iHD",), ("intel",))
