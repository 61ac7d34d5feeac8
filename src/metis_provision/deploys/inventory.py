"""Refuses an inventory whose settings or payloads are wrong, before any host is changed."""

from __future__ import annotations

from pyinfra.api.inventory import Inventory

from metis_provision.catalog.carriers import carrier
from metis_provision.checks.waivers import waiver_mistakes
from metis_provision.desired.driver import option_mistakes
from metis_provision.model.errors import UserError
from metis_provision.model.settings import Settings
from metis_provision.supply.pinned import payload_mistakes
from metis_provision.supply.settings import resolved_settings


def inventory_mistakes(inventory: Inventory) -> list[str]:
    """Every mistake in the data of every host, each with the host's name; no two lines alike."""
    found: list[str] = []
    for host in inventory:
        try:
            settings = resolved_settings(host.data.dict(), where=host.name)
        except UserError as error:
            found += str(error).splitlines()
        else:
            found += [f"{host.name}: {mistake}" for mistake in _mistakes(settings)]
    return list(dict.fromkeys(found))


def _mistakes(settings: Settings) -> list[str]:
    try:
        carrier(settings.carrier)
    except UserError as error:
        return [str(error)]
    return [*waiver_mistakes(settings), *option_mistakes(settings), *payload_mistakes(settings)]
