"""The kernel driver: its DKMS tree, the options it is loaded with, and that it is loaded at boot."""

from __future__ import annotations

from collections.abc import Mapping

from metis_provision.catalog.carriers import carrier
from metis_provision.catalog.contract import contract
from metis_provision.desired import access, payloads
from metis_provision.desired.platforms import Platform
from metis_provision.desired.rendering import BANNER, render
from metis_provision.model.artifact import DkmsModule, DriverPackage, File
from metis_provision.model.settings import DriverSource, Settings

MODULES_LOAD = "/etc/modules-load.d/metis.conf"
PACKAGED_MODULES_LOAD = "/usr/lib/modules-load.d/metis.conf"
"""Where a package of ours has it: a file of the same name below /etc takes its place, says modules-load.d(5)."""
VENDOR_SERVICE = "axsystemserver.service"
"""While it is active, the pre-remove script of the vendor's package refuses (measured with 1.6.2)."""
MODPROBE = "/etc/modprobe.d/metis.conf"


def module(settings: Settings) -> str | None:
    """The module that should be in memory; None on a host without cards that only carries the files."""
    return str(contract().module) if settings.cards or settings.driver is not DriverSource.NONE else None


def files(settings: Settings) -> tuple[File, ...]:
    """Load at boot, and options if there are any."""
    name = module(settings)
    if name is None:
        return ()
    by_package = settings.driver is DriverSource.PACKAGE
    found = [] if by_package else [File(MODULES_LOAD, modules_load(name))]
    if options := module_options(settings):
        found.append(File(MODPROBE, render("etc/modprobe.d/metis.conf", module=name, options=sorted(options.items()))))
    return tuple(found)


def modules_load(name: str, banner: str = BANNER) -> bytes:
    """What has the module loaded at boot."""
    return render("etc/modules-load.d/metis.conf", module=name, banner=banner)


def module_options(settings: Settings) -> Mapping[str, int]:
    """Options the driver is loaded with: the carrier's, and the operator's over them."""
    return {**carrier(settings.carrier).module_options, **settings.module_options}


def dkms(settings: Settings) -> DkmsModule | None:
    """The DKMS tree for the pinned source, with a ``dkms.conf`` of ours: the vendor's tarball has none."""
    payload = payloads.driver(settings)
    if payload is None:
        return None
    packaged = settings.driver is not DriverSource.DKMS
    return DkmsModule(str(contract().module), payload.version, payload, dkms_conf(payload.version), packaged)


def package(settings: Settings, platform: Platform) -> DriverPackage | None:
    """The package that brings the driver, ours or the vendor's; None where the deploy puts the source in place."""
    payload = payloads.driver(settings)
    if payload is None or settings.driver is DriverSource.DKMS:
        return None
    by_vendor = settings.driver is DriverSource.VENDOR
    return DriverPackage(
        name=platform.driver_package,
        version=payload.version if by_vendor else platform.package_version(payload.version),
        payload=payload,
        carries=() if by_vendor else (access.UDEV_RULES, access.CARD_NAMES, MODULES_LOAD),
        refused_by=VENDOR_SERVICE if by_vendor else None,
    )


def dkms_conf(version: str, banner: str = BANNER) -> bytes:
    """How DKMS builds a version of the driver."""
    return render("usr/src/metis/dkms.conf", module=str(contract().module), version=version, banner=banner)


def option_mistakes(settings: Settings) -> list[str]:
    """Module options that the driver does not have."""
    known = {parameter.name for parameter in contract().parameters}
    return [
        f"metis_module_options: the driver has no option {name!r}; it has {', '.join(sorted(known))}"
        for name in settings.module_options
        if name not in known
    ]
