"""The commands ``metis-provision lab record`` and ``lab replay``: a host as a file, and the file as that host."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from metis_provision.model.errors import ExitCode, UserError
from metis_provision.report.outputs import STANDARD_OUTPUT, Outputs, refuse_existing, write_whole
from metis_provision.report.rows import Row
from metis_provision.supply.runtime import signing_key
from metis_provision.support.cli import NO_SETTINGS
from metis_provision.support.mask import Masker
from metis_provision.support.recording import Recording, StandIns, read_recording, recorded


@click.command("record", epilog="Example: metis-provision lab record pi-kitchen --inventory inventory.py --out pi.txt")
@click.argument("host")
@click.option("--inventory", help="Inventory that HOST is in; without one HOST is asked by its name alone.")
@click.option("--sudo", is_flag=True, help="Become root with sudo on the host.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="A new file."
)
def record_command(host: str, inventory: str | None, sudo: bool, out: Path) -> None:
    """Write HOST's survey and settings into FILE, for lab replay and as a fixture of tests.

    Names, addresses, serial numbers and secrets that can be recognised are replaced by others of the same form. The
    host is looked at as by verify; nothing on it is changed.
    """
    from metis_provision.fleet.run import Options, load
    from metis_provision.fleet.support import ask

    refuse_existing(out)
    loaded = load(inventory) if inventory else load(host, NO_SETTINGS)
    asked = ask(loaded, host, Options(sudo=sudo))
    if not asked.survey:
        raise UserError(f"{host} did not answer, so there is nothing to record", ExitCode.FAILED)
    stand_ins = StandIns()
    masker = Masker(asked.known_hosts, asked.known_users, stand_ins)
    today = datetime.now(UTC).date()
    key = signing_key(asked.settings)
    try:
        text, changed = recorded(asked.settings, asked.survey, key, today, masker, stand_ins)
    except UserError as error:
        raise UserError(f"{host} cannot be recorded: {error}", ExitCode.FAILED) from error
    write_whole(out, text)
    masked = ", ".join(f"{number} {kind}" for kind, number in masker.counts.items()) or "nothing"
    click.echo(f"{out}: replaced: {masked}. Look through it before you show it to anybody.", err=True)
    if changed:
        click.echo(f"{out}: what was replaced changes the answers of {', '.join(changed)}.", err=True)
    click.echo(str(out))


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
            hosts[path.stem] = read_recording(path.read_bytes().decode("utf-8"), str(path))
        except OSError as error:
            mistakes.append(f"{path} cannot be read ({error.strerror}); name a file made by lab record")
        except UnicodeDecodeError:
            mistakes.append(f"{path}: this is no recording but something else than text")
        except UserError as error:
            mistakes.append(str(error))
    if mistakes:
        raise UserError("\n".join(mistakes))
    return hosts
