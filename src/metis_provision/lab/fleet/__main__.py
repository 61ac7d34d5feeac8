"""Command line of a fleet's wire: ``python -m metis_provision.lab.fleet --control PATH``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from metis_provision.lab.fleet.server import WireServer, open_uplink
from metis_provision.model.errors import UserError


def main() -> int:
    """Be the wire until SIGTERM or SIGINT; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m metis_provision.lab.fleet",
        description="The wire between this machine and the hosts of a fleet.",
        epilog="Example: --control /run/lab/wire.control",
    )
    parser.add_argument("--control", type=Path, required=True, help="UNIX socket for its commands")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="wire: %(message)s", stream=sys.stderr)
    try:
        asyncio.run(_serve(options.control))
    except UserError as error:
        parser.exit(int(error.exit_code), f"{error}\n")
    return 0


async def _serve(control: Path) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await WireServer(*open_uplink()).serve(control, stop)


if __name__ == "__main__":
    sys.exit(main())
