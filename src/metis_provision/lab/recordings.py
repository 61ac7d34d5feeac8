"""The command ``metis-provision lab replay``: a recorded host answers again."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from metis_provision.model.errors import ExitCode, UserError
from metis_provision.report.outputs import STANDARD_OUTPUT, Outputs
from metis_provision.report.rows import Row
from metis_provision.support.recording import Recording, read_recording


@click.command("replay", epilog="Example: metis-provision lab replay tests/fixtures/surveys/raspberry-pi-5.txt --json")
@click.argument("recordings", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, as verify --json does.")
def replay_command(recordings: tuple[Path, ...], as_json: bool) -> None:
    """Answer as the recorded hosts did: their verdicts, by today's checks, without any connection.

    Each host is called as its file. The exit status is that of verify.
    """
    hosts = _read(recordings)
    rows = [Row(name, recording.verdict(name)) for name, recording in hosts.items()]
    Outputs({"json": STANDARD_OUTPUT} if as_json else {}).write(rows, ())
    sys.exit(ExitCode.OK if all(row.verdict and row.verdict.ok for row in rows) else ExitCode.FAILED)


def _read(paths: tuple[Path, ...]) -> dict[str, Recording]:
    """Every recording by its host's name; UserError with a line for each that cannot be read."""
    hosts: dict[str, Recording] = {}
    mistakes = []
    for path in paths:
        try:
            if path.stem in hosts:
                raise UserError(f"{path}: another file makes a host called {path.stem} already; rename one of them")
            hosts[path.stem] = read_recording(path.read_text(encoding="utf-8"), str(path))
        except OSError as error:
            mistakes.append(f"{path} cannot be read ({error.strerror}); see tests/fixtures/surveys for some")
        except UnicodeDecodeError:
            mistakes.append(f"{path}: this is no recording but something else than text")
        except UserError as error:
            mistakes.append(str(error))
    if mistakes:
        raise UserError("\n".join(mistakes))
    return hosts
