"""A real kernel of Debian's, installed by apt in a real container: what the hook logs then, and after DKMS built."""

from __future__ import annotations

import base64
import tarfile
from pathlib import Path

import pytest

from metis_provision.catalog.carriers import carrier
from metis_provision.desired import driver, kernel_hook
from metis_provision.desired.platforms import platforms
from metis_provision.lab.containers import Container, Release, start_container
from metis_provision.lab.standin.source import DRIVER_VERSION, driver_tarball
from metis_provision.model.settings import Settings
from metis_provision.render import bare_host

pytestmark = pytest.mark.container

SETTINGS = Settings(driver_version=DRIVER_VERSION, driver_source="driver.tar.gz", driver_sha256="d" * 64)
# The small flavour: its modules do not matter here.
IMAGE, HEADERS = "linux-image-cloud-amd64", "linux-headers-cloud-amd64"


def write(container: Container, path: str, content: bytes, mode: str = "0644") -> None:
    encoded = base64.b64encode(content).decode()
    script = f'mkdir -p "${{1%/*}}" && printf %s {encoded} | base64 -d >"$1" && chmod {mode} "$1"'
    container.run("sh", "-c", script, "sh", path)


def apt(container: Container, *arguments: str) -> str:
    command = "apt-get -q -y -o Dpkg::Use-Pty=0 --no-install-recommends"
    done = container.run("sh", "-c", f'DEBIAN_FRONTEND=noninteractive {command} "$@" 2>&1', "sh", *arguments)
    return done.stdout


def logged(container: Container) -> list[str]:
    """The lines of the hook in the journal, oldest first."""
    output = container.run("journalctl", "-t", "metis-next-boot", "-o", "cat", "--no-pager", check=False).stdout
    return [line for line in output.splitlines() if line.startswith("code=")]


def put_driver_source(container: Container, tmp_path: Path) -> None:
    tree = driver.dkms(SETTINGS)
    assert tree is not None
    with tarfile.open(driver_tarball(tmp_path)) as archive:
        for member in archive.getmembers():
            taken = archive.extractfile(member) if member.isfile() else None
            if taken is not None:
                write(container, f"{tree.source_dir}/{member.name.partition('/')[2]}", taken.read())
    write(container, tree.conf_path, tree.conf)


def test_a_kernel_arrives_without_headers_and_then_with_them(containers: None, tmp_path: Path) -> None:
    debian = next(platform for platform in platforms() if platform.name == "debian")
    survey = bare_host(debian, debian.inits[0], carrier("generic"))
    container = start_container(Release.DEBIAN_13)
    try:
        for file in kernel_hook.files(SETTINGS, survey):
            write(container, file.path, file.content, file.mode)
        apt(container, "update")
        told = apt(container, "install", "dkms", IMAGE)
        put_driver_source(container, tmp_path)
        release = container.run("sh", "-c", "cd /lib/modules && echo *").stdout.strip()
        (line,) = logged(container)
        assert line.startswith(f'code=METIS-231 kernel={release} missing=headers do="')
        assert f"metis-provision: {line}" in told

        container.run("dkms", "add", f"metis/{DRIVER_VERSION}")
        apt(container, "install", HEADERS)
        assert logged(container)[-1] == f'code=ok kernel={release} missing=nothing do="nothing"'
        assert f"metis/{DRIVER_VERSION}, {release}, x86_64: installed" in container.run("dkms", "status").stdout

        # A driver that does not compile for the next kernel: the compiler's own words, and apt still content.
        container.run("dkms", "remove", f"metis/{DRIVER_VERSION}", "--all")
        broken = f"/usr/src/metis-{DRIVER_VERSION}/driver/metis_main.c"
        container.run("sh", "-c", f"echo 'int broken = no_such_name;' >>{broken}")
        container.run("dkms", "add", f"metis/{DRIVER_VERSION}", check=False)
        container.run("sh", "-c", f"dkms build metis/{DRIVER_VERSION} -k {release} || true")
        container.run("/etc/kernel/postinst.d/zz-metis-next-boot", release)
        last = logged(container)[-1]
        assert last.startswith(f'code=METIS-232 kernel={release} missing=build do="it does not compile: ')
        assert "error:" in last
        assert "no_such_name" in last
    finally:
        container.remove()
