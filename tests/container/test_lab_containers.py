"""The lab's containers: a real systemd, reachable by pyinfra, and nothing left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from metis_provision.lab import containers as lab_containers
from metis_provision.lab.containers import (
    OWNER_LABEL,
    Release,
    abandoned_containers,
    remove_containers,
    start_container,
)
from metis_provision.lab.process import current_process
from metis_provision.model.errors import UserError

pytestmark = pytest.mark.container

VERSIONS = {Release.DEBIAN_12: "12", Release.DEBIAN_13: "13"}


def known(identity: str) -> bool:
    return subprocess.run(["podman", "container", "exists", identity], check=False).returncode == 0


def test_a_whole_debian_with_systemd(container):
    assert f'VERSION_ID="{VERSIONS[container.release]}"' in container.run("cat", "/etc/os-release").stdout
    assert container.run("ps", "-p", "1", "-o", "comm=").stdout.strip() == "systemd"
    assert container.run("systemctl", "is-system-running").stdout.strip() == "running"


def test_services_can_be_managed(container):
    unit = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
    container.run("sh", "-c", f"printf '{unit}' > /etc/systemd/system/probe.service")
    container.run("systemctl", "daemon-reload")
    container.run("systemctl", "start", "probe.service")
    assert container.run("systemctl", "is-active", "probe.service").stdout.strip() == "active"


def test_pyinfra_works_on_it(container, tmp_path):
    pyinfra = str(Path(sys.executable).with_name("pyinfra"))
    command = [pyinfra, container.pyinfra_name, "-y", "exec", "--", "touch", "/root/was-here"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert container.run("ls", "/root/was-here").returncode == 0


def test_a_command_that_fails_is_told(container):
    with pytest.raises(UserError, match=r"ls /absent failed \(2\): .*No such file"):
        container.run("ls", "/absent")
    assert container.run("ls", "/absent", check=False).returncode == 2


def test_removed_is_gone_and_removing_again_is_no_mistake(container):
    container.remove()
    assert not known(container.identity)
    container.remove()


def test_a_container_of_a_process_that_was_killed_goes_with_the_next(containers):
    program = (
        "import os, signal\n"
        "from metis_provision.lab.containers import Release, start_container\n"
        "print(start_container(Release.DEBIAN_13).identity, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    left = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False).stdout.strip()
    assert known(left)
    assert left in abandoned_containers()
    other = start_container(Release.DEBIAN_13)
    try:
        assert not known(left)
        assert other.identity not in abandoned_containers()
    finally:
        other.remove()


def test_an_image_without_an_init_is_told_and_leaves_nothing(containers, tmp_path, monkeypatch):
    empty = tmp_path / "empty.tar"
    subprocess.run(["tar", "--create", "--file", empty, "--files-from", "/dev/null"], check=True)
    image = "localhost/metis-lab-empty:test"
    subprocess.run(["podman", "import", empty, image], check=True, capture_output=True)
    monkeypatch.setattr(lab_containers, "container_image", lambda release, init: image)
    try:
        with pytest.raises(UserError, match="podman cannot start a trixie container"):
            start_container(Release.DEBIAN_13)
        label = f"label={OWNER_LABEL}={current_process().as_text()}"
        mine = subprocess.run(
            ["podman", "ps", "--all", "--quiet", "--filter", label, "--filter", f"ancestor={image}"],
            check=True,
            capture_output=True,
        )
        assert mine.stdout == b""
    finally:
        subprocess.run(["podman", "image", "rm", image], check=True, capture_output=True)


def test_what_is_no_container_is_nothing_to_remove(containers):
    remove_containers(["0123456789ab"])


ROOT = Path(__file__).resolve().parents[2]
LAB = [sys.executable, "-m", "metis_provision.lab"]


def in_the_lab(*words, **options):
    return subprocess.run([*LAB, *words], capture_output=True, text=True, check=False, **options)


@pytest.fixture
def state(containers, tmp_path, monkeypatch):
    """A state directory of this test's own; what is left in it is taken down."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    yield tmp_path
    in_the_lab("down", "--all")


def deployed(inventory, *arguments):
    pyinfra = str(Path(sys.executable).with_name("pyinfra"))
    command = [pyinfra, "-y", f"inventories/{inventory}", "deploys/metis.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def listed():
    return {row["name"]: row for row in json.loads(in_the_lab("list", "--json").stdout)}


def test_a_container_that_stays_until_it_is_taken_down(state):
    made = in_the_lab("up", "--kind", "container", "--name", "box", "--init", "openrc", "--json")
    assert made.returncode == 0, made.stderr
    container = json.loads(made.stdout)["container"]
    assert known(container)
    assert listed()["box"]["condition"] == "running"
    for inventory, arguments in (("containers.py", ()), ("lab.py", ("--user", "operator", "--sudo"))):
        done = deployed(inventory, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        total = next(line for line in done.stderr.splitlines() if "Grand total" in line).split()
        # What one way has set up, the other one finds as wanted.
        assert (total[3] == "-") == (inventory == "lab.py")
    told = in_the_lab("ssh", "box", "sh -c 'rc-status --runlevel; exit 7'")
    assert (told.returncode, told.stdout) == (7, "default\n")
    again = in_the_lab("up", "--kind", "container", "--name", "box")
    assert (again.returncode, again.stderr) == (4, "box is there already: metis-provision lab down --name box\n")
    assert in_the_lab("down", "--name", "box").returncode == 0
    assert not known(container)
    assert listed() == {}


def test_nothing_stays_behind_when_up_is_killed(state):
    command = subprocess.Popen(
        [*LAB, "up", "--kind", "container", "--name", "killed"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while "container" not in listed().get("killed", {}) or not known(listed()["killed"]["container"]):
        assert command.poll() is None, "up ended before its container was started"
    command.kill()
    command.wait()
    row = listed()["killed"]
    assert row["condition"] == "its start did not finish"
    assert in_the_lab("down", "--name", "killed").returncode == 0
    assert not known(row["container"])
    assert listed() == {}
