"""The spec by real rpmbuild, its package by real rpm in a Debian container, whose DKMS and headers build the module.

Fedora's own dkms, kernels and sysusers are not there: ``--nodeps``, because rpm knows nothing of Debian's packages.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from driver_packages import APT, NEW, OLD, both_packages, listing

from metis_provision.lab.containers import Container, Release, start_container
from metis_provision.packaging.recipe import Format

pytestmark = pytest.mark.container

# A plugin of rpm's gives each scriptlet a mount namespace of its own, which a container without SYS_ADMIN may not make.
RPM = "rpm --noplugins"
LISTING = listing("/var/lib/rpm")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return both_packages(Format.RPM, tmp_path_factory.mktemp("rpm"))


@pytest.fixture(scope="module")
def host(containers: None, packages: dict[str, Path]) -> Iterator[Container]:
    made = start_container(Release.DEBIAN_13)
    try:
        sh(made, f"{APT} update && {APT} --no-install-recommends install linux-headers-amd64 dkms acl kmod rpm")
        # A kernel makes these lists when it is installed; headers alone do not, and depmod would leave them behind.
        sh(made, "for kernel in /lib/modules/*; do depmod ${kernel##*/}; done")
        # A directory that systemd's package owns where rpm is at home, and that minimal Debian does not have.
        sh(made, "mkdir -p /usr/lib/modules-load.d")
        for path in packages.values():
            subprocess.run(["podman", "cp", str(path), f"{made.identity}:/root/{path.name}"], check=True)
        yield made
    finally:
        made.remove()


def sh(container: Container, script: str) -> str:
    done = container.run("sh", "-c", script, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    return done.stdout.strip()


def test_install_upgrade_and_erase(host: Container, packages: dict[str, Path]) -> None:
    before = sh(host, LISTING)
    sh(host, f"{RPM} -i --nodeps /root/{packages[OLD].name}")
    assert f"metis/{OLD}" in sh(host, "dkms status | grep installed")
    assert sh(host, "rpm -V --nodeps metis-dkms") == ""
    assert sh(host, "getent group axelera")
    sh(host, f"{RPM} -U --nodeps /root/{packages[NEW].name}")
    status = sh(host, "dkms status")
    assert f"metis/{NEW}" in status
    assert "installed" in status
    assert OLD not in status
    assert sh(host, "rpm -V --nodeps metis-dkms") == ""
    assert sh(host, "ls -d /usr/src/metis-*") == f"/usr/src/metis-{NEW}"
    sh(host, f"{RPM} -U --nodeps --replacepkgs /root/{packages[NEW].name}")
    assert "installed" in sh(host, "dkms status")
    sh(host, f"{RPM} -e metis-dkms")
    assert sh(host, LISTING) == before
    assert sh(host, "dkms status") == ""


def test_rpmbuild_refuses_a_source_that_is_not_the_pinned_one(packages: dict[str, Path], tmp_path: Path) -> None:
    top = tmp_path / "rpm"
    subprocess.run(["cp", "-r", packages[NEW].parent / "rpm", top], check=True)
    with (top / f"SOURCES/axelera-driver-{NEW}.tar.gz").open("ab") as stream:
        stream.write(b" ")
    command = ["rpmbuild", "-bp", "--nodeps", "--define", f"_topdir {top}", top / "SPECS/metis-dkms.spec"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"axelera-driver-{NEW}.tar.gz: FAILED" in done.stdout + done.stderr
