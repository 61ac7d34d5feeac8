"""Our .deb with the real apt, dpkg, DKMS and lintian of Debian 12 and 13, over its whole life."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from driver_packages import APT, NEW, OLD, both_packages, listing, payload

from metis_provision.desired.difference import DriverPackageChange
from metis_provision.desired.payloads import host_path
from metis_provision.desired.platforms import platforms
from metis_provision.lab.containers import Container, Release, start_container
from metis_provision.model.artifact import DriverPackage, Payload
from metis_provision.model.errors import ExitCode, UserError
from metis_provision.operations import commands
from metis_provision.packaging.build import package
from metis_provision.packaging.recipe import Format

pytestmark = pytest.mark.container

LISTING = listing("/var/lib/apt")
VENDOR_CONTROL = """\
Package: metis-dkms
Version: 1.5.6
Architecture: all
Maintainer: vendor stand-in <standin@metis-provision.invalid>
Depends: dkms
Description: stand-in for the vendor's package, with its traps
"""
VENDOR_PRERM = """\
if systemctl is-active --quiet axsystemserver.service; then
	echo "axsystemserver is active" >&2
	exit 1
fi
"""
VENDOR_POSTINST = """\
dkms add -m metis -v 1.5.6
getent group axelera >/dev/null || groupadd axelera
"""
VENDOR_RULES = "/etc/udev/rules.d/72-axelera.rules"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return both_packages(Format.DEB, tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module", params=list(Release))
def host(
    request: pytest.FixtureRequest,
    containers: None,
    packages: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Container]:
    """A container with a kernel's headers and DKMS, and the packages below /root."""
    made = start_container(request.param)
    try:
        sh(made, f"{APT} update && {APT} --no-install-recommends install linux-headers-amd64 dkms acl kmod")
        # A kernel makes these lists when it is installed; headers alone do not, and depmod would leave them behind.
        sh(made, "for kernel in /lib/modules/*; do depmod ${kernel##*/}; done")
        vendor = vendor_package(tmp_path_factory.mktemp("vendor"))
        for path in (*packages.values(), vendor):
            subprocess.run(["podman", "cp", str(path), f"{made.identity}:/root/{path.name}"], check=True)
        yield made
    finally:
        made.remove()


def sh(container: Container, script: str) -> str:
    done = container.run("sh", "-c", script, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    return done.stdout.strip()


def vendor_package(directory: Path) -> Path:
    """A package with the name, the rule and the refusing script of the vendor's."""
    root = directory / "root"
    source = root / "usr/src/metis-1.5.6"
    source.mkdir(parents=True)
    (source / "dkms.conf").write_text(
        'PACKAGE_NAME="metis"\nPACKAGE_VERSION="1.5.6"\nBUILT_MODULE_NAME[0]="metis"\n'
        'BUILT_MODULE_LOCATION[0]="./driver"\nDEST_MODULE_LOCATION[0]="/updates/dkms"\nAUTOINSTALL="yes"\n'
    )
    rules = root / VENDOR_RULES.lstrip("/")
    rules.parent.mkdir(parents=True)
    rules.write_text('SUBSYSTEM=="metis", MODE="0666", GROUP="axelera"\n')
    control = root / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(VENDOR_CONTROL)
    (control / "conffiles").write_text(f"{VENDOR_RULES}\n")
    for name, script in (("prerm", VENDOR_PRERM), ("postinst", VENDOR_POSTINST)):
        (control / name).write_text(f"#!/bin/sh\n{script}")
        (control / name).chmod(0o755)
    path = directory / "vendor.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", root, path], check=True, capture_output=True)
    return path


def install(container: Container, path: Path) -> str:
    return sh(container, f"{APT} install /root/{path.name} 2>&1")


def built(container: Container) -> list[str]:
    """Versions that DKMS has installed, once for each kernel with headers."""
    kernels = sh(container, "ls -d /lib/modules/*/build | wc -l")
    found = [line.split(",")[0] for line in sh(container, "dkms status -m metis").splitlines() if "installed" in line]
    assert len(found) == int(kernels)
    return found


def test_install_upgrade_and_purge_without_a_trace(host: Container, packages: dict[str, Path]) -> None:
    before = sh(host, LISTING), sh(host, "cat /etc/group /etc/gshadow")
    install(host, packages[OLD])
    assert built(host) == [f"metis/{OLD}"]
    assert sh(host, "dpkg -V metis-dkms") == ""
    assert sh(host, "getent group axelera")
    assert sh(host, "find /lib/modules -name 'metis.ko*'")
    assert f"Setting up metis-dkms ({NEW}-1)" in install(host, packages[NEW])
    assert built(host) == [f"metis/{NEW}"]
    assert sh(host, "dpkg -V metis-dkms") == ""
    assert sh(host, "ls -d /usr/src/metis-*") == f"/usr/src/metis-{NEW}"
    sh(host, f"{APT} purge metis-dkms")
    assert (sh(host, LISTING), sh(host, "cat /etc/group /etc/gshadow")) == before


def test_a_group_with_members_stays(host: Container, packages: dict[str, Path]) -> None:
    sh(host, f"touch /etc/dkms/no-autoinstall && {APT} install /root/{packages[NEW].name}")
    sh(host, "rm /etc/dkms/no-autoinstall && useradd -r -G axelera somebody")
    sh(host, f"{APT} purge metis-dkms")
    assert sh(host, "getent group axelera").endswith(":somebody")
    sh(host, "userdel somebody && groupdel axelera")


def test_the_vendor_s_package_is_replaced_while_its_server_runs(host: Container, packages: dict[str, Path]) -> None:
    sh(host, f"{APT} install /root/vendor.deb")
    sh(host, "systemd-run --quiet --unit=axsystemserver sleep infinity")
    try:
        refused = host.run("sh", "-c", f"{APT} purge metis-dkms 2>&1", check=False)
        assert refused.returncode != 0, "the stand-in has the vendor's trap"
        assert "axsystemserver is active" in refused.stdout
        told = install(host, packages[NEW])
        assert "version 1.5.6 refused to be replaced and is replaced all the same" in told
        assert sh(host, "systemctl is-active axsystemserver") == "active"
    finally:
        host.run("systemctl", "stop", "axsystemserver", check=False)
    assert built(host) == [f"metis/{NEW}"]
    assert "1.5.6" not in sh(host, "dkms status")
    assert host.run("test", "-e", VENDOR_RULES, check=False).returncode == 1
    assert sh(host, "dpkg -V metis-dkms") == ""
    sh(host, f"{APT} purge metis-dkms")


def test_the_deploy_s_own_job_installs_and_replaces_it(host: Container, packages: dict[str, Path]) -> None:
    """An older version over a newer one and the same one again, as pins may ask for; another file is refused."""
    for version in (NEW, OLD, OLD):
        sh(host, job(packages[version]))
        assert built(host) == [f"metis/{version}"]
    refused = host.run("sh", "-c", job(packages[NEW], sha256="0" * 64), check=False)
    assert refused.returncode != 0
    assert "is not the pinned package" in refused.stderr
    assert built(host) == [f"metis/{OLD}"]
    sh(host, f"{APT} purge metis-dkms")


def job(path: Path, sha256: str | None = None) -> str:
    """What a deploy sends for a package, with the file where this test has put it."""
    pin = Payload("driver", "1", str(path), sha256 or hashlib.sha256(path.read_bytes()).hexdigest())
    change = DriverPackageChange(DriverPackage("metis-dkms", "1", pin), upload=False, replaces=True)
    (debian,) = [platform for platform in platforms() if platform.name == "debian"]
    script = commands.driver_package_job(change, debian.install_file_script(host_path(pin)))
    return script.replace(host_path(pin), f"/root/{path.name}")


def test_udev_reads_the_rules_and_only_after_the_group_exists(host: Container, packages: dict[str, Path]) -> None:
    script = sh(host, f"dpkg-deb --ctrl-tarfile /root/{packages[NEW].name} | tar -xO ./postinst")
    assert script.index("systemd-sysusers") < script.index("udevadm control --reload")
    if host.release is Release.DEBIAN_13:
        sh(host, f"dpkg-deb -x /root/{packages[NEW].name} /tmp/unpacked")
        rules = "/tmp/unpacked/usr/lib/udev/rules.d/99-axelera-metis.rules"
        sh(host, f"udevadm verify --no-summary --resolve-names=never {rules}")


def test_a_driver_that_does_not_compile_leaves_a_package_that_says_so(host: Container, tmp_path: Path) -> None:
    """Not installed as if nothing had happened, which is what packages that hide the status do."""
    broken = tmp_path / "broken"
    subprocess.run(["tar", "-xzf", payload(tmp_path, NEW).source, "-C", tmp_path], check=True)
    (tmp_path / f"axelera-driver-{NEW}/driver/metis.c").write_text("#error no such kernel\n")
    tarball = tmp_path / "broken.tar.gz"
    subprocess.run(["tar", "-czf", tarball, "-C", tmp_path, f"axelera-driver-{NEW}"], check=True)
    pin = Payload("driver", NEW, str(tarball), hashlib.sha256(tarball.read_bytes()).hexdigest())
    (made,) = package(Format.DEB, pin, broken).packages
    subprocess.run(["podman", "cp", str(made), f"{host.identity}:/root/broken.deb"], check=True)
    done = host.run("sh", "-c", f"{APT} install /root/broken.deb 2>&1", check=False)
    assert done.returncode != 0
    assert "error" in done.stdout.lower()
    assert sh(host, "dpkg-query -W -f '${db:Status-Abbrev}' metis-dkms") == "iF"
    sh(host, f"{APT} purge metis-dkms")
    assert sh(host, "dkms status") == ""


@pytest.mark.parametrize("version", [OLD, NEW])
def test_lintian_finds_no_error(packages: dict[str, Path], version: str) -> None:
    command = ["lintian", "--allow-root", "--fail-on", "error", packages[version]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "E: " not in done.stdout


def test_the_source_package_builds_and_refuses_another_source(packages: dict[str, Path], tmp_path: Path) -> None:
    top = tmp_path / "deb"
    subprocess.run(["cp", "-r", packages[NEW].parent / "deb", top], check=True)
    subprocess.run(["dpkg-source", "-b", f"metis-dkms-{NEW}"], cwd=top, check=True, capture_output=True)
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error", f"metis-dkms_{NEW}-1.dsc"], cwd=top, check=False
    )
    assert done.returncode == 0
    unpack = ["dpkg-source", "-x", f"metis-dkms_{NEW}-1.dsc", "again"]
    assert subprocess.run(unpack, cwd=top, check=False, capture_output=True).returncode == 0
    with (top / f"metis-dkms_{NEW}.orig.tar.gz").open("ab") as stream:
        stream.write(b" ")
    refused = subprocess.run([*unpack[:-1], "third"], cwd=top, check=False, capture_output=True, text=True)
    assert refused.returncode != 0


def test_equal_sources_make_equal_packages(packages: dict[str, Path], tmp_path: Path) -> None:
    (again,) = package(Format.DEB, payload(tmp_path / "other", NEW), tmp_path / "out").packages
    assert again.read_bytes() == packages[NEW].read_bytes()


def test_a_full_disk_is_told_and_leaves_nothing_half_made(containers: None, tmp_path: Path) -> None:
    out = tmp_path / "small"
    out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", out], check=True)
    try:
        with pytest.raises(UserError, match=r"could not be (written|unpacked)|No space left") as raised:
            package(Format.DEB, payload(tmp_path / "sources", NEW), out)
        assert raised.value.exit_code is ExitCode.FAILED
        assert list(out.iterdir()) == []
    finally:
        subprocess.run(["umount", out], check=True)
