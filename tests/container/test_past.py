"""Hosts with a past: what the Cruiser documents, the vendor and older hands left, in a real container with systemd."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metis_provision.lab.containers import Container
from metis_provision.operations import commands

pytestmark = pytest.mark.container

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
OURS = "/etc/udev/rules.d/99-axelera-metis.rules"
VENDORS = "/etc/udev/rules.d/72-axelera.rules"
UNIT = "/etc/systemd/system/axelera.service"
INITRAMFS_RULES = "/etc/udev/rules.d/99-axelera.rules"
DRACUT = "/usr/lib/dracut/modules.d/95rpi-hardware/module-setup.sh"
LEFT = {
    OURS: (
        'SUBSYSTEM=="pci", ATTR{vendor}=="0x1f0f", ATTR{device}=="0x0001", \\\n'
        '    GROUP="axelera", MODE="0660", TAG+="systemd"\n'
    ),
    INITRAMFS_RULES: 'SUBSYSTEM=="accel", ATTRS{vendor}=="0x1e81", SYMLINK+="axelera0", MODE="0660", GROUP="render"\n',
    VENDORS: 'SUBSYSTEM=="metis", GROUP="axelera", MODE="0666"\nSUBSYSTEM=="dma_heap", MODE="0666"\n',
    UNIT: "[Service]\nExecStart=/usr/bin/sh -c true\n",
    DRACUT: "#!/bin/bash\ninstall() {\n    inst_mods axdevice\n}\n",
}
GONE = (INITRAMFS_RULES, UNIT, DRACUT)
PREVIOUS = "/var/lib/metis-provision/previous"


def pyinfra(container: Container, base: Path, *arguments: str, **data: object) -> subprocess.CompletedProcess[str]:
    host = (container.pyinfra_name, {"metis_cards": 0, "metis_driver": "none", **data})
    (base / "inventory.py").write_text(f"hosts = [{host!r}]\n")
    return subprocess.run(
        [str(BIN / "pyinfra"), str(base / "inventory.py"), "deploys/metis.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYINFRA_PROGRESS": "off"},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def put(container: Container, path: str, content: str) -> None:
    container.run("sh", "-c", 'mkdir -p "${1%/*}" && printf %s "$2" >"$1"', "sh", path, content)


def read(container: Container, path: str) -> str:
    return container.run("cat", path).stdout


def kept(content: str) -> str:
    return f"{PREVIOUS}/{hashlib.sha256(content.encode()).hexdigest()}"


@pytest.fixture
def old(container: Container) -> Container:
    """A host as older hands left it."""
    for path, content in LEFT.items():
        put(container, path, content)
    container.run("systemctl", "daemon-reload")
    return container


def test_what_older_hands_left_is_replaced_and_kept(old: Container, tmp_path: Path) -> None:
    plan = pyinfra(old, tmp_path, "--dry")
    assert f"replace {OURS}, which is not ours, and keep its contents" in plan.stderr
    for path in GONE:
        assert f"set aside {path}" in plan.stderr
    assert read(old, OURS) == LEFT[OURS]

    first = pyinfra(old, tmp_path, "-y")
    assert first.returncode == 0, first.stdout + first.stderr
    assert " green" in first.stdout
    assert 'ATTRS{vendor}=="0x1f9d"' in read(old, OURS)
    assert read(old, VENDORS) == LEFT[VENDORS]
    for path in (*GONE, OURS):
        assert read(old, kept(LEFT[path])) == LEFT[path]
    index = dict(reversed(line.split()) for line in read(old, f"{PREVIOUS}/index").splitlines())
    assert set(index) == set(GONE)
    for path in GONE:
        assert old.run("test", "-e", path, check=False).returncode == 1
    assert old.run("systemctl", "cat", "axelera.service", check=False).returncode == 1
    receipt = json.loads(read(old, "/var/lib/metis-provision/receipt.json"))
    assert set(receipt["set_aside"]) == set(GONE)

    again = pyinfra(old, tmp_path, "-y")
    assert again.returncode == 0
    total, changed, failed, unchanged = next(x for x in again.stderr.splitlines() if "Grand total" in x).split()[2:]
    assert (changed, failed, unchanged) == ("-", "-", total)


def test_what_is_to_be_left_is_left_and_named(old: Container, tmp_path: Path) -> None:
    plan = pyinfra(old, tmp_path, "--dry", metis_past="leave")
    assert f"left: {INITRAMFS_RULES}, rules for ids that no Metis has: metis_past says so" in plan.stderr
    done = pyinfra(old, tmp_path, "-y", metis_past="leave")
    assert done.returncode == 0, done.stdout + done.stderr
    for path, content in LEFT.items():
        assert read(old, path) == content
    checked = subprocess.run(
        [str(BIN / "metis-provision"), "verify", "--json", str(tmp_path / "inventory.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    (host,) = json.loads(checked.stdout)["hosts"]
    named = {f["subject"] for f in host["findings"] if f["code"] == "METIS-604" and f["answer"] == "warn"}
    assert named == {OURS, *GONE}
    assert host["standing"] == "warned"


def past_script(paths: str, builds: str = "") -> str:
    values = {"METIS_MODULE": "metis", "METIS_BUILDS": builds, "METIS_KERNELS": "", "METIS_PATHS": paths}
    return commands._with_variables("past.sh", values)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/usr/src/metis-1.5.0/../../../etc", "/usr/src/metis-*", "/etc/udev/rules.d"]
)
def test_nothing_is_set_aside_outside_the_places_of_leftovers(old: Container, path: str) -> None:
    done = old.run("sh", "-c", past_script(f"{INITRAMFS_RULES}\n{path}"), check=False)
    assert done.returncode == 1
    assert f"{path} is none of the places where leftovers are: nothing was set aside" in done.stderr
    assert read(old, INITRAMFS_RULES) == LEFT[INITRAMFS_RULES]


def test_a_source_tree_is_kept_whole(old: Container) -> None:
    put(old, "/usr/src/metis-1.5.0/driver/metis.c", "int x;\n")
    done = old.run("sh", "-c", past_script("/usr/src/metis-1.5.0"))
    archive = done.stdout.split(" kept as ")[1].strip()
    assert old.run("tar", "-x", "-O", "-f", archive, "metis-1.5.0/driver/metis.c").stdout == "int x;\n"
    assert old.run("test", "-e", "/usr/src/metis-1.5.0", check=False).returncode == 1


def test_what_cannot_be_kept_is_not_removed(old: Container) -> None:
    put(old, f"{PREVIOUS}/index/in-the-way", "")
    done = old.run("sh", "-c", past_script(INITRAMFS_RULES), check=False)
    assert done.returncode == 1
    assert f"{PREVIOUS}/index could not be written" in done.stderr
    assert read(old, INITRAMFS_RULES) == LEFT[INITRAMFS_RULES]
