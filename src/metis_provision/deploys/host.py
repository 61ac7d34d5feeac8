"""The way of one host from a bare system to a verified card, and verification alone."""

from __future__ import annotations

import atexit
import sys
import threading
from weakref import WeakSet

import pyinfra
from pyinfra.api.deploy import deploy
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.state import State
from pyinfra.context import ctx_state

from metis_provision import operations
from metis_provision.deploys.inventory import inventory_mistakes, provide_payloads
from metis_provision.model.errors import UserError
from metis_provision.operations.outcome import Outcome, outcome_of
from metis_provision.report.terminal import Row, print_report

_begun: WeakSet[State] = WeakSet()
_beginning = threading.Lock()
"""Hosts are loaded side by side, and one waits for the network while the run begins."""


@deploy("Metis")
def metis() -> None:
    """Provision and verify."""
    _begin(ctx_state.get(), provisions=True)
    operations.preflight(name="Check that the host can be provisioned")
    operations.packages(name="Install what the driver's build needs")
    operations.access(name="Set up group, users, udev rules and module configuration")
    operations.driver(name="Build and install the driver")
    operations.past(name="Set aside what other tools and older hands left")
    operations.card(name="Load the driver and name the card's nodes")
    operations.boot(name="Set up what the carrier needs at boot")
    operations.initramfs(name="Build the initramfs of every kernel anew")
    operations.runtime(name="Install the runtime")
    operations.services(name="Start the card's services at every boot")
    operations.reboot(name="Reboot if needed and allowed")
    operations.verify(name="Verify the card")


@deploy("Metis runtime")
def runtime() -> None:
    """The runtime alone, with its model; driver, access and services are left as they are."""
    _begin(ctx_state.get(), provisions=True)
    operations.preflight(name="Check that the host can be provisioned")
    operations.runtime_packages(name="Install what the runtime needs")
    operations.runtime(name="Install the runtime")


@deploy("Verify Metis")
def verify() -> None:
    """Verify only; nothing is changed."""
    _begin(ctx_state.get(), provisions=False)
    operations.verify(name="Verify the card")


def _begin(state: State, provisions: bool) -> None:
    """Once per run: refuse bad input for all hosts before anything changes, have the payloads, promise the table."""
    with _beginning:
        if state not in _begun:
            _begin_run(state, provisions)


def _begin_run(state: State, provisions: bool) -> None:
    if _would_ask_nobody(state):
        raise PyinfraError("there is no terminal to ask on before hosts are changed: add -y, or --dry to look only")
    mistakes = inventory_mistakes(state.inventory)
    if mistakes:
        raise PyinfraError("\n" + "\n".join(mistakes))
    if provisions and pyinfra.is_cli and "--dry" not in sys.argv:
        _provide_payloads(state)
    _begun.add(state)
    outcome = outcome_of(state)
    if pyinfra.is_cli:
        atexit.register(_print_table, outcome)


def _provide_payloads(state: State) -> None:
    try:
        provide_payloads(state.inventory)
    except UserError as error:
        raise PyinfraError(f"\n{error}") from error


def _would_ask_nobody(state: State) -> bool:
    """Whether pyinfra will ask (unless told -y, --dry or --json) where nobody can answer; it would show a traceback."""
    asks = pyinfra.is_cli and state.check_for_changes and not {"--dry", "--json"} & set(sys.argv)
    return asks and not sys.stdin.isatty()


def _print_table(outcome: Outcome) -> None:
    if outcome.executed:
        print_report([Row(*row) for row in outcome.rows()], sys.stdout)
