"""Apt while somebody else has the package manager: waited for, named, never fought; in roots of Debian 12 and 13."""

from __future__ import annotations

from pathlib import Path

import pytest
from dkms_root import Host

from metis_provision.desired.platforms.debian import Debian
from metis_provision.lab.containers import Release

pytestmark = pytest.mark.container

DPKG, LISTS = "/var/lib/dpkg/lock-frontend", "/var/lib/apt/lists/lock"
# Apt's locks are those of fcntl(2), which a shell cannot take.
HOLD = r"""
perl -MFcntl -e 'open(F, ">>", $ARGV[0]) or die; my $lock = pack("s s l! l! i", F_WRLCK, 0, 0, 0, 0);
    fcntl(F, F_SETLK, $lock) or die; $| = 1; print "held\n"; sleep $ARGV[1]' {lock} {seconds} >/tmp/held &
holder=$!
until [ -s /tmp/held ]; do kill -0 $holder || exit 1; sleep 0.1; done
"""


@pytest.fixture(params=list(Release))
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    return Host.made(request.param, tmp_path / "host")


def script(command: str, lock_seconds: int) -> str:
    """What a step does, with less patience."""
    functions = Debian().install_script(()).rpartition("install_known")[0]
    assert "lock_seconds=600\n" in functions
    return functions.replace("lock_seconds=600\n", f"lock_seconds={lock_seconds}\n") + command


@pytest.mark.parametrize(("lock", "command"), [(DPKG, "run_apt install -- dpkg"), (LISTS, "run_apt update")])
def test_who_holds_a_lock_for_too_long_is_named(host: Host, lock: str, command: str) -> None:
    done = host.run(HOLD.format(lock=lock, seconds=600) + f"(set -e\n{script(command, 1)})\nkill $holder\necho $holder")
    holder = done.stdout.split()[-1]
    assert (
        f"metis-provision: the package manager is in use by process {holder} (perl), which holds {lock}, "
        in done.stderr
    )
    assert "which did not end within 1 s: let it end, then run again" in done.stderr


def test_who_lets_go_in_time_is_waited_for(host: Host) -> None:
    done = host.run(HOLD.format(lock=DPKG, seconds=8) + f"set -e\n{script('run_apt install -- dpkg', 120)}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "waiting for process " in done.stdout
    assert "0 newly installed" in done.stdout


def test_what_apt_refuses_is_said(host: Host) -> None:
    done = host.run(f"set -e\n{script('run_apt install -- no-such-package', 1)}")
    assert done.returncode == 1
    assert done.stderr == "metis-provision: apt-get failed: Unable to locate package no-such-package\n"


def test_a_package_in_no_repository_keeps_nobody_else_from_being_installed(host: Host) -> None:
    # The lists of these roots are gone, so that what is installed is all that apt knows.
    done = host.run(f"set -e\n{script('run_apt() { echo ran: $*; }; install_known linux-headers-1.2.3 dkms', 1)}")
    assert done.returncode == 0, done.stderr
    assert "no repository of this host has package linux-headers-1.2.3" in done.stdout
    assert done.stdout.splitlines()[-1] == "ran: --no-install-recommends install -- dkms"
