"""podman, as the lab calls it."""

from __future__ import annotations

import subprocess


def podman(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run podman with runc, which hosts with hybrid cgroups need; whatever becomes of it is in what is returned."""
    command = ["podman", "--runtime", "runc", *arguments]
    given = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    return subprocess.run(command, capture_output=True, text=True, check=False, **given)
