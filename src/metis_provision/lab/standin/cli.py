"""The command ``metis-provision lab vendor``: stands in for the vendor's repositories."""

from __future__ import annotations

import json
import logging
import signal
import sys
from pathlib import Path

import click

from metis_provision.lab.apt import HOST_SEEN_FROM_GUEST
from metis_provision.lab.standin.vendor import Way, offer, served
from metis_provision.model.errors import UserError


@click.command("vendor", epilog="Example: metis-provision lab vendor --out vendor --way pip --serve 8099")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new or empty directory.")
@click.option(
    "--way",
    "ways",
    multiple=True,
    type=click.Choice([way.value for way in Way]),
    help="What to build; may be given several times; all of them unless told.",
)
@click.option("--serve", type=click.IntRange(1, 65535), default=8099, show_default=True, help="Port to serve it on.")
@click.option("--build-only", is_flag=True, help="Print the settings and end instead of serving.")
def vendor_command(out: Path, ways: tuple[str, ...], serve: int, build_only: bool) -> None:
    """Stand in for the vendor's apt repository, pip index and container image; prints settings by way as JSON.

    Machines of the lab reach it while this runs.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not empty: name a new directory.")
    offered = offer(out.resolve(), f"http://{HOST_SEEN_FROM_GUEST}:{serve}", [Way(way) for way in ways] or tuple(Way))
    click.echo(json.dumps(offered, indent=2))
    if build_only:
        return
    try:
        with served(out, serve):
            sys.stdout.flush()
            logging.getLogger(__name__).info("serving %s on port %d until interrupted", out, serve)
            signal.pause()
    except OSError as error:
        raise UserError(f"Port {serve} cannot be served on: {error.strerror}; choose another with --serve.") from error
