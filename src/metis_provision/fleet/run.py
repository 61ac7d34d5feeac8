"""One run over an inventory through pyinfra, with a result that a program can act on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import gevent
import pyinfra_cli  # noqa: F401 - patches blocking calls for gevent; must come before anything that opens a socket
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all, disconnect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.inventory import Inventory
from pyinfra.api.operations import run_ops
from pyinfra.api.state import State, StateStage
from pyinfra.context import ctx_config, ctx_inventory, ctx_state
from pyinfra_cli.exceptions import CliError, UnexpectedExternalError
from pyinfra_cli.inventory import make_inventory
from pyinfra_cli.log import setup_logging
from pyinfra_cli.util import load_func

from metis_provision import deploys
from metis_provision.deploys.inventory import inventory_mistakes, provide_payloads
from metis_provision.model.errors import ExitCode, UserError
from metis_provision.operations.outcome import Outcome, outcome_of


class Mode(StrEnum):
    """How far a run goes."""

    PLAN = "plan"
    APPLY = "apply"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator said on the command line."""

    sudo: bool = False
    limit: tuple[str, ...] = ()
    parallel: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to."""

    outcome: Outcome
    unreachable: tuple[str, ...]

    @property
    def exit_code(self) -> ExitCode:
        """Unreachable before failed before pending before as wanted."""
        if self.unreachable:
            return ExitCode.UNREACHABLE
        if self.outcome.any_failed:
            return ExitCode.FAILED
        return ExitCode.PENDING if self.outcome.any_pending else ExitCode.OK


def load(path: str, data: dict[str, object] | None = None) -> Inventory:
    """The inventory at ``path`` (a file, or names and connectors as pyinfra takes them), its settings checked.

    ``data`` overrides what the inventory says of its hosts.
    Raises UserError for a file that is not there or does not run, for no hosts, and with one line per mistake.
    """
    if path.endswith(".py") and not Path(path).is_file():
        raise UserError(f"{path}: there is no such inventory; give the path of one, see inventories/ for examples")
    try:
        with ctx_state.use(State()):  # pyinfra notes in the current state which file it executes
            inventory: Inventory = make_inventory(path, override_data=data, cwd=str(Path.cwd()))
    except UnexpectedExternalError as error:
        if isinstance(error.exception, UserError):
            raise error.exception from error
        raise UserError(f"{path}: {type(error.exception).__name__}: {error.exception}") from error
    except (CliError, PyinfraError) as error:
        raise UserError(f"{path}: {error}") from error
    except Exception as error:  # a file of the operator's can raise anything
        raise UserError(f"{path}: {type(error).__name__}: {error}") from error
    if not len(inventory):
        raise UserError(f"{path} names no host: give at least one list of hosts in it")
    mistakes = inventory_mistakes(inventory)
    if mistakes:
        raise UserError("\n".join(mistakes))
    return inventory


def run(inventory: Inventory, mode: Mode, options: Options, confirm: Callable[[Outcome], bool] | None = None) -> Result:
    """Connect, plan, and unless ``mode`` is PLAN execute; ``confirm`` sees the plan and may stop before that.

    Raises UserError, before any connection, if a pinned payload cannot be had.
    """
    if mode is Mode.APPLY:
        provide_payloads(inventory)
    state = State(check_for_changes=mode is Mode.PLAN or confirm is not None)
    setup_logging(logging.INFO)
    hub = gevent.get_hub()
    hub.NOT_ERROR = (*hub.NOT_ERROR, KeyboardInterrupt)  # Ctrl-C is the operator's word, not an error to trace
    with connected(state, inventory, options) as outcome:
        unreachable = connect(state)
        if state.active_hosts:
            state.set_stage(StateStage.Prepare)
            load_func(state, deploys.verify if mode is Mode.VERIFY else deploys.metis)
            if mode is not Mode.PLAN and (confirm is None or confirm(outcome)):
                _execute(state)
    return Result(outcome, unreachable)


@contextmanager
def connected(state: State, inventory: Inventory, options: Options) -> Iterator[Outcome]:
    """Make ``state`` pyinfra's current one over ``inventory``; connections that were made are closed at the end."""
    config = Config()
    config.SUDO = options.sudo
    if options.parallel:
        config.PARALLEL = options.parallel
    with ctx_state.use(state), ctx_config.use(config), ctx_inventory.use(inventory):
        state.cwd = str(Path.cwd())
        state.init(inventory, config, initial_limit=_limit(inventory, options.limit))
        try:
            yield outcome_of(state)
        finally:
            disconnect_all(state)


def _limit(inventory: Inventory, names: tuple[str, ...]) -> list[object] | None:
    if not names:
        return None
    known = {host.name: host for host in inventory}
    for name in names:
        if name not in known:
            raise UserError(f"--limit {name}: the inventory has no such host; it has {', '.join(sorted(known))}")
    return [known[name] for name in names]


def connect(state: State) -> tuple[str, ...]:
    """Connect to every host of ``state``, and name those that cannot be reached."""
    state.set_stage(StateStage.Connect)
    try:
        connect_all(state)
    except PyinfraError:
        if state.active_hosts:
            raise
    return tuple(sorted(host.name for host in state.failed_hosts))


def _execute(state: State) -> None:
    state.set_stage(StateStage.Execute)
    try:
        run_ops(state)
    except PyinfraError:
        if state.active_hosts:
            raise
