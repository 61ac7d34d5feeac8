"""The kernel driver: its DKMS tree, the options it is loaded with, and that it is loaded at boot."""

from __future__ import annotations

from collections.abc import Mapping

from metis_provision.catalog.carriers import carrier
from metis_provision.catalog.contract import contract
from metis_provision.desired import payloads
from metis_provision.desired.rendering import render
from metis_provision.model.artifact import DkmsModule, File
from metis_provision.model.settings import DriverSource, Settings

MODULES_LOAD = "/etc/modules-load.d/metis.conf"
MODPROBE = "/etc/modprobe.d/metis.conf"


def module(settings: Settings) -> str | None:
    """The module that should be in memory; None on a host without cards that only carries the files."""
    return str(contract().module) if settings.cards or settings.driver is not DriverSource.NONE else None


def files(settings: Settings) -> tuple[File, ...]:
    """Load at boot, and options if there are any."""
    name = module(settings)
    if name is None:
        return ()
    found = [File(MODULES_LOAD, render("etc/modules-load.d/metis.conf", module=name))]
    if options := module_options(settings):
        found.append(File(MODPROBE, render("etc/modprobe.d/metis.conf", module=name, options=sorted(options.items()))))
    return tuple(found)


def module_options(settings: Settings) -> Mapping[str, int]:
    """Options the driver is loaded with: the carrier's, and the operator's over them."""
    return {**carrier(settings.carrier).module_options, **settings.module_options}


def dkms(settings: Settings) -> DkmsModule | None:
    """The DKMS tree for the pinned source, with a ``dkms.conf`` of ours: the vendor's tarball has none."""
    payload = payloads.driver(settings)
    if payload is None:
        return None
    name = str(contract().module)
    conf = render("usr/src/metis/dkms.conf", module=name, version=payload.version)
    return DkmsModule(name, payload.version, payload, conf)


def option_mistakes(settings: Settings) -> list[str]:
    """Module options that the driver does not have."""
    known = {parameter.name for parameter in contract().parameters}
    return [
        f"metis_module_options: the driver has no option {name!r}; it has {', '.join(sorted(known))}"
        for name in settings.module_options
        if name not in known
    ]
