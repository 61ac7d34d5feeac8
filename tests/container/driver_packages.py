"""Packages of the stand-in driver in two versions, and what a package leaves on a host."""

from __future__ import annotations

import hashlib
from pathlib import Path

from metis_provision.lab.standin.source import driver_tarball
from metis_provision.model.artifact import Payload
from metis_provision.packaging.build import package
from metis_provision.packaging.recipe import Format

OLD, NEW = "1.5.6", "1.6.2"
APT = "DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0"


def payload(directory: Path, version: str) -> Payload:
    """The stand-in's source of ``version``, written into ``directory``."""
    path = driver_tarball(directory, version)
    return Payload("driver", version, str(path), hashlib.sha256(path.read_bytes()).hexdigest())


def both_packages(kind: Format, base: Path) -> dict[str, Path]:
    """The package of either version, built below ``base``."""
    return {
        version: package(kind, payload(base / "sources", version), base / version).packages[0] for version in (OLD, NEW)
    }


def listing(*memories: str) -> str:
    """A command that lists every file but those that change by themselves and the ``memories`` of a package tool."""
    left_out = ("/proc", "/sys", "/run", "/tmp", "/root", "/var/cache", "/var/log", *memories)
    paths = " -o ".join(f"-path {path}" for path in left_out)
    return rf"find / -xdev \( {paths} \) -prune -o -print | LC_ALL=C sort"
