"""Rules of others and a driver of older hands on a machine with a card: what udev and DKMS really do about them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from guest import changed_nothing, deploy, findings, owner_and_mode, put, pyinfra, said

from metis_provision.lab.machine import Machine

NODE, HEAP = "/dev/metis-0-1-0", "/dev/dma_heap/system"
RULES_DIR = "/etc/udev/rules.d"
VENDORS = 'SUBSYSTEM=="metis", GROUP="axelera", MODE="0666"\nSUBSYSTEM=="dma_heap", MODE="0666"\n'


def apply_rules(machine: Machine) -> None:
    machine.run("udevadm", "control", "--reload")
    machine.run("sh", "-c", "udevadm trigger -c change -s metis -s dma_heap && udevadm settle")


def opens(machine: Machine, group: str, path: str) -> bool:
    script = f'gid=$(getent group {group} | cut -d: -f3); setpriv --reuid 65534 --regid "$gid" --clear-groups '
    return machine.run("sh", "-c", f"{script} sh -c 'exec 3<>{path}'", check=False).returncode == 0


@pytest.fixture
def clean(provisioned: Machine) -> Iterator[Machine]:
    """A machine as wanted, and as wanted again afterwards."""
    yield provisioned
    left = (f"{RULES_DIR}/{name}.rules" for name in ("72-axelera", "60-cameras", "99-zz"))
    provisioned.run("rm", "-f", *left)
    apply_rules(provisioned)
    deploy(provisioned)


@pytest.mark.full
def test_cameras_keep_the_heap_through_their_group(clean: Machine) -> None:
    put(clean, f"{RULES_DIR}/60-cameras.rules", 'SUBSYSTEM=="dma_heap", GROUP="video", MODE="0660"\n')
    apply_rules(clean)
    assert owner_and_mode(clean, HEAP) == "root:video 660"
    assert opens(clean, "video", HEAP)
    assert opens(clean, "axelera", HEAP)
    assert not opens(clean, "nogroup", HEAP)
    assert not opens(clean, "video", NODE)
    assert findings(clean) == (0, {})
    assert changed_nothing(deploy(clean))


def test_the_vendors_rules_open_nothing_to_everybody(clean: Machine) -> None:
    put(clean, f"{RULES_DIR}/72-axelera.rules", VENDORS)
    apply_rules(clean)
    assert owner_and_mode(clean, NODE) == "root:axelera 660"
    assert owner_and_mode(clean, HEAP).endswith(" 660")
    assert not opens(clean, "nogroup", HEAP)
    assert findings(clean) == (0, {})
    assert changed_nothing(deploy(clean))


@pytest.mark.full
def test_a_node_and_heap_that_were_opened_by_hand_are_closed_again(clean: Machine) -> None:
    put(clean, f"{RULES_DIR}/72-axelera.rules", VENDORS)
    clean.run("chmod", "0666", NODE, HEAP)
    deploy(clean)
    assert owner_and_mode(clean, NODE) == "root:axelera 660"
    assert owner_and_mode(clean, HEAP).endswith(" 660")


def test_a_rule_that_wins_over_ours_is_named(clean: Machine) -> None:
    put(clean, f"{RULES_DIR}/99-zz.rules", 'SUBSYSTEM=="metis", MODE="0666"\n')
    apply_rules(clean)
    assert pyinfra(clean, "-y").returncode == 1
    _, found = findings(clean)
    assert found["METIS-302"]["answer"] == "fail"
    assert found["METIS-304"]["seen"] == f"{NODE} is root:axelera 0666 because of {RULES_DIR}/99-zz.rules."


@pytest.mark.full
def test_a_driver_of_older_hands_is_set_aside(clean: Machine) -> None:
    release = said(clean, "uname", "-r")
    copied = f"/lib/modules/{release}/extra/metis.ko"
    clean.run(
        "sh",
        "-ec",
        "cp -r /usr/src/metis-1.6.2 /usr/src/metis-1.4.4; rm /usr/src/metis-1.4.4/.payload-sha256\n"
        "sed -i 's/1\\.6\\.2/1.4.4/g' /usr/src/metis-1.4.4/dkms.conf; dkms add -m metis -v 1.4.4\n"
        "mkdir -p /usr/src/metis-1.5.0/driver; echo 'int x;' >/usr/src/metis-1.5.0/driver/metis.c\n"
        f"mkdir -p {copied.rpartition('/')[0]}; echo junk >{copied}; depmod",
    )
    assert "metis/1.4.4: added" in said(clean, "dkms", "status")
    deploy(clean)
    status = said(clean, "dkms", "status")
    assert "1.4.4" not in status
    assert f"metis/1.6.2, {release}, x86_64: installed" in status
    assert clean.run("sh", "-c", "ls -d /usr/src/metis-*").stdout.split() == ["/usr/src/metis-1.6.2"]
    assert clean.run("test", "-e", copied, check=False).returncode == 1
    assert "updates/dkms" in clean.run("modinfo", "-n", "metis").stdout
    index = clean.run("cat", "/var/lib/metis-provision/previous/index").stdout.splitlines()
    kept = dict(reversed(line.split()) for line in index)
    assert {copied, "/usr/src/metis-1.4.4", "/usr/src/metis-1.5.0"} <= set(kept)
    archive = f"/var/lib/metis-provision/previous/{kept['/usr/src/metis-1.5.0']}"
    assert clean.run("tar", "-xOf", archive, "metis-1.5.0/driver/metis.c").stdout == "int x;\n"
    assert changed_nothing(deploy(clean))
