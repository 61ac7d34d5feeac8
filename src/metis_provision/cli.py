"""The command ``metis-provision``: what pyinfra's own command line cannot do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from metis_provision.checks.cli import checks, explain
from metis_provision.cores.cli import cores
from metis_provision.lab.cli import lab
from metis_provision.model.errors import ExitCode, UserError
from metis_provision.model.verdict import Level
from metis_provision.packaging.cli import package_command
from metis_provision.render import render
from metis_provision.report.outputs import STANDARD_OUTPUT, Outputs, report_options
from metis_provision.report.rows import Row
from metis_provision.supply.cli import pin
from metis_provision.support.cli import support

if TYPE_CHECKING:
    from metis_provision.fleet.run import Mode, Result
    from metis_provision.operations.outcome import Outcome

_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="metis-provision")
def cli() -> None:
    """Take hosts with an Axelera Metis from a bare OS to a card that provably works.

    \b
    Example:
      metis-provision lab up
      metis-provision plan inventories/lab.py
      metis-provision apply inventories/lab.py -y

    Exit status: 0 as wanted, 1 a host failed or is unproven, 2 changes pending, 3 unreachable, 4 bad input,
    130 interrupted.
    """  # noqa: D301 - click knows a block by the backspace itself


def _run_options(command: _Command) -> _Command:
    """Add what every run over an inventory takes, and the answer as JSON."""
    as_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
    return as_json(click.argument("inventory")(_host_options(command)))


def _host_options(command: _Command) -> _Command:
    for option in (
        click.option("--limit", multiple=True, metavar="HOST", help="Only this host; may be given more than once."),
        click.option("--sudo", is_flag=True, help="Become root with sudo on every host."),
        click.option("--parallel", type=click.IntRange(1), metavar="N", help="Hosts at once."),
    ):
        command = option(command)
    return command


@cli.command()
@_run_options
def plan(**given: Any) -> None:  # noqa: ANN401
    """Show what apply would do, and change nothing.

    \b
    Example: metis-provision plan inventories/lab.py
    """  # noqa: D301 - click knows a block by the backspace itself
    from metis_provision.fleet.run import Mode

    _finish(_run(Mode.PLAN, given), given["as_json"], planned=True)


@cli.command()
@_run_options
@click.option("-y", "--yes", is_flag=True, help="Do not ask before changing hosts.")
def apply(yes: bool, **given: Any) -> None:  # noqa: ANN401
    """Provision every host of INVENTORY and verify it.

    \b
    Example: metis-provision apply inventories/lab.py -y
    """  # noqa: D301 - click knows a block by the backspace itself
    from metis_provision.fleet.run import Mode

    if not yes and not sys.stdin.isatty():
        raise UserError("apply would ask before it changes hosts, and there is no terminal to ask on: add -y")
    result = _run(Mode.APPLY, given, None if yes else _confirm)
    _finish(result, given["as_json"], planned=not result.outcome.executed)


@cli.command(
    epilog="Example: metis-provision verify inventories/lab.py --html report.html --json report.json --since last.json"
)
@_host_options
@report_options
@click.option(
    "--level",
    type=click.Choice([level.value for level in Level]),
    help="quick only looks, medium asks the card and runs a short inference, long keeps it at work for minutes and "
    "watches; by default as the inventory says (metis_verify_level).",
)
@click.argument("inventory", required=False)
def verify(**given: Any) -> None:  # noqa: ANN401
    """Verify every host of INVENTORY, and change nothing.

    Each FILE may be - for standard output, which then gets nothing else. docs/reports.md describes the forms.
    """
    from metis_provision.fleet.run import Mode

    _take_inventory(given)
    outputs = Outputs.of(given)
    result = _run(Mode.VERIFY, given)
    outputs.write((Row(*row) for row in result.outcome.rows()), result.outcome.left_out)
    sys.exit(result.exit_code)


def _take_inventory(given: dict[str, Any]) -> None:
    """See to it that ``verify --json inventory.py`` means what it says, although --json may be followed by a file."""
    if given["inventory"] is None:
        taken = given["json_file"] or ""
        if not taken.endswith(".py"):
            hint = f" (--json took {taken} for its file: put INVENTORY first)" if taken not in ("", "-") else ""
            raise UserError(f"INVENTORY is missing{hint}; metis-provision verify --help shows an example")
        given["inventory"], given["json_file"] = taken, STANDARD_OUTPUT


def _run(mode: Mode, given: dict[str, Any], confirm: Callable[[Outcome], bool] | None = None) -> Result:
    from metis_provision.fleet.run import Options, load, run

    options = Options(sudo=given["sudo"], limit=given["limit"], parallel=given["parallel"])
    data: dict[str, object] = {"metis_verify_level": given["level"]} if given.get("level") else {}
    return run(load(given["inventory"], data), mode, options, confirm)


def _confirm(outcome: Outcome) -> bool:
    if not outcome.any_pending:
        return True
    return click.confirm("Make these changes?", err=True)


def _finish(result: Result, as_json: bool, planned: bool) -> None:
    """Print the answer on standard output, and leave with the run's status."""
    from metis_provision.report.json import plan_document
    from metis_provision.report.terminal import print_plan

    if planned:
        plans = list(result.outcome.plans())
        if as_json:
            click.echo(json.dumps(plan_document(plans), indent=2))
        else:
            print_plan(plans, sys.stdout)
    else:
        files = {"json": STANDARD_OUTPUT} if as_json else {}
        Outputs(files).write((Row(*row) for row in result.outcome.rows()), result.outcome.left_out)
    sys.exit(result.exit_code)


for command in (checks, explain, lab, package_command, support):
    cli.add_command(command)
cli.add_command(render)
cli.add_command(pin)
cli.add_command(cores)


def main() -> None:
    """Run the command; a mistake of the user's is told in its own sentence, never as a traceback."""
    try:
        cli.main(standalone_mode=False)
    except UserError as error:
        for line in str(error).splitlines():
            click.echo(f"metis-provision: {line}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        sys.exit(ExitCode.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.BAD_INPUT)


if __name__ == "__main__":
    main()
