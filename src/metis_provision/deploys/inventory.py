"""What an inventory asks for: refused where it is wrong, its payloads fetched, before any host is changed."""

from __future__ import annotations

from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory

from metis_provision.catalog.cards import cards
from metis_provision.catalog.carriers import carrier
from metis_provision.checks.waivers import waiver_mistakes
from metis_provision.cores.plan import self_test_plan
from metis_provision.desired.driver import option_mistakes
from metis_provision.model.errors import ExitCode, UserError
from metis_provision.model.settings import Settings
from metis_provision.supply.checksums import payload_mistakes
from metis_provision.supply.pins import provide
from metis_provision.supply.runtime import runtime_mistakes
from metis_provision.supply.settings import pinned_payloads, resolved_settings

_NAMED = 4
"""Hosts that a mistake which many make is told with."""


def inventory_mistakes(inventory: Inventory) -> list[str]:
    """Every mistake in the data of every host, one line each, with the hosts that make it."""
    makers: dict[str, list[str]] = {}
    for host in inventory:
        for mistake in _host_mistakes(host):
            makers.setdefault(mistake, []).append(host.name)
    return [f"{_listed(names)}: {mistake}" for mistake, names in makers.items()]


def _host_mistakes(host: Host) -> list[str]:
    try:
        settings = resolved_settings(host.data.dict(), where=host.name)
    except UserError as error:
        return [line.removeprefix(f"{host.name}: ") for line in str(error).splitlines()]
    return _mistakes(settings)


def _listed(names: list[str]) -> str:
    """Hosts as a line can bear them: all of a few, else the first and how many more."""
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{', '.join(names[: _NAMED - 1])} and {len(names) - _NAMED + 1} more"


def provide_payloads(inventory: Inventory) -> None:
    """Have every pinned payload on the controller, fetched if the cache lacks it. UserError with a line for each."""
    wanted = dict.fromkeys(pin for host in inventory for pin in pinned_payloads(host.data.dict()))
    missing = []
    for pin in wanted:
        try:
            provide(pin)
        except UserError as error:
            missing.append(str(error))
    if missing:
        raise UserError("\n".join(dict.fromkeys(missing)), ExitCode.FAILED)


def _mistakes(settings: Settings) -> list[str]:
    try:
        carrier(settings.carrier)
        self_test_plan(settings, cards())
    except UserError as error:
        return [str(error)]
    return [
        *waiver_mistakes(settings),
        *option_mistakes(settings),
        *payload_mistakes(settings),
        *runtime_mistakes(settings),
    ]
