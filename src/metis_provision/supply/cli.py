"""The command ``metis-provision pin``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from metis_provision.catalog.releases import PayloadKind
from metis_provision.model.errors import UserError
from metis_provision.model.settings import Sha256, Version
from metis_provision.model.text import literal
from metis_provision.supply.pin import Place, Result, Row, Standing, Wish, pin_release
from metis_provision.supply.pins import PinnedBy
from metis_provision.supply.transfer import Progress, is_address, place_mistake

_KINDS = [kind.value for kind in PayloadKind]
_VOUCHED = {
    PinnedBy.CATALOGUE: "the checksum in the catalogue",
    PinnedBy.OPERATOR: "the checksum you gave",
    PinnedBy.FIRST_USE: "NOBODY BUT ITS SOURCE (trust on first use)",
}


@click.command()
@click.argument("version")
@click.option(
    "--from",
    "places",
    multiple=True,
    metavar="[PAYLOAD=]PLACE",
    help="Directory or address to look in instead of the published ones, or one payload's file; may be repeated.",
)
@click.option(
    "--only", multiple=True, type=click.Choice(_KINDS), help="Only this payload; may be given more than once."
)
@click.option("--sha256", "digests", multiple=True, metavar="PAYLOAD=SHA256", help="What a payload must hash to.")
@click.option(
    "--driver-version", metavar="V", help="Another driver of the release, or that of one not in the catalogue."
)
@click.option("--runtime-version", metavar="V", help="The runtime of a series, or of a release not in the catalogue.")
@click.option("--trust", is_flag=True, help="Pin what no checksum vouches for as it was sent today.")
@click.option("--pins", default="pins", show_default=True, metavar="DIR", help="Where pins files are (metis_pins).")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def pin(as_json: bool, **given: Any) -> None:  # noqa: ANN401
    """Fetch the payloads of release VERSION, show what they are, and write their pins to DIR/VERSION.yml.

    An inventory with metis_release = "VERSION" installs exactly what is pinned there. PAYLOAD is driver-source,
    driver-deb or runtime-deb. What no checksum is known for is fetched and shown, and pinned with --trust only.

    \b
    Examples:
      metis-provision pin 1.8.0 --from driver-source=axelera-driver-1.6.2.tar.gz --trust
      metis-provision pin 1.8.0 --only driver-deb --json
    """  # noqa: D301 - click knows a block by the backspace itself
    wish = _wish(given)
    with _progress() as progress_of:
        result = pin_release(wish, progress_of)
    click.echo(json.dumps(_document(result), indent=2) if as_json else "\n".join(_lines(result)))
    if not result.written:
        kinds = [row.kind.value for row in result.rows if row.standing is Standing.UNTRUSTED]
        raise UserError(
            f"nothing was pinned: {', '.join(kinds)} could be anything that its source, or somebody in between, sent; "
            "compare the sha256 with one from elsewhere and give it (--sha256), or add --trust"
        )


def _wish(given: dict[str, Any]) -> Wish:
    return Wish(
        release=_checked(Version, given["version"], "VERSION"),
        pins=given["pins"],
        only=tuple(PayloadKind(kind) for kind in dict.fromkeys(given["only"])),
        places=tuple(_place(word) for word in given["places"]),
        sha256=dict(_digest(word) for word in given["digests"]),
        driver_version=_optional(given["driver_version"], "--driver-version"),
        runtime_version=_optional(given["runtime_version"], "--runtime-version"),
        trust=given["trust"],
    )


def _place(word: str) -> Place:
    kind, separator, where = word.partition("=")
    place = Place(where, PayloadKind(kind)) if separator and kind in _KINDS else Place(word)
    mistake = place_mistake(place.where) if place.where else "a place is missing"
    if mistake is None and not is_address(place.where) and not Path(place.where).expanduser().exists():
        mistake = f"{place.where} does not exist"
    if mistake:
        raise UserError(f"--from: {mistake}")
    return place


def _digest(word: str) -> tuple[PayloadKind, str]:
    kind, separator, sha256 = word.partition("=")
    if not separator or kind not in _KINDS:
        raise UserError(f"--sha256: {word!r} is not of the form PAYLOAD=SHA256, PAYLOAD being {', '.join(_KINDS)}")
    return PayloadKind(kind), _checked(Sha256, sha256, f"--sha256 {kind}:")


def _optional(value: str | None, option: str) -> str | None:
    return None if value is None else _checked(Version, value, option)


def _checked(kind: Any, value: str, where: str) -> str:  # noqa: ANN401
    try:
        return str(TypeAdapter(kind).validate_python(value))
    except ValidationError as error:
        message = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise UserError(f"{where} {value!r} {message}") from error


@contextmanager
def _progress() -> Iterator[Callable[[str], Progress]]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:

        def of(file: str) -> Progress:
            task = bar.add_task(literal(file), total=None)
            return lambda done, total: bar.update(task, completed=done, total=total)

        yield of


def _lines(result: Result) -> Iterator[str]:
    for row in result.rows:
        yield f"{row.kind}: {literal(row.reason)}" if row.pin is None else f"{row.kind} {row.pin.version}"
        yield from _details(row)
    yield f"pinned in {result.file}" if result.written else f"{result.file} is as it was"


def _details(row: Row) -> Iterator[str]:
    if row.pin is None:
        return
    yield f"  file    {row.pin.file}, {row.pin.size} bytes"
    yield f"  sha256  {row.pin.sha256}"
    yield f"  from    {literal(row.pin.place)}"
    again = ", pinned before" if row.standing is Standing.ALREADY else ""
    yield f"  pinned by {_VOUCHED[row.pin.pinned_by]}{again}"


def _document(result: Result) -> dict[str, Any]:
    return {
        "release": result.release,
        "file": str(result.file),
        "written": result.written,
        "payloads": [
            {
                "payload": row.kind.value,
                "standing": row.standing.value,
                "reason": row.reason or None,
                **(row.pin.model_dump(mode="json", by_alias=True) if row.pin else {}),
            }
            for row in result.rows
        ],
    }
