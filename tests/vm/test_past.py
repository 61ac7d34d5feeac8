"""Rules of others and a driver of older hands on a machine with a card: what udev and DKMS really do about them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from metis_provision.lab.machine import Machine

pytestmark = pytest.mark.vm

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
INVENTORY = "inventories/lab.py"
NODE, HEAP = "/dev/metis-0-1-0", "/dev/dma_heap/system"
RULES_DIR = "/etc/udev/rules.d"
VENDORS = 'SUBSYSTEM=="metis", GROUP="axelera", MODE="0666"\nSUBSYSTEM=="dma_heap", MODE="0666"\n'


def deploy(machine: Machine) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "pyinfra"), INVENTORY, "deploys/metis.py", "--limit", machine.name, "-y"],
        cwd=ROOT,
        env={**os.environ, "PYINFRA_PROGRESS": "off"},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def changes_nothing(done: subprocess.CompletedProcess[str]) -> bool:
    total = next(line for line in done.stderr.splitlines() if "Grand total" in line).split()[2:]
    return done.returncode == 0 and total[1:3] == ["-", "-"]


def findings(machine: Machine) -> dict[str, dict[str, str]]:
    command = [str(BIN / "metis-provision"), "verify", INVENTORY, "--limit", machine.name, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    (host,) = json.loads(done.stdout)["hosts"]
    return {f["code"]: f for f in host["findings"] if f["answer"] not in {"pass", "skip"}}


def put(machine: Machine, path: str, content: str) -> None:
    machine.run("sh", "-c", f"mkdir -p '{path.rpartition('/')[0]}' && printf %s '{content}' >'{path}'")


def look(machine: Machine, path: str) -> str:
    return machine.run("stat", "-L", "-c", "%U:%G %a", path).stdout.strip()


def apply_rules(machine: Machine) -> None:
    machine.run("udevadm", "control", "--reload")
    machine.run("sh", "-c", "udevadm trigger -c change -s metis -s dma_heap && udevadm settle")


def opens(machine: Machine, group: str, path: str) -> bool:
    script = f'gid=$(getent group {group} | cut -d: -f3); setpriv --reuid 65534 --regid "$gid" --clear-groups '
    return machine.run("sh", "-c", f"{script} sh -c 'exec 3<>{path}'", check=False).returncode == 0


@pytest.fixture
def provisioned(machine: Machine) -> Iterator[Machine]:
    """A machine as wanted, and as wanted again afterwards."""
    assert deploy(machine).returncode == 0
    yield machine
    machine.run("sh", "-c", f"rm -f {RULES_DIR}/72-axelera.rules {RULES_DIR}/60-cameras.rules {RULES_DIR}/99-zz.rules")
    apply_rules(machine)
    assert deploy(machine).returncode == 0


def test_cameras_keep_the_heap_through_their_group(provisioned: Machine) -> None:
    put(provisioned, f"{RULES_DIR}/60-cameras.rules", 'SUBSYSTEM=="dma_heap", GROUP="video", MODE="0660"\n')
    apply_rules(provisioned)
    assert look(provisioned, HEAP) == "root:video 660"
    assert opens(provisioned, "video", HEAP)
    assert opens(provisioned, "axelera", HEAP)
    assert not opens(provisioned, "nogroup", HEAP)
    assert not opens(provisioned, "video", NODE)
    assert findings(provisioned) == {}
    assert changes_nothing(deploy(provisioned))


def test_the_vendors_rules_open_nothing_to_everybody(provisioned: Machine) -> None:
    put(provisioned, f"{RULES_DIR}/72-axelera.rules", VENDORS)
    apply_rules(provisioned)
    assert look(provisioned, NODE) == "root:axelera 660"
    assert look(provisioned, HEAP).endswith(" 660")
    assert not opens(provisioned, "nogroup", HEAP)
    assert findings(provisioned) == {}
    assert changes_nothing(deploy(provisioned))


def test_a_node_and_heap_that_were_opened_by_hand_are_closed_again(provisioned: Machine) -> None:
    put(provisioned, f"{RULES_DIR}/72-axelera.rules", VENDORS)
    provisioned.run("chmod", "0666", NODE, HEAP)
    assert deploy(provisioned).returncode == 0
    assert look(provisioned, NODE) == "root:axelera 660"
    assert look(provisioned, HEAP).endswith(" 660")


def test_a_rule_that_wins_over_ours_is_named(provisioned: Machine) -> None:
    put(provisioned, f"{RULES_DIR}/99-zz.rules", 'SUBSYSTEM=="metis", MODE="0666"\n')
    apply_rules(provisioned)
    done = deploy(provisioned)
    assert done.returncode == 1
    found = findings(provisioned)
    assert found["METIS-302"]["answer"] == "fail"
    assert found["METIS-304"]["seen"] == f"{NODE} is root:axelera 0666 because of {RULES_DIR}/99-zz.rules."


def test_a_driver_of_older_hands_is_set_aside(provisioned: Machine) -> None:
    release = provisioned.run("uname", "-r").stdout.strip()
    copied = f"/lib/modules/{release}/extra/metis.ko"
    provisioned.run(
        "sh",
        "-ec",
        "cp -r /usr/src/metis-1.6.2 /usr/src/metis-1.4.4; rm /usr/src/metis-1.4.4/.payload-sha256\n"
        "sed -i 's/1\\.6\\.2/1.4.4/g' /usr/src/metis-1.4.4/dkms.conf; dkms add -m metis -v 1.4.4\n"
        "mkdir -p /usr/src/metis-1.5.0/driver; echo 'int x;' >/usr/src/metis-1.5.0/driver/metis.c\n"
        f"mkdir -p {copied.rpartition('/')[0]}; echo junk >{copied}; depmod",
    )
    assert "metis/1.4.4: added" in provisioned.run("dkms", "status").stdout
    done = deploy(provisioned)
    assert done.returncode == 0, done.stdout + done.stderr
    status = provisioned.run("dkms", "status").stdout
    assert "1.4.4" not in status
    assert f"metis/1.6.2, {release}, x86_64: installed" in status
    assert provisioned.run("sh", "-c", "ls -d /usr/src/metis-*").stdout.split() == ["/usr/src/metis-1.6.2"]
    assert provisioned.run("test", "-e", copied, check=False).returncode == 1
    assert "updates/dkms" in provisioned.run("modinfo", "-n", "metis").stdout
    index = provisioned.run("cat", "/var/lib/metis-provision/previous/index").stdout.splitlines()
    kept = dict(reversed(line.split()) for line in index)
    assert {copied, "/usr/src/metis-1.4.4", "/usr/src/metis-1.5.0"} <= set(kept)
    archive = f"/var/lib/metis-provision/previous/{kept['/usr/src/metis-1.5.0']}"
    assert provisioned.run("tar", "-xOf", archive, "metis-1.5.0/driver/metis.c").stdout == "int x;\n"
    assert changes_nothing(deploy(provisioned))
