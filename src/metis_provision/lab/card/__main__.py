"""Command line of the card process: ``python -m metis_provision.lab.card --socket PATH --control PATH``."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from metis_provision.lab.card.profiles import ANY_PORT, PROFILES, Port
from metis_provision.lab.card.server import CardServer
from metis_provision.model.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one card until SIGTERM or SIGINT; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m metis_provision.lab.card",
        description="A virtual Metis card for QEMU's vfio-user-pci.",
        epilog="Example: --socket /run/lab/card.sock --control /run/lab/card.control --profile m2",
    )
    parser.add_argument("--socket", type=Path, required=True, help="UNIX socket QEMU connects to")
    parser.add_argument("--control", type=Path, required=True, help="UNIX socket for faults and status")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="m2", help="board (default: m2)")
    parser.add_argument("--port-generation", type=int, default=ANY_PORT.generation, help="its port's PCI Express")
    parser.add_argument("--port-lanes", type=int, default=ANY_PORT.lanes, help="its port's lanes")
    options = parser.parse_args(arguments)
    port = Port(options.port_generation, options.port_lanes)
    logging.basicConfig(level=logging.INFO, format="card: %(message)s", stream=sys.stderr)
    try:
        server = CardServer(PROFILES[options.profile], options.socket, options.control, port)
    except UserError as error:
        parser.exit(int(error.exit_code), f"{error}\n")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    server.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
