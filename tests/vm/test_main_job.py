"""From a bare machine to a verified card, looked at independently of our own code; then what goes wrong."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from guest import BIN, INVENTORY, ROOT, changed_nothing, fault, findings, held, ours, pyinfra, said

from metis_provision.lab.machine import Machine

NOT_IN_A_BARE_HOST = ("dkms", "gcc", "make", "pciutils", "acl")


@pytest.fixture(scope="module")
def provisioned(machine: Machine) -> Machine:
    installed = said(machine, "dpkg-query", "-W", "-f", "${Package}\\n").split()
    assert not set(NOT_IN_A_BARE_HOST) & set(installed)
    assert not [name for name in installed if name.startswith(("linux-headers", "axelera"))]
    done = pyinfra(machine, "-y")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "building metis" in done.stderr, "a build that takes minutes is seen while it runs"
    assert "Setting up dkms" in done.stderr
    return machine


def test_the_card_is_there_by_the_hosts_own_tools(provisioned: Machine) -> None:
    assert "[1200]: Axelera AI Metis AIPU (rev 02) [1f9d:1100]" in said(provisioned, "lspci", "-nn", "-d", "1f9d:")
    release = said(provisioned, "uname", "-r")
    assert f"metis/1.6.2, {release}, x86_64: installed" in said(provisioned, "dkms", "status")
    node = said(provisioned, "readlink", "-f", "/dev/axelera0")
    assert node == "/dev/metis-0-1-0"
    assert said(provisioned, "stat", "-c", "%U:%G %a %F", node) == "root:axelera 660 character special file"
    assert said(provisioned, "readlink", "-f", "/dev/axelera/by-path/pci-0000:01:00.0") == node
    assert said(provisioned, "readlink", "-f", "/dev/metis-0:1:0") == node


def test_a_member_opens_the_node_and_the_heap_and_nobody_else_does(provisioned: Machine) -> None:
    for node in ("/dev/axelera0", "/dev/dma_heap/system"):
        opening = f"exec 3<>{node}"
        assert provisioned.run("runuser", "-u", "frigate", "--", "sh", "-c", opening).returncode == 0
        denied = provisioned.run("runuser", "-u", "operator", "--", "sh", "-c", opening, check=False)
        assert denied.returncode != 0
        assert "ermission denied" in denied.stderr


def test_a_second_run_changes_nothing_and_costs_two_commands(provisioned: Machine) -> None:
    done = pyinfra(provisioned, "-y", "-vv")
    assert changed_nothing(done)
    assert len(re.findall(rf"^\[{provisioned.name}\] +>>> ", done.stderr, re.MULTILINE)) == 2


def test_a_plan_of_a_converged_machine_is_empty(provisioned: Machine) -> None:
    done = pyinfra(provisioned, "--dry")
    assert done.returncode == 0
    rows = [line for line in done.stderr.splitlines() if line.strip().startswith("Metis | ")]
    assert rows
    assert all(row.split()[-2:] == ["-", "-"] for row in rows)
    plan = ours(provisioned, "plan", "--json")
    assert plan.returncode == 0
    assert json.loads(plan.stdout)["summary"] == {"hosts": 1, "pending": 0}


def test_an_ordinary_user_with_sudo_does_as_well(provisioned: Machine) -> None:
    refused = pyinfra(provisioned, "-y", "--user", "operator")
    assert refused.returncode == 1
    assert "not as root: use pyinfra's --sudo" in refused.stderr
    done = pyinfra(provisioned, "-y", "--user", "operator", "--sudo")
    assert done.returncode == 0, done.stdout + done.stderr


def test_drift_is_put_right_and_nothing_else_is_touched(provisioned: Machine) -> None:
    rules = "/etc/udev/rules.d/99-axelera-metis.rules"
    before = said(provisioned, "sha256sum", rules)
    provisioned.run("sh", "-c", f"echo '# mine' >>{rules}; chmod 0666 /dev/metis-0-1-0; gpasswd -d hass axelera")
    status, found = findings(provisioned)
    assert status == 1
    assert {finding["answer"] for finding in found.values()} == {"fail"}
    assert ours(provisioned, "plan").returncode == 2
    done = pyinfra(provisioned, "-y")
    assert done.returncode == 0
    assert said(provisioned, "sha256sum", rules) == before
    assert said(provisioned, "stat", "-c", "%a", "/dev/metis-0-1-0") == "660"
    assert "hass" in said(provisioned, "getent", "group", "axelera")


def test_an_absent_card_fails_with_its_code_and_comes_back_green(provisioned: Machine) -> None:
    provisioned.unplug_card()
    try:
        assert said(provisioned, "lspci", "-n", "-d", "1f9d:") == ""
        status, found = findings(provisioned)
        assert status == 1
        assert found["METIS-101"]["answer"] == "fail"
        assert found["METIS-101"]["next"]
        assert pyinfra(provisioned, "-y").returncode == 1
    finally:
        provisioned.plug_card()
    done = pyinfra(provisioned, "-y")
    assert done.returncode == 0, done.stdout


def test_a_narrow_link_is_a_warning_that_names_the_hop(provisioned: Machine) -> None:
    with fault(provisioned, "narrow-link"):
        assert "Width x1 (downgraded)" in said(provisioned, "sh", "-c", "lspci -vv -s 01:00.0 | grep LnkSta:")
        status, found = findings(provisioned)
    assert status == 0
    (finding,) = (finding for finding in found.values() if finding["answer"] == "warn")
    assert "0000:01:00.0" in finding["seen"]
    assert "x1" in finding["seen"]


def test_one_wrong_byte_fails_the_self_test(provisioned: Machine) -> None:
    with fault(provisioned, "wrong-answer"):
        ran = provisioned.run("axrunmodel", "/usr/share/axelera/models/standin-mvm.json", "--seconds", "1", check=False)
        assert ran.returncode != 0
        assert "Answer check: FAILED" in ran.stdout + ran.stderr
        status, found = findings(provisioned)
    assert status == 1
    failed = [finding for finding in found.values() if finding["answer"] == "fail"]
    assert [finding["area"] for finding in failed] == ["self-test"]
    assert "expected 0x" in failed[0]["seen"]
    assert findings(provisioned) == (0, {})


def test_a_held_card_is_busy_and_its_holder_is_named_and_left_alone(provisioned: Machine) -> None:
    with held(provisioned) as pid:
        started = said(provisioned, "stat", "-c", "%Y", f"/proc/{pid}")
        done = ours(provisioned, "verify", "--json")
        (host,) = json.loads(done.stdout)["hosts"]
        (busy,) = (finding for finding in host["findings"] if finding["code"] == "METIS-320")
        assert busy["answer"] == "warn"
        assert f"sleep 600 (process {pid} of root)" in busy["seen"]
        skipped = {finding["area"] for finding in host["findings"] if finding["answer"] == "skip"}
        assert {"firmware", "self-test"} <= skipped
        assert said(provisioned, "stat", "-c", "%Y", f"/proc/{pid}") == started
    assert findings(provisioned)[0] == 0


def test_it_all_survives_a_reboot(provisioned: Machine) -> None:
    before = provisioned.boot_id()
    assert provisioned.reboot() != before
    assert findings(provisioned) == (0, {})


@pytest.mark.full
def test_a_connection_cut_during_the_build_is_gone_on_with(provisioned: Machine) -> None:
    release = said(provisioned, "uname", "-r")
    provisioned.run("dkms", "uninstall", "-m", "metis", "-v", "1.6.2", "-k", release)
    provisioned.run("dkms", "unbuild", "-m", "metis", "-v", "1.6.2", "-k", release)
    command = [str(BIN / "pyinfra"), INVENTORY, "deploys/metis.py", "--limit", provisioned.name, "-y"]
    first = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert first.stderr is not None
    for line in first.stderr:
        if "building metis" in line:
            break
    first.kill()
    first.wait()
    first.stderr.close()
    log = "/run/metis-provision/jobs/driver/log"
    again = pyinfra(provisioned, "-y")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "attaching to the driver step that is still running" in again.stderr
    assert said(provisioned, "grep", "-c", "^building", log) == "1"
    assert f"metis/1.6.2, {release}, x86_64: installed" in said(provisioned, "dkms", "status")
