"""What this machine lacks for a fleet, a sentence each, said before anything starts."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from metis_provision.lab.apt import KEYRING
from metis_provision.lab.fleet.tun import DEVICE
from metis_provision.lab.paths import state_dir
from metis_provision.lab.requirements import (
    GIB,
    MACHINE_TOOLS,
    missing_files,
    missing_mirror,
    missing_platform,
    missing_space,
    missing_tools,
)

FLEET_TOOLS = {
    **{tool: MACHINE_TOOLS[tool] for tool in ("mmdebstrap", "apt-get", "setsid", "setpriv", "unshare")},
    "ssh": MACHINE_TOOLS["ssh"],
    "ssh-keygen": MACHINE_TOOLS["ssh-keygen"],
    "tar": "tar",
    "mount": "mount",
    "pivot_root": "util-linux",
    "ip": "iproute2",
}
"""Programs of a fleet and the Debian packages they are in."""
HOST_MEMORY = 16 << 20
"""Bytes of a host: init, sshd, sessions, /run. Measured with a hundred: 2 MiB idle, 10 while all are converged."""
BASE_MEMORY = GIB // 2
"""Bytes for the wire, the root's pages and whoever provisions."""
_NOT_IN_MOUNT_OPTIONS = re.compile(r"[,:\\\s\"']")

_TRY_OVERLAY = """
cd "$1" && mkdir low changes work root &&
mount -t overlay -o "lowerdir=$1/low,upperdir=$1/changes,workdir=$1/work" overlay root
status=$?
umount root 2>/dev/null
exit $status
"""


def missing_fleet_requirements(count: int) -> list[str]:
    """Return why no fleet of ``count`` hosts can be made here, one sentence each; empty if one can."""
    first = [*missing_platform(), *missing_tools(FLEET_TOOLS)]
    return [
        *first,
        *missing_files({KEYRING: "debian-archive-keyring"}),
        *_missing_tun(),
        *missing_mirror(),
        *missing_space(["containers"]),
        *missing_memory(count, Path("/proc/meminfo").read_text()),
        # It takes root and the tools to find out.
        *([] if first else _missing_overlay()),
    ]


def _missing_tun() -> list[str]:
    return [] if DEVICE.exists() else [f"{DEVICE} is missing: modprobe tun (Debian's kernels have it)."]


def missing_memory(count: int, meminfo: str) -> list[str]:
    """Return a sentence if ``count`` hosts do not fit; ``meminfo`` is what proc_meminfo(5) describes."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo, re.MULTILINE)
    available = int(match[1]) << 10 if match else 0
    needed = BASE_MEMORY + count * HOST_MEMORY
    if available >= needed:
        return []
    return [
        f"{available / GIB:.1f} GiB of memory are free, {count} hosts need {needed / GIB:.1f}: "
        "ask for fewer with --hosts, or end something."
    ]


def _missing_overlay() -> list[str]:
    """Try whether hosts can have their changes below the state directory, in a mount namespace of the trial's own."""
    directory = state_dir()
    if _NOT_IN_MOUNT_OPTIONS.search(os.fspath(directory)):
        return [f"{directory} cannot be named in mount options: choose another directory in XDG_STATE_HOME."]
    existing = next(parent for parent in (directory, *directory.parents) if parent.exists())
    made = subprocess.run(
        ["mktemp", "--directory", "--tmpdir", "--suffix=.metis-lab"],
        env={**os.environ, "TMPDIR": str(existing)},
        capture_output=True,
        text=True,
        check=False,
    )
    trial = made.stdout.strip()
    if made.returncode:
        return [f"{existing} cannot be written: {made.stderr.strip()}"]
    try:
        command = ["unshare", "--mount", "sh", "-c", _TRY_OVERLAY, "sh", trial]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        subprocess.run(["rm", "-rf", "--", trial], check=False)
    if result.returncode:
        said = (result.stderr.strip() or "no reason given").splitlines()[-1]
        return [f"overlayfs cannot keep changes in {existing} ({said}): choose a directory on ext4 in XDG_STATE_HOME."]
    return []
