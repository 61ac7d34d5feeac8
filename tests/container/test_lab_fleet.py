"""A fleet in a box: hosts that are other ones, delayed and cut as seen from outside, and nothing left of them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest
from fleet_box import COMMAND, ROOT, Box, addresses, existing_namespaces, gone, namespaces

from metis_provision.lab.faults import fault_called
from metis_provision.lab.fleet.requirements import missing_fleet_requirements

pytestmark = pytest.mark.container

RULES = "etc/udev/rules.d/99-axelera-metis.rules"
NETWORK = struct.Struct("<8B24I")
"""The head of struct tcp_info in linux/tcp.h: eight bytes, then numbers of 32 bits, the sixteenth of them the rtt."""
# As `metis-provision`, with less patience for a host that has gone.
IMPATIENT = """
from metis_provision.operations import connection
connection.KEEPALIVE_SECONDS, connection.GIVE_UP_SECONDS = 1, 5
from metis_provision.cli import main
main()
"""


def named_namespaces():
    return subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def fleets():
    """Skips where a fleet cannot be, and fails there in CI."""
    if missing := missing_fleet_requirements(5):
        if os.environ.get("CI"):
            pytest.fail(f"a fleet cannot be made here: {'; '.join(missing)}")
        pytest.skip("; ".join(missing))


@pytest.fixture(scope="module")
def box(fleets, tmp_path_factory):
    """Five hosts, with a way to look for what they leave."""
    made = Box(tmp_path_factory.mktemp("box"))
    up = made.run("lab", "up", "--hosts", "5", "--name", "rack", "--json")
    try:
        assert up.returncode == 0, up.stderr
        yield made
    finally:
        made.run("lab", "down", "--all")


@pytest.fixture
def empty_box(fleets, tmp_path):
    """No fleet yet; what a test leaves is taken down."""
    made = Box(tmp_path)
    yield made
    made.run("lab", "down", "--all")


NAMES = [f"rack-{number}" for number in range(1, 6)]


def test_five_hosts_with_addresses_keys_and_namespaces_of_their_own(box):
    report = box.report()
    assert report["condition"] == "running"
    known = [host["address"] for host in report["hosts"]]
    scanned = subprocess.run(["ssh-keyscan", "-t", "ed25519", *known], capture_output=True, text=True, check=True)
    keys = dict(line.split(" ", 1) for line in scanned.stdout.splitlines())
    assert sorted(keys) == sorted(known)
    assert len(set(known)) == len(set(keys.values())) == 5
    script = "hostname; cat /etc/machine-id; readlink /proc/self/ns/net; ps -p 1 -o comm=; rc-status --runlevel"
    answers = [box.inside(name, script).split() for name in NAMES]
    assert [answer[0] for answer in answers] == NAMES
    assert len({tuple(answer[1:3]) for answer in answers}) == 5
    assert {tuple(answer[3:]) for answer in answers} == {("init", "default")}
    own = namespaces([os.getpid()])
    kept = namespaces(box.keepers())
    assert len(kept) == 5 * len(own)
    assert not kept & own


def test_another_key_is_refused(box):
    known = box.directory / "known_hosts"
    right = known.read_text()
    lines = right.splitlines()
    first, second = (line.split(" ", 1) for line in lines[:2])
    try:
        known.write_text(f"{first[0]} {second[1]}\n")
        refused = box.run("lab", "ssh", "rack-1", "true")
        assert refused.returncode == 255
        assert "Host key verification failed" in refused.stderr
    finally:
        known.write_text(right)


def test_what_one_host_writes_the_others_do_not_see(box):
    box.inside("rack-1", "echo mine > /etc/mine")
    assert (box.directory / "hosts/rack-1/changes/etc/mine").read_text() == "mine\n"
    assert not (box.directory / "image/etc/mine").exists()
    assert box.inside("rack-2", "ls /etc/mine || echo absent") == "absent\n"


def test_a_host_does_not_reach_the_machine(box):
    """Each would work for a root that is this machine's."""
    for attempt in (
        "mknod /root/disk b 8 0",
        "echo 1 > /proc/sys/kernel/sysrq",
        "mount -t tmpfs tmpfs /mnt",
        "date -s 2000-01-01",
        "echo 0 > /sys/module/printk/parameters/time",
    ):
        assert box.inside("rack-1", f"{{ {attempt}; }} >/dev/null 2>&1 || echo refused").endswith("refused\n"), attempt
    box.inside("rack-1", "echo nothing > /proc/sysrq-trigger || true")


def round_trip(address):
    """The kernel's own figure for a connection, in microseconds."""
    with socket.create_connection((address, 22)) as stream:
        return NETWORK.unpack(stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, NETWORK.size))[8 + 15]


def test_a_delay_is_seen_by_the_kernel_of_this_machine(box):
    address = box.address("rack-2")
    shown = json.loads(box.run("lab", "net", "rack-2", "--delay", "250ms", "--json").stdout)["rack-2"]
    assert shown["delay"] == 0.25
    try:
        assert round_trip(address) >= 250_000
    finally:
        assert box.run("lab", "net", "rack-2", "--heal").returncode == 0
    assert box.report()["hosts"][1]["delay"] == 0


def test_a_cut_is_silent_and_heals(box):
    address = box.address("rack-4")
    with socket.create_connection((address, 22), timeout=30) as stream:
        greeting = stream.recv(100)
        assert greeting.startswith(b"SSH-2.0-")
        assert box.run("lab", "net", "rack-4", "--cut").returncode == 0
        stream.sendall(b"SSH-2.0-test\r\n")
        stream.settimeout(1)
        with pytest.raises(TimeoutError):
            stream.recv(1)
        with pytest.raises(TimeoutError):
            socket.create_connection((address, 22), timeout=1)
        assert round_trip(box.address("rack-5")) > 0
        assert box.run("lab", "net", "rack-4", "--heal").returncode == 0
        stream.settimeout(30)
        assert stream.recv(1), "the connection did not go on"


def test_one_host_is_cut_off_in_the_middle_of_a_run(box, tmp_path):
    inventory = tmp_path / "rack.py"
    inventory.write_text(box.run("lab", "inventory", "rack").stdout)
    # The run has reached this host's own changes when it asks for the group, and stays there.
    stub = "touch /root/reached; exec sleep 600"
    box.inside("rack-3", f"cp /usr/sbin/groupadd /root/; printf %s {shlex.quote(stub)} > /usr/sbin/groupadd")
    command = [sys.executable, "-c", IMPATIENT, "apply", str(inventory), "-y"]
    with subprocess.Popen(
        command, cwd=ROOT, env=box.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        while not (box.directory / "hosts/rack-3/changes/root/reached").exists():
            assert run.poll() is None, run.communicate()
            time.sleep(0.1)
        assert box.run("lab", "net", "rack-3", "--cut").returncode == 0
        table, said = run.communicate()
    assert run.returncode == 1, said
    rows = {line.split()[0]: line.split("|")[-1].strip() for line in table.splitlines() if line.startswith("rack-")}
    assert rows == {name: "no verdict" if name == "rack-3" else "green" for name in NAMES}
    assert "seen:  the connection broke (the host no longer answers): run again" in table
    for name in NAMES:
        assert (box.directory / "hosts" / name / "changes" / RULES).exists() == (name != "rack-3")
    unreachable = box.run("verify", str(inventory))
    assert unreachable.returncode == 3
    assert box.run("lab", "net", "rack-3", "--heal").returncode == 0
    box.inside("rack-3", "cp /root/groupadd /usr/sbin/; pkill -f 'sleep 600'")
    again = box.run("apply", str(inventory), "-y")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "5 hosts: 5 green" in again.stdout
    left_alone = box.run("apply", str(inventory), "-y")
    assert left_alone.returncode == 0
    assert "Success" not in left_alone.stderr
    assert box.run("plan", str(inventory)).returncode == 0


def test_a_fault_on_one_host_leaves_the_other_four_converged(box, tmp_path):
    fault = fault_called("read-only-etc")
    inventory = tmp_path / "rack.py"
    inventory.write_text(box.run("lab", "inventory", "rack").stdout)
    # Whatever earlier tests have set up, there is something left to do on every host.
    for name in NAMES:
        box.inside(name, f"rm -f /{RULES}")
    on = box.run("lab", "fault", fault.name, "on", "--name", "rack-3")
    assert on.returncode == 0, on.stderr
    try:
        assert fault.look is not None
        assert fault.is_shown_by(box.inside("rack-3", fault.look))
        assert not fault.is_shown_by(box.inside("rack-2", f"{fault.look}; rm -f /etc/metis-lab-write"))
        done = box.run("apply", str(inventory), "-y")
        assert done.returncode == 1, done.stdout + done.stderr
        rows = {
            line.split()[0]: line.split("|")[-1].strip() for line in done.stdout.splitlines() if line[:5] == "rack-"
        }
        why = "/etc is mounted read-only"
        assert rows == {name: "no verdict" if name == "rack-3" else "green" for name in NAMES}, done.stdout
        assert f"  hosts: rack-3\n  seen:  {why}: mount it for writing" in done.stdout
        assert "5 hosts: 4 green, 1 without a verdict." in done.stdout
        looked = json.loads(box.run("verify", str(inventory), "--json").stdout)
        no = {
            (host["host"], it["code"]) for host in looked["hosts"] for it in host["findings"] if it["answer"] == "fail"
        }
        assert {("rack-3", code) for code in fault.codes} <= no
        assert {name for name, _ in no} == {"rack-3"}
        for name in NAMES:
            assert (box.directory / "hosts" / name / "changes" / RULES).exists() == (name != "rack-3")
    finally:
        off = box.run("lab", "fault", fault.name, "off", "--name", "rack-3")
    assert off.returncode == 0, off.stderr
    again = box.run("apply", str(inventory), "-y")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "5 hosts: 5 green" in again.stdout


def test_a_host_that_ends_is_told_and_the_others_stay(box):
    os.kill(box.keepers()[0], signal.SIGKILL)
    while (report := box.report())["condition"] == "running":
        time.sleep(0.1)
    assert report["condition"] == "1 of 5 hosts have ended"
    alive = [host["name"] for host in report["hosts"] if host["alive"]]
    assert len(alive) == 4
    assert box.inside(alive[-1], "hostname").strip() == alive[-1]


@pytest.mark.full
def test_nothing_is_left_after_down(empty_box):
    before = named_namespaces()
    assert empty_box.run("lab", "up", "--hosts", "3", "--name", "rack").returncode == 0
    kept = namespaces(empty_box.keepers())
    assert len(empty_box.traces()) > 6
    assert kept <= existing_namespaces()
    gateway = empty_box.address("rack-1").rpartition(".")[0] + ".254"
    assert gateway in addresses()
    assert empty_box.run("lab", "down", "--name", "rack").returncode == 0
    assert empty_box.traces() == []
    gone(kept)
    assert gateway not in addresses()
    assert named_namespaces() == before


@pytest.mark.parametrize(
    "victim", ["up", pytest.param("wire", marks=pytest.mark.full), pytest.param("records", marks=pytest.mark.full)]
)
def test_nothing_is_left_after_a_kill_and_down(empty_box, victim):
    command = [*COMMAND, "lab", "up", "--hosts", "3", "--name", "rack"]
    up = subprocess.Popen(
        command, env=empty_box.environment(), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    if victim == "up":
        while len(empty_box.keepers()) < 2:
            assert up.poll() is None, "up ended before it was killed"
    else:
        assert up.wait() == 0
    gateway = empty_box.address("rack-1").rpartition(".")[0] + ".254"
    up.kill()
    up.wait()
    if victim == "wire":
        os.kill(int((empty_box.directory / "wire.pid").read_text().split()[0]), signal.SIGKILL)
        while empty_box.report()["condition"] != "its wire has ended":
            time.sleep(0.1)
    if victim == "records":
        for record in empty_box.directory.glob("hosts/*/host.pid"):
            record.unlink()
    assert empty_box.traces()
    # One that was killed before it had namespaces of its own still has ours.
    kept = namespaces(empty_box.keepers()) - namespaces([os.getpid()])
    down = empty_box.run("lab", "down", "--name", "rack")
    assert down.returncode == 0, down.stderr
    assert empty_box.traces() == []
    assert gateway not in addresses()
    gone(kept)


@pytest.mark.full
def test_a_hundred_hosts(empty_box, tmp_path):
    up = empty_box.run("lab", "up", "--hosts", "100", "--name", "rack")
    assert up.returncode == 0, up.stderr
    known = [host["address"] for host in empty_box.report()["hosts"]]
    scanned = subprocess.run(["ssh-keyscan", "-t", "ed25519", *known], capture_output=True, text=True, check=True)
    assert len({line.split()[-1] for line in scanned.stdout.splitlines()}) == len(set(known)) == 100
    inventory = tmp_path / "rack.py"
    inventory.write_text(empty_box.run("lab", "inventory", "rack").stdout)
    for _ in range(2):
        done = empty_box.run("apply", str(inventory), "-y")
        assert done.returncode == 0, done.stderr
        assert "100 hosts: 100 green" in done.stdout
    assert "Success" not in done.stderr
    assert empty_box.run("lab", "down", "--name", "rack").returncode == 0
    assert empty_box.traces() == []
