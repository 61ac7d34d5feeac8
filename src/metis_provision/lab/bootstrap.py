"""mmdebstrap, run so that neither a mount nor a process of it can outlive us."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Sequence
from pathlib import Path

from metis_provision.controller.directories import cache_dir
from metis_provision.model.errors import ExitCode, UserError

logger = logging.getLogger(__name__)

# A PID namespace dies with its first process and a mount namespace with its last, so SIGKILL to us (passed on by
# setpriv and --kill-child) takes everything along.
ISOLATED = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"),
)


def mmdebstrap_command(
    release: str,
    target: Path,
    *,
    architecture: str | None = None,
    variant: str,
    packages: Sequence[str],
    sources: Sequence[str],
    apt_options: Sequence[str],
    setup: str = "",
    customize: str = "",
) -> list[str]:
    """Return the command that fills ``target``; ``setup`` and ``customize`` are sh scripts with the root as $1.

    ``architecture`` is Debian's name of another one than this machine's.
    """
    return [
        "mmdebstrap",
        "--mode=root",
        "--format=directory",
        *([f"--architectures={architecture}"] if architecture else []),
        f"--variant={variant}",
        "--skip=check/empty",
        f"--include={','.join(packages)}",
        # Nothing has to survive a power failure here: what is half-made is thrown away.
        "--dpkgopt=force-unsafe-io",
        '--aptopt=APT::Install-Recommends "false";',
        *(f"--aptopt={option}" for option in apt_options),
        *([f"--setup-hook={setup}"] if setup else []),
        *([f"--customize-hook={customize}"] if customize else []),
        release,
        str(target),
        *sources,
    ]


def bootstrap(command: Sequence[str], what: str) -> None:
    """Run ``command`` (mmdebstrap's); UserError with its last words and its log if it fails."""
    logs = cache_dir() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{what.replace(' ', '-')}.log"
    logger.info("building %s from Debian packages (log: %s)", what, log)
    with log.open("wb") as output:
        result = subprocess.run(
            [*ISOLATED, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if result.returncode:
        raise UserError(f"Building {what} failed: {_complaint(log)} (log: {log}).", ExitCode.FAILED)


def _complaint(log: Path) -> str:
    """Return the line that says most: apt's and mmdebstrap's errors begin with E:, and the first one is the cause."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("E:")]
    return (errors or lines[-1:] or ["no output"])[0].strip()
