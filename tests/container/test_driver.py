"""The driver's script with a real DKMS, compiler and kernel headers, in roots of Debian 12 and 13; no kernel is run.

What is built is the stand-in driver: these tests say of it, not of the vendor's, which kernels it compiles for.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dkms_root import Host

from metis_provision.desired.rendering import render
from metis_provision.lab.containers import Release
from metis_provision.lab.standin.source import driver_tarball
from metis_provision.operations import commands

pytestmark = pytest.mark.container

PAYLOAD = "/root/driver.tar.gz"
BROKEN = "#error this source is broken\n"
# What the backport's kernel lacks and the release's own has.
TOO_NEW = "#include <linux/version.h>\n#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)\n#error too new\n#endif\n"


class DriverHost(Host):
    """A host that the driver's script is run on."""

    def about(self, kernel: str, field: str) -> str:
        """What the module file of a kernel says of itself."""
        return self.said(f"modinfo -F {field} $(find /lib/modules/{kernel}/updates/dkms -name 'metis.ko*')")

    def give(self, payload: bytes) -> str:
        """Put a payload there and return its checksum."""
        (self.base / "upper/root").mkdir(parents=True, exist_ok=True)
        (self.base / "upper" / PAYLOAD.lstrip("/")).write_bytes(payload)
        return hashlib.sha256(payload).hexdigest()

    def with_dkms(self, text: str) -> str:
        """What puts a shell script in the place of dkms."""
        stub = self.base / "run/dkms"
        stub.write_text(f"#!/bin/sh\n{text}\n")
        stub.chmod(0o755)
        return "mount --bind run/dkms usr/sbin/dkms"

    def script(self, payload: bytes, version: str = "1.6.2", unpack: str = "1", **values: str) -> str:
        conf = render("usr/src/metis/dkms.conf", module="metis", version=version)
        given = {
            "METIS_MODULE": "metis",
            "METIS_VERSION": version,
            "METIS_SOURCE": f"/usr/src/metis-{version}",
            "METIS_UNPACK": unpack,
            "METIS_PAYLOAD": PAYLOAD,
            "METIS_SHA256": self.give(payload),
            "METIS_CONF": base64.b64encode(conf).decode(),
            "METIS_KERNELS": self.kernels[0],
            "METIS_RUNNING": self.kernels[0],
            "METIS_STRAYS": "",
        }
        return commands._with_variables("driver.sh", given | values)

    def state(self) -> dict[str, str]:
        """Everything of the driver on the host: DKMS's own word, sources, modules with their checksums."""
        return {
            "dkms": self.said("dkms status"),
            "sources": self.said("cd /usr/src && find . -path './*metis*' -type f -exec sha256sum {} + | sort -k 2"),
            "modules": self.said("find /lib/modules -name 'metis.ko*' -exec sha256sum {} + | sort -k 2"),
            "tree": self.said("find /var/lib/dkms -mindepth 1 -path '*metis*' ! -path '*/build*' | sort"),
        }


def tarball(tmp_path: Path, version: str = "1.6.2", before: str = "") -> bytes:
    """The stand-in's source of a version, with ``before`` in front of it."""
    return driver_tarball(tmp_path / "tarball", version, before).read_bytes()


@pytest.fixture
def host(tmp_path: Path) -> DriverHost:
    """Debian 13 with the headers of its own kernel and of the newest backport; nothing of a driver."""
    return DriverHost.made(Release.DEBIAN_13, tmp_path / "host")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> DriverHost:
    """The same with version 1.6.2 installed for its first kernel; tests work on copies."""
    base = tmp_path_factory.mktemp("served")
    made = DriverHost.made(Release.DEBIAN_13, base / "host")
    done = made.run(made.script(tarball(base)))
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture
def old(served: DriverHost, tmp_path: Path) -> DriverHost:
    """A host that has 1.6.2 already."""
    base = tmp_path / "host"
    subprocess.run(["cp", "-a", str(served.base), str(base)], check=True)
    return DriverHost(served.lower, base)


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("it did not come about")


@pytest.mark.parametrize("release", list(Release))
def test_it_builds_for_every_kernel_there_are_headers_for(release: Release, tmp_path: Path) -> None:
    host = DriverHost.made(release, tmp_path / "host")
    series = {Release.DEBIAN_12: ["6.1"], Release.DEBIAN_13: ["6.12"]}[release]
    assert [".".join(kernel.split(".")[:2]) for kernel in host.kernels][: len(series)] == series
    assert len(host.kernels) == (1 if release is Release.DEBIAN_12 else 2)
    done = host.run(host.script(tarball(tmp_path), METIS_KERNELS=" ".join(host.kernels)))
    assert done.returncode == 0, done.stdout + done.stderr
    status = host.said("dkms status")
    for kernel in host.kernels:
        assert f"metis/1.6.2, {kernel}, x86_64: installed" in status
        assert host.about(kernel, "vermagic").split()[0] == kernel
        assert host.about(kernel, "version") == "1.6.2"
    assert host.said("cat /usr/src/metis-1.6.2/.payload-sha256") == hashlib.sha256(tarball(tmp_path)).hexdigest()
    assert host.said("ls -A /usr/src /var/lib/dkms | grep '^[.]metis' || :") == ""


@pytest.mark.parametrize("versions", [("1.6.2", "1.7.0"), ("1.6.2", "1.5.6")], ids=["upgrade", "downgrade"])
def test_another_version_takes_over_and_the_old_tree_goes(
    old: DriverHost, tmp_path: Path, versions: tuple[str, str]
) -> None:
    host, (was, new) = old, versions
    done = host.run(host.script(tarball(tmp_path, new), version=new))
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.about(host.kernels[0], "version") == new
    values = {"METIS_MODULE": "metis", "METIS_BUILDS": was, "METIS_KERNELS": "", "METIS_PATHS": f"/usr/src/metis-{was}"}
    host.said(commands._with_variables("past.sh", values))
    assert host.said("dkms status") == f"metis/{new}, {host.kernels[0]}, x86_64: installed"
    assert host.said("ls -d /usr/src/metis-*") == f"/usr/src/metis-{new}"
    assert host.said("ls /var/lib/dkms/metis").split() == [new, f"kernel-{host.kernels[0]}-x86_64"]
    assert host.about(host.kernels[0], "version") == new


@pytest.mark.parametrize("version", ["1.7.0", "1.6.2"], ids=["another version", "the same version"])
def test_a_source_that_does_not_compile_changes_nothing(old: DriverHost, tmp_path: Path, version: str) -> None:
    before = old.state()
    done = old.run(old.script(tarball(tmp_path, version, BROKEN), version=version))
    assert done.returncode == 1
    assert f"metis {version} does not compile for kernel {old.kernels[0]}: " in done.stderr
    assert "error: #error this source is broken; nothing was changed" in done.stderr
    assert old.state() == before


def test_another_payload_of_the_same_version_takes_its_place(old: DriverHost, tmp_path: Path) -> None:
    other = tarball(tmp_path, before="/* another payload */\nint metis_another_payload;\n")
    before = old.state()
    done = old.run(old.script(other))
    assert done.returncode == 0, done.stdout + done.stderr
    after = old.state()
    assert after["dkms"] == before["dkms"]
    assert after["modules"].split()[1] == before["modules"].split()[1]
    assert after["modules"] != before["modules"]
    assert old.said("cat /usr/src/metis-1.6.2/.payload-sha256") == hashlib.sha256(other).hexdigest()
    index = old.said("cat /var/lib/metis-provision/previous/index")
    assert index.split()[1] == "/usr/src/metis-1.6.2"


def test_a_kernel_that_has_nothing_to_lose_does_not_keep_the_running_one_from_its_driver(
    host: DriverHost, tmp_path: Path
) -> None:
    running, newest = host.kernels
    done = host.run(host.script(tarball(tmp_path, before=TOO_NEW), METIS_KERNELS=f"{running} {newest}"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"metis-provision: metis 1.6.2 does not compile for kernel {newest}: " in done.stdout
    assert "error: #error too new" in done.stdout
    assert host.said("dkms status") == f"metis/1.6.2, {running}, x86_64: installed"
    assert "#error too new" in host.said("cat /var/lib/dkms/metis/1.6.2/build/make.log")
    again = host.run(host.script(tarball(tmp_path, before=TOO_NEW), unpack="", METIS_KERNELS=newest))
    assert again.returncode == 0
    assert "error: #error too new" in again.stdout
    assert host.said("dkms status") == f"metis/1.6.2, {running}, x86_64: installed"


def test_a_kernel_that_would_lose_its_driver_keeps_everything_as_it_was(old: DriverHost, tmp_path: Path) -> None:
    host, (running, newest) = old, old.kernels
    host.said(host.script(tarball(tmp_path), unpack="", METIS_KERNELS=newest))
    before = host.state()
    assert f"metis/1.6.2, {newest}, x86_64: installed" in before["dkms"]
    done = host.run(
        host.script(tarball(tmp_path, "1.7.0", TOO_NEW), version="1.7.0", METIS_KERNELS=f"{running} {newest}")
    )
    assert done.returncode == 1
    assert f"metis 1.7.0 does not compile for kernel {newest}" in done.stderr
    assert host.state() == before


def test_a_stray_module_goes_only_for_what_was_built(host: DriverHost, tmp_path: Path) -> None:
    stray = f"/lib/modules/{host.kernels[0]}/extra/metis.ko"
    host.said(f"mkdir -p {stray.rpartition('/')[0]} && echo stray >{stray}")
    failed = host.run(host.script(tarball(tmp_path, before=BROKEN), METIS_STRAYS=stray))
    assert failed.returncode == 1
    assert host.said(f"cat {stray}") == "stray"
    done = host.run(host.script(tarball(tmp_path), METIS_STRAYS=stray))
    assert done.returncode == 0, done.stderr
    assert host.said("find /lib/modules /var/lib/dkms -name 'metis.ko*' ! -path '*/1.6.2/*'").count("\n") == 0
    assert "updates/dkms/metis.ko" in host.said(f"modinfo -k {host.kernels[0]} -n metis")
    assert host.said("cat /var/lib/metis-provision/previous/*").startswith("stray")


def test_a_build_that_was_killed_is_done_again_by_the_next_run(old: DriverHost, tmp_path: Path) -> None:
    host = old
    before = host.state()
    first = host.start(host.script(tarball(tmp_path, "1.7.0"), version="1.7.0"))
    stages = host.base / "upper/var/lib/dkms"
    wait_for(lambda: bool(list(stages.glob(".metis-*/metis/1.7.0/build/make.log"))))
    first.kill()
    first.communicate()
    assert list(stages.glob(".metis-*"))
    assert host.state()["modules"] == before["modules"]
    assert host.about(host.kernels[0], "version") == "1.6.2"
    done = host.run(host.script(tarball(tmp_path, "1.7.0"), version="1.7.0"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.about(host.kernels[0], "version") == "1.7.0"
    assert not list(stages.glob(".metis-*"))
    assert host.said("ls -A /usr/src | grep '^[.]metis' || :") == ""


def test_modules_that_a_power_cut_left_empty_are_built_again(old: DriverHost, tmp_path: Path) -> None:
    before = old.state()
    old.said("for file in $(find /lib/modules /var/lib/dkms/metis -name 'metis.ko*'); do : >$file; done")
    assert "installed" in old.said("dkms status")
    done = old.run(old.script(tarball(tmp_path), unpack=""))
    assert done.returncode == 0, done.stdout + done.stderr
    assert old.about(old.kernels[0], "version") == "1.6.2"
    assert old.state()["tree"] == before["tree"]


@pytest.mark.parametrize(
    ("place", "kibibytes"),
    [("/usr/src", 0), ("/var/lib/dkms", 0), ("/var/lib/dkms", 160)],
    ids=["no room for the source", "no room for dkms's copy of it", "no room for what the compiler makes"],
)
def test_a_full_disk_is_said_and_changes_nothing(old: DriverHost, tmp_path: Path, place: str, kibibytes: int) -> None:
    host = old
    before = host.state()
    small = (
        f"mkdir $2/small; mount -t tmpfs -o size=800k tmpfs $2/small; cp -a .{place}/metis* $2/small/; "
        f"head -c 800k /dev/zero >$2/small/filling 2>/dev/null || :; truncate -s -{kibibytes}k $2/small/filling; "
        f"mount --bind $2/small .{place}"
    )
    script = host.script(tarball(tmp_path, "1.7.0"), version="1.7.0")
    done = host.run(f"({script})\nstatus=$?; echo left:; ls -A {place}; exit $status", before=small)
    assert done.returncode == 1
    assert "full" in done.stderr or "No space left on device" in done.stderr
    assert "nothing was changed" in done.stderr
    assert ("building metis" in done.stdout and "CC [M]" in done.stdout) == bool(kibibytes)
    assert ".metis-" not in done.stdout.rpartition("left:")[2]
    assert host.state() == before


def test_a_read_only_usr_is_said_and_changes_nothing(old: DriverHost, tmp_path: Path) -> None:
    host = old
    before = host.state()
    script = host.script(tarball(tmp_path, "1.7.0"), version="1.7.0")
    done = host.run(script, before="mount --bind usr usr && mount -o remount,bind,ro usr")
    assert done.returncode == 1
    assert "nothing can be written to /usr/src: is it full or read-only? nothing was changed" in done.stderr
    assert host.state() == before


@pytest.mark.parametrize("damage", ["truncated", "another", "missing"])
def test_a_payload_that_is_not_the_pinned_one_is_refused(old: DriverHost, tmp_path: Path, damage: str) -> None:
    host = old
    before = host.state()
    good = tarball(tmp_path, "1.7.0")
    script = host.script(good, version="1.7.0")
    if damage == "missing":
        (host.base / "upper" / PAYLOAD.lstrip("/")).unlink()
    else:
        host.give(good[: len(good) // 2] if damage == "truncated" else good + b"x")
    done = host.run(script)
    assert done.returncode == 1
    assert ("cannot be read" if damage == "missing" else "is not the pinned payload") in done.stderr
    assert host.state() == before


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (21, "dkms finds no headers for kernel"),
        (77, "is not meant for kernel {kernel}, says its dkms.conf"),
        (10, "does not compile for kernel {kernel}: make: *** [Makefile:1: all] Error 2"),
        (13, "(dkms ended with status 13): Error! Something else."),
    ],
)
def test_what_dkms_means_by_its_status_is_said(old: DriverHost, tmp_path: Path, status: int, words: str) -> None:
    host = old
    line = "make: *** [Makefile:1: all] Error 2" if status == 10 else "Error! Something else."
    before = host.with_dkms(f"[ $1 = add ] || {{ echo '{line}'; exit {status}; }}")
    done = host.run(host.script(tarball(tmp_path, "1.7.0"), version="1.7.0"), before=before)
    assert done.returncode == 1
    assert words.format(kernel=host.kernels[0]) in done.stderr


def test_a_dkms_that_ends_well_without_having_installed_it_is_not_believed(host: DriverHost, tmp_path: Path) -> None:
    before = host.with_dkms("[ $1 != build ] || mkdir -p $5/metis/1.6.2")
    done = host.run(host.script(tarball(tmp_path)), before=before)
    assert done.returncode == 1
    assert "dkms ended without an error, but metis 1.6.2 is not installed for kernel" in done.stderr
