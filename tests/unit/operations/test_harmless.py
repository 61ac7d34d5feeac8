"""What a host prints while a step runs cannot act on the operator's terminal."""

from __future__ import annotations

import click
import pytest
from pyinfra.api.output import echo, set_echo

from metis_provision.operations.harmless import harmless, make_echo_harmless


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("Setting up dkms (3.2.2)", "Setting up dkms (3.2.2)"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("\x1b[2J\x1b[1;1Hgreen", "\\x1b[2J\\x1b[1;1Hgreen"),
        ("50%\r100%", "50%\\r100%"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("one\n\ttwo", "one\n        two"),
        ("\x9b2J", "\\x9b2J"),
        ("", ""),
    ],
)
def test_controls_are_shown_and_lines_stay(sent: str, shown: str) -> None:
    assert harmless(sent) == shown


def test_colours_pass_and_end_with_their_line() -> None:
    assert harmless("[\x1b[1mhost\x1b[0m] \x1b[8mhidden") == "[\x1b[1mhost\x1b[0m] \x1b[8mhidden\x1b[0m"


def test_what_pyinfra_prints_goes_through_it(capsys: pytest.CaptureFixture[str]) -> None:
    set_echo(click.echo)
    make_echo_harmless()
    echo("[host] \x1b]0;owned\x07", err=True)
    assert capsys.readouterr().err == "[host] \\x1b]0;owned\\x07\n"
