"""What a host prints while a step runs goes to the operator's terminal: colours may pass, other controls are shown."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import click
from pyinfra.api.output import is_output_active, set_echo

from metis_provision.model.text import literal

_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
_PLAIN = "\x1b[0m"


def harmless(message: str) -> str:
    """``message`` with everything but lines, tabs and colours shown as what it is; colours end with it."""
    parts = _COLOUR.split(message)
    shown = "".join(part if at % 2 else _lines(part) for at, part in enumerate(parts))
    return shown + _PLAIN if len(parts) > 1 else shown


def _lines(text: str) -> str:
    return "\n".join(literal(line.expandtabs()) for line in text.split("\n"))


@cache
def make_echo_harmless() -> None:
    """Have pyinfra print through ``harmless``: it prints commands' output itself, as it comes, byte for byte."""

    def echo(message: Any = None, **options: Any) -> None:  # noqa: ANN401 - click's signature
        click.echo(harmless(message) if isinstance(message, str) else message, **options)

    if is_output_active():
        set_echo(echo)
