"""A kernel update on the machine: what is said before the reboot, what a plain re-run repairs, and the reboot."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from guest import Done, changed_nothing, deploy, findings, ours, pyinfra, reported, said, shell

from metis_provision.lab.machine import Machine
from metis_provision.lab.standin.source import driver_tarball

pytestmark = [pytest.mark.vm, pytest.mark.full]

BACKPORTS = "/etc/apt/sources.list.d/backports.list"
# The flavour for virtual machines has what a card needs at a third of the usual size. The exact name of the newest
# is in the backports alone: nothing else comes from there but the scripts that install it.
ADD_BACKPORTS = rf"""
set -e
sed -n 's/^deb \(.*\) \([a-z]*\) main$/deb \1 \2-backports main/p' /etc/apt/sources.list | head -n 1 >{BACKPORTS}
apt-get -q update
apt-cache show linux-image-cloud-amd64 | sed -n 's/^Depends:.*linux-image-\([0-9][^ ,]*\).*/\1/p' | sort -V | tail -n 1
"""
INSTALL = (
    "release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release); DEBIAN_FRONTEND=noninteractive "
    "apt-get -q -y --no-install-recommends install linux-base/$release-backports linux-image-{kernel}"
)
BOOT_FIRST = "ln -sfn boot/vmlinuz-{kernel} /vmlinuz && ln -sfn boot/initrd.img-{kernel} /initrd.img"
REMOVE = (
    "DEBIAN_FRONTEND=noninteractive apt-get -q -y purge '*{kernel}*'; "
    "dkms remove -m metis -v 1.6.2 -k {kernel}; rm -rf /lib/modules/{kernel}; " + f"rm -f {BACKPORTS}"
)


TOO_NEW = """\
#include <linux/version.h>
#if LINUX_VERSION_CODE > KERNEL_VERSION({series}, 255)
#error too new
#endif
"""


@pytest.fixture(scope="module")
def kernels(provisioned: Machine) -> Iterator[tuple[str, str]]:
    """The kernel that runs, and the newest of the backports, installed without its headers as an update may come."""
    running = said(provisioned, "uname", "-r")
    newest = said(provisioned, "sh", "-c", ADD_BACKPORTS, timeout=600).splitlines()[-1]
    assert newest != running
    provisioned.run("sh", "-c", INSTALL.format(kernel=newest), timeout=1200)
    yield running, newest
    provisioned.run("sh", "-c", BOOT_FIRST.format(kernel=running))
    if said(provisioned, "uname", "-r") != running:
        provisioned.reboot()
    shell(provisioned, REMOVE.format(kernel=newest))
    provisioned.run("sh", "-c", BOOT_FIRST.format(kernel=running))
    deploy(provisioned)


@pytest.fixture(scope="module")
def updated(provisioned: Machine, kernels: tuple[str, str]) -> Machine:
    return provisioned


def test_headers_that_are_missing_are_said_before_the_reboot(updated: Machine, kernels: tuple[str, str]) -> None:
    running, newest = kernels
    assert said(updated, "uname", "-r") == running
    assert said(updated, "sh", "-c", f"find /lib/modules/{newest} -name 'metis.ko*'") == ""
    status, found = findings(updated)
    assert status == 1
    assert newest in found["METIS-231"]["seen"]
    assert found["METIS-231"]["answer"] == "fail"
    assert not [code for code, finding in found.items() if code < "METIS-220" and finding["answer"] == "fail"]
    assert f"code=METIS-231 kernel={newest} missing=headers " in logged_at_the_update(updated)
    plan = json.loads(ours(updated, "plan", "--json").stdout)["hosts"][0]
    assert f"linux-headers-{newest}" in json.dumps(plan)
    assert f"build for {newest} (after its headers)" in json.dumps(plan)


def test_a_plain_re_run_repairs_it_and_changes_nothing_else(updated: Machine, kernels: tuple[str, str]) -> None:
    running, newest = kernels
    boot = updated.boot_id()
    before = said(updated, "sh", "-c", f"sha256sum /lib/modules/{running}/updates/dkms/* /etc/udev/rules.d/*")
    done = deploy(updated)
    # Debian's DKMS builds as soon as headers arrive: after them, nothing is left for the driver's own step.
    assert changed_by(done) == ["Install what the driver's build needs"]
    assert f"code=ok kernel={newest} missing=nothing " in logged_at_the_update(updated)
    assert said(updated, "sh", "-c", f"sha256sum /lib/modules/{running}/updates/dkms/* /etc/udev/rules.d/*") == before
    assert f"metis/1.6.2, {newest}, x86_64: installed" in said(updated, "dkms", "status")
    assert findings(updated) == (0, {})
    assert changed_nothing(pyinfra(updated, "-y"))
    assert updated.boot_id() == boot


def test_a_build_that_is_missing_is_said_and_repaired(updated: Machine, kernels: tuple[str, str]) -> None:
    running, newest = kernels
    updated.run("dkms", "remove", "-m", "metis", "-v", "1.6.2", "-k", newest, check=False)
    status, found = findings(updated)
    assert status == 1
    assert {code for code, finding in found.items() if finding["answer"] == "fail"} == {"METIS-232"}, found
    assert newest in found["METIS-232"]["seen"]
    done = deploy(updated)
    assert f"building metis 1.6.2 for kernel {newest}" in done.stderr
    assert f"building metis 1.6.2 for kernel {running}" not in done.stderr
    assert changed_by(done) == ["Build and install the driver"]
    assert findings(updated) == (0, {})


def logged_at_the_update(machine: Machine) -> str:
    """What the hook of kernel updates has said last, in the system's log."""
    return said(machine, "journalctl", "--quiet", "--output=cat", "--identifier=metis-next-boot", "--lines=1")


def changed_by(done: Done) -> list[str]:
    """The operations of a deploy that changed something, by what pyinfra says of each as it goes."""
    told = done.stderr.split("--> Starting operation: Metis | ")[1:]
    return [said.split("\n")[0].strip() for said in told if re.search(r"^ *\[[^]]+\] Success$", said, re.MULTILINE)]


def test_a_driver_that_does_not_compile_for_the_next_kernel_takes_nothing_away(
    updated: Machine, kernels: tuple[str, str], tmp_path: Path
) -> None:
    running, newest = kernels
    series = ", ".join(running.split(".")[:2])
    payload = driver_tarball(tmp_path, before=TOO_NEW.format(series=series))
    sha256 = hashlib.sha256(payload.read_bytes()).hexdigest()
    status, host = reported(updated, "apply", "-y", driver_source=str(payload), driver_sha256=sha256)
    assert status == 1
    assert f"metis 1.6.2 does not compile for kernel {newest}: " in host["reason"]
    assert "error: #error too new" in host["reason"]
    assert "nothing was changed, metis 1.6.2 stays in memory and on disk" in host["reason"]
    for kernel in (running, newest):
        assert f"metis/1.6.2, {kernel}, x86_64: installed" in said(updated, "dkms", "status")
    assert said(updated, "sh", "-c", "ls -A /usr/src /var/lib/dkms | grep '^[.]metis' || :") == ""
    assert findings(updated) == (0, {})


def test_a_kernel_that_insists_on_signatures_refuses_the_module_as_was_said(updated: Machine) -> None:
    updated.run("sh", "-c", "echo 1 >/sys/module/module/parameters/sig_enforce")
    assert said(updated, "lsmod").count("metis ") == 1
    status, found = findings(updated)
    assert status == 1
    refused = {code for code in ("METIS-235", "METIS-240") if code in found}
    assert refused, found
    assert all(found[code]["answer"] == "fail" for code in refused)
    updated.run("modprobe", "-r", "metis")
    tried = updated.run("modprobe", "metis", check=False)
    assert "Key was rejected by service" in tried.stderr
    done = pyinfra(updated, "-y")
    assert done.returncode == 1
    assert "the kernel refused the module's signature" in done.stderr


def test_the_card_works_on_the_next_kernel_after_a_proven_reboot(updated: Machine, kernels: tuple[str, str]) -> None:
    _, newest = kernels
    before = updated.boot_id()
    assert updated.reboot() != before
    assert said(updated, "uname", "-r") == newest
    assert findings(updated) == (0, {})
    assert changed_nothing(pyinfra(updated, "-y"))
