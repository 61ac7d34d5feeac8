"""The command ``metis-provision package``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from metis_provision.desired import payloads
from metis_provision.model.artifact import Payload
from metis_provision.model.errors import UserError
from metis_provision.model.settings import DriverSource, Settings, settings_from
from metis_provision.packaging.build import Built, package, sha256_of
from metis_provision.packaging.recipe import RELEASE, Format
from metis_provision.supply.pins import Pin, provide
from metis_provision.supply.settings import pinned_payloads, resolved_settings


@click.command("package")
@click.option("--format", "kind", required=True, metavar="F", help=f"One of {', '.join(Format)}.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Where it is put.")
@click.option("--source", metavar="FILE", help="The driver's source, a .tar.gz on this machine.")
@click.option("--sha256", metavar="HEX", help="What the source must hash to.")
@click.option("--version", metavar="V", help="The source's version.")
@click.option("--inventory", metavar="INVENTORY", help="Take all three from the hosts of an inventory instead.")
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def package_command(
    kind: str,
    out: Path,
    source: str | None,
    sha256: str | None,
    version: str | None,
    inventory: str | None,
    as_json: bool,
) -> None:
    r"""Make the driver's package for a family of distributions, from the pinned source.

    The recipe is written to DIR/F. The package itself is made where the distribution's own tools are installed, and
    printed with the sha256 to pin it by; where they are not, the recipe is what there is, and it says so.

    \b
    Example:
      metis-provision package --format deb --out dist --source axelera-driver-1.6.2.tar.gz --version 1.6.2 --sha256 ...
    """
    if kind not in list(Format):
        raise UserError(f"--format: {kind!r} is no package this version makes; there are {', '.join(Format)}")
    payload = _from_inventory(inventory) if inventory else _from_options(source, sha256, version)
    built = package(Format(kind), payload, out)
    if as_json:
        click.echo(json.dumps(_document(built, payload), indent=2))
        return
    for path in built.packages:
        click.echo(f"{sha256_of(path)}  {path}")
    if built.missing:
        click.echo(built.directory)
        click.echo(f"metis-provision: {built.missing}", err=True)


def _from_options(source: str | None, sha256: str | None, version: str | None) -> Payload:
    """The three options, judged as an inventory's settings are."""
    given = {"driver_source": source, "driver_sha256": sha256, "driver_version": version}
    lacking = [f"--{name.removeprefix('driver_')}" for name, value in given.items() if value is None]
    if lacking:
        raise UserError(f"{', '.join(lacking)} is missing: give source, sha256 and version, or --inventory")
    settings = settings_from({f"metis_{name}": value for name, value in given.items()}, where="package")
    return _driver(settings, "package")


def _from_inventory(path: str) -> Payload:
    """The one source that all hosts with a driver name; fetched if it is pinned and not here yet."""
    from metis_provision.fleet.run import load

    found: dict[Payload, str] = {}
    pins: dict[str, Pin] = {}
    for host in load(path):
        data = host.data.dict()
        settings = resolved_settings(data, where=host.name)
        payload = payloads.driver(settings)
        pins |= {str(pin.path): pin for pin in pinned_payloads(data)}
        if payload is not None and settings.driver is DriverSource.DKMS:
            found.setdefault(payload, host.name)
    if len(found) > 1:
        told = "; ".join(f"{name} has {payload.source} ({payload.version})" for payload, name in found.items())
        raise UserError(f"{path}: its hosts do not agree on one driver: {told}; give --source, --sha256 and --version")
    if not found:
        raise UserError(f"{path}: none of its hosts has a driver source; give --source, --sha256 and --version")
    (payload,) = found
    if payload.source in pins:
        provide(pins[payload.source])
    return payload


def _driver(settings: Settings, where: str) -> Payload:
    payload = payloads.driver(settings)
    if payload is None:
        raise UserError(f"{where}: there is no driver source")
    return payload


def _document(built: Built, payload: Payload) -> dict[str, object]:
    return {
        "format": built.recipe.format,
        "package": built.recipe.package,
        "version": built.recipe.version,
        "release": RELEASE,
        "source": {"path": payload.source, "version": payload.version, "sha256": payload.sha256},
        "recipe": str(built.directory),
        "packages": [{"path": str(path), "sha256": sha256_of(path)} for path in built.packages],
        "missing": built.missing,
    }
