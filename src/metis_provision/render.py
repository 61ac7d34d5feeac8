"""What a host would get, without a host: the tree of files for a distribution, init system and carrier."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from metis_provision.catalog.carriers import Carrier, carrier
from metis_provision.desired.platforms import DeviceManager, InitSystem, Platform, platforms
from metis_provision.desired.state import desired_state
from metis_provision.model.artifact import Concern, DesiredState
from metis_provision.model.errors import UserError
from metis_provision.model.settings import PREFIX, Settings
from metis_provision.model.survey import Boot, Host, InitramfsState, Kernel, Survey
from metis_provision.supply.runtime import signing_key
from metis_provision.supply.settings import resolved_settings

MANIFEST = "manifest.txt"
_NO_CLOCK_COMPLAINT = 1_900_000_000
_FILE, _PROGRAM = "0644", "0755"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as a host would get it."""

    path: str
    mode: str
    owner: str
    group: str
    concern: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Tree:
    """Everything of one rendering; ``obstacles`` say what keeps such a host from being set up."""

    title: str
    entries: tuple[Entry, ...]
    packages: tuple[str, ...]
    services: tuple[str, ...]
    obstacles: tuple[str, ...]

    @property
    def manifest(self) -> str:
        """Who owns what, one file a line, after what else a host gets."""
        rows = [(e.mode, e.owner, e.group, e.concern, e.path) for e in self.entries]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
        head = [
            f"# {self.title}",
            *(f"# in the way: {obstacle}" for obstacle in self.obstacles),
            f"# packages: {' '.join(self.packages) or 'none'}",
            f"# services: {' '.join(self.services) or 'none'}",
        ]
        lines = [
            " ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]) for row in rows
        ]
        return "\n".join([*head, *lines]) + "\n"

    def to_json(self) -> dict[str, Any]:
        """The manifest for a program, without the contents."""
        files = [{key: value for key, value in asdict(entry).items() if key != "content"} for entry in self.entries]
        return {
            "title": self.title,
            "files": files,
            "packages": list(self.packages),
            "services": list(self.services),
            "obstacles": list(self.obstacles),
        }


def tree(distro: str, init: str, carrier_name: str, data: Mapping[str, Any]) -> Tree:
    """Render for a bare host of ``distro``; ``data`` are ``metis_`` keys as an inventory has them. Raises UserError."""
    platform = _platform(distro)
    system = _init(platform, init)
    settings = _settings(carrier_name, data)
    state = desired_state(settings, bare_host(platform, system, carrier(carrier_name)), signing_key(settings))
    return Tree(
        title=f"{distro}, {system}, {carrier_name}",
        entries=tuple(sorted(_entries(state), key=lambda entry: entry.path)),
        packages=state.packages,
        services=tuple(service.name for service in state.services),
        obstacles=state.blockers,
    )


def bare_host(platform: Platform, init: InitSystem, board: Carrier) -> Survey:
    """The survey of a freshly installed host of this family on this board, as far as a plan asks for it."""
    example = platform.example
    architecture = board.machine or next(iter(example.kernels))
    if architecture not in example.kernels:
        raise UserError(f"{platform.name} has no kernel for {architecture}, which {board.title} needs")
    tools = {"udevadm": "/usr/bin/udevadm"} if platform.device_manager is DeviceManager.UDEV else {}
    host = Host(
        os_release=example.os_release,
        rpi_issue=example.rpi_issue,
        architecture=architecture,
        model=f"{board.models[0]} Rev 1.0" if board.models else None,
        init=init,
        epoch=_NO_CLOCK_COMPLAINT,
        uid=0,
        tools=tools,
    )
    return Survey(
        host=host,
        kernels=(Kernel(example.kernels[architecture], running=True, headers=False),),
        boot=_boot(example.config_txt, board),
        initramfs=InitramfsState(generator=platform.generator),
    )


def write(rendered: Tree, out: Path) -> None:
    """Write files and manifest below ``out``, which must not hold anything yet. Raises UserError."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not empty: render into a new directory")
    try:
        for entry in rendered.entries:
            target = out / entry.path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(entry.content)
            target.chmod(int(entry.mode, 8))
        out.mkdir(parents=True, exist_ok=True)
        (out / MANIFEST).write_text(rendered.manifest, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{error.filename or out} could not be written: {error.strerror}") from error


@click.command()
@click.option("--distro", required=True, metavar="D", help="Distribution: debian, ubuntu, raspios, fedora, arch, ...")
@click.option("--init", required=True, metavar="I", help="Init system: systemd or openrc.")
@click.option("--carrier", "carrier_name", default="generic", metavar="C", help="Board the card sits on.")
@click.option(
    "--set", "given", multiple=True, metavar="KEY=VALUE", help="A metis_ setting; may be given more than once."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A new or empty directory.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def render(distro: str, init: str, carrier_name: str, given: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Write the files a host would get into DIR, without a host.

    No driver is rendered unless metis_driver_version, _source and _sha256 are set.

    \b
    Example: metis-provision render --distro raspios --init systemd --carrier exaviz-cruiser --out tree
    """  # noqa: D301 - click knows a block by the backspace itself
    rendered = tree(distro, init, carrier_name, _assignments(given))
    write(rendered, out)
    click.echo(json.dumps(rendered.to_json(), indent=2) if as_json else rendered.manifest, nl=as_json)


def _platform(name: str) -> Platform:
    known = {platform.name: platform for platform in platforms()}
    if name not in known:
        raise UserError(f"--distro: {name!r} is not a distribution this version knows; {_hint(name, known)}")
    return known[name]


def _init(platform: Platform, name: str) -> InitSystem:
    known = {init.value: init for init in InitSystem}
    if name not in known:
        raise UserError(f"--init: {name!r} is not an init system this version knows; {_hint(name, known)}")
    if known[name] not in platform.inits:
        raise UserError(f"--init: {platform.name} runs {' or '.join(platform.inits)}, not {name}")
    return known[name]


def _hint(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}"


def _settings(carrier_name: str, data: Mapping[str, Any]) -> Settings:
    pinned = any(key.startswith(f"{PREFIX}driver") for key in data)
    defaults = {} if pinned else {f"{PREFIX}driver": "none"}
    return resolved_settings({**defaults, f"{PREFIX}carrier": carrier_name, **data}, where="render")


def _assignments(given: tuple[str, ...]) -> dict[str, Any]:
    found = {}
    for assignment in given:
        key, separator, value = assignment.partition("=")
        if not separator or not key.startswith(PREFIX):
            raise UserError(f"--set: {assignment!r} is not of the form {PREFIX}key=value")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"--set: the value of {key} is not YAML: {value!r}") from error
    return found


def _boot(path: str, board: Carrier) -> Boot | None:
    if board.boot is None:
        return None
    return Boot(
        config_path=path,
        config="",
        mount_point=path.rpartition("/")[0],
        file_system="vfat",
        read_only=False,
        overlays=tuple(overlay.name for overlay in board.boot.overlays),
    )


def _entries(state: DesiredState) -> Iterable[Entry]:
    for file in state.files:
        yield Entry(file.path, file.mode, file.owner, file.group, file.concern, file.content)
    if state.dkms is not None and not state.dkms.packaged:
        for path, content in ((state.dkms.conf_path, state.dkms.conf), (state.dkms.mark_path, state.dkms.mark)):
            yield Entry(path, _FILE, "root", "root", Concern.DRIVER, content)
    if state.boot is not None:
        # A FAT file system knows neither owner nor mode; this is what its mount shows.
        yield Entry(state.boot.path, _PROGRAM, "root", "root", Concern.BOOT, state.boot.content)
