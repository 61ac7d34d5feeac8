"""Debian roots with a real DKMS, a compiler and kernel headers, for tests that build drivers without a machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from metis_provision.lab.apt import read_apt_setup
from metis_provision.lab.bootstrap import bootstrap, mmdebstrap_command
from metis_provision.lab.cache import DAY, obtain
from metis_provision.lab.containers import Release

PACKAGES = ("dkms", "linux-headers-amd64", "openssl", "kmod")

# The newest kernel of the backports beside the release's own; only its exact name is found there and nowhere else.
BACKPORT_SCRIPT = r"""
set -eu
newest=$(chroot "$1" apt-cache show linux-headers-amd64 |
    sed -n 's/^Depends:.* \(linux-headers-[0-9][^ ,]*\).*/\1/p' | sort -V | tail -n 1)
chroot "$1" apt-get --yes --no-install-recommends install "$newest"
"""


def dkms_root(release: Release) -> Path:
    """The root, from the cache or built by mmdebstrap; Debian 13's has the headers of its newest backport too."""
    script = BACKPORT_SCRIPT if release is Release.DEBIAN_13 else ""
    recipe = {"release": release.value, "packages": PACKAGES, "script": script, "layout": 1}
    return obtain("roots", recipe, lambda directory: _build(directory, release, script), max_age=7 * DAY) / "root"


def _build(directory: Path, release: Release, script: str) -> None:
    setup = read_apt_setup()
    command = mmdebstrap_command(
        release.value,
        directory / "root",
        variant="minbase",
        packages=PACKAGES,
        sources=setup.sources(release.value, backports=bool(script)),
        apt_options=setup.options,
        customize=script,
    )
    bootstrap(command, f"the {release} root with DKMS")


# A mount namespace of our own over an untouched root: nothing stays mounted, whatever ends the test.
INSIDE = r"""
set -e
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
cd "$2/root"
mount -t proc proc proc
mount --rbind /dev dev
mount --bind "$2/run" run
mount -t tmpfs tmpfs tmp
mkdir run/metis-provision 2>/dev/null || :
[ -z "$METIS_BEFORE" ] || (eval "$METIS_BEFORE")
exec chroot . /bin/sh -c "$3"
"""


@dataclass
class Host:
    """A root's own layer of changes, kept over several commands."""

    lower: Path
    base: Path

    @classmethod
    def made(cls, release: Release, base: Path) -> Self:
        """A host of that release below ``base``; skips where it cannot be made."""
        tools = [tool for tool in ("mmdebstrap", "unshare", "chroot", "setpriv") if shutil.which(tool) is None]
        if tools or os.geteuid() != 0:
            pytest.skip(f"needs root and {', '.join(tools) or 'nothing else'}")
        for name in ("upper", "work", "root", "run"):
            (base / name).mkdir(parents=True)
        return cls(dkms_root(release), base)

    @property
    def kernels(self) -> list[str]:
        """Releases of the kernels that there are headers for, the oldest first, which counts as the running one."""
        found = (path.name for path in (self.lower / "lib/modules").iterdir())
        return sorted(found, key=lambda release: [int(part) for part in release.split("-")[0].split("+")[0].split(".")])

    def start(self, script: str, before: str = "") -> subprocess.Popen[str]:
        command = ["unshare", "-m", "sh", "-c", INSIDE, "sh", str(self.lower), str(self.base), script]
        environment = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "METIS_BEFORE": before}
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, before: str = "") -> subprocess.CompletedProcess[str]:
        process = self.start(script, before)
        out, err = process.communicate(timeout=900)
        return subprocess.CompletedProcess(script, process.returncode, out, err)

    def said(self, script: str) -> str:
        done = self.run(script)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
