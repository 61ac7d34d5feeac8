"""The services of a host and the programs they run, for systemd and OpenRC alike."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from metis_provision.catalog.cards import cards
from metis_provision.catalog.carriers import OverlayTime, carrier
from metis_provision.catalog.contract import IdKind, contract
from metis_provision.desired.preflight import EARLIEST_CLOCK
from metis_provision.desired.rendering import render
from metis_provision.model.artifact import Concern, File, Needs, Service, Validator
from metis_provision.model.settings import Settings
from metis_provision.model.survey import PciFunction, Survey

SYSTEMD_UNITS = "/etc/systemd/system"
OPENRC_SCRIPTS = "/etc/init.d"
OVERLAY_DIRECTORIES = ("/lib/firmware/overlays", "/boot/firmware/overlays", "/boot/overlays")
"""Where distributions and the Cruiser documents keep overlays."""

STATUS = "/usr/bin/ax_status"
STATS_LOGGER = "/usr/bin/axelera-stats-logger"
_PRIVATE = "/usr/lib/metis-provision"
CARD_FUNCTIONS = f"{_PRIVATE}/cards.sh"
RESCAN = f"{_PRIVATE}/rescan"
LIMITS = f"{_PRIVATE}/limits"
OVERLAYS = f"{_PRIVATE}/overlays"
CARD_ARRIVED = f"{_PRIVATE}/card-arrived"
ARRIVAL_RULES = "/etc/udev/rules.d/99-axelera-services.rules"

TURN = "/run/metis-provision/asking"
"""Locked by whoever of ours asks a card: the survey waits for it, or it would take the watchdog for a holder."""

_LOADER, _RESCAN, _LIMITS, _WATCHDOG = "axelera", "axelera-rescan", "axelera-limits", "axelera-watchdog"
_OPENRC_LOADER = "axelera-slammer"
_OPENRC_STATUS = "ax_status"

PATHS = (
    *(STATUS, STATS_LOGGER, CARD_FUNCTIONS, RESCAN, LIMITS, OVERLAYS, CARD_ARRIVED, ARRIVAL_RULES),
    *(f"{SYSTEMD_UNITS}/{name}.service" for name in (_LOADER, _RESCAN, _LIMITS, _WATCHDOG)),
    *(f"{OPENRC_SCRIPTS}/{name}" for name in (_OPENRC_LOADER, _RESCAN, _LIMITS, _WATCHDOG, _OPENRC_STATUS)),
)
"""Every path this concern may write, on whichever host."""


def services(settings: Settings, survey: Survey) -> tuple[Service, ...]:
    """The services of this host in the order of their start; none where neither systemd nor OpenRC runs."""
    return tuple(_services(settings, survey))


def files(settings: Settings, survey: Survey) -> tuple[File, ...]:
    """Programs, and what makes services of them for the init system of this host."""
    wanted = services(settings, survey)
    if not settings.cards and not wanted:
        return ()
    found = [_program(CARD_FUNCTIONS, mode="0644", **_card_values(settings)), _program(STATUS), _program(STATS_LOGGER)]
    programs: dict[str, dict[str, Any]] = {
        RESCAN: {"clock_floor": int(EARLIEST_CLOCK.timestamp()), "module": contract().module},
        LIMITS: {"stable": _stable()},
        OVERLAYS: {"directories": " ".join(OVERLAY_DIRECTORIES)},
    }
    used = {path for service in wanted for path in service.paths}
    found += [_program(path, **values) for path, values in programs.items() if path in used]
    found += [_definition(settings, service) for service in wanted]
    if survey.host.init == "openrc":
        found += _openrc_extras(wanted)
    return tuple(found)


def service_of(path: str) -> str | None:
    """The service that the file at ``path`` defines, None if it defines none that is started at boot."""
    if path.startswith(f"{SYSTEMD_UNITS}/"):
        return PurePosixPath(path).name.removesuffix(".service")
    if path.startswith(f"{OPENRC_SCRIPTS}/") and path != f"{OPENRC_SCRIPTS}/{_OPENRC_STATUS}":
        return PurePosixPath(path).name
    return None


def _can_run(needs: Needs, survey: Survey) -> bool:
    if needs is Needs.NOTHING:
        return True
    if needs is Needs.CARD_ON_BUS:
        return survey.host.container is None and any(_may_be_rescanned(function) for function in survey.pci or ())
    first = f"/dev/{_stable()}0"
    return any(first in node.links for node in survey.nodes or ())


def _may_be_rescanned(function: PciFunction) -> bool:
    known = contract().identify(int(function.vendor, 16), int(function.device, 16), int(function.class_code, 16))
    return known is not None and known.kind in {IdKind.METIS, IdKind.EMULATOR, IdKind.DOCUMENTED}


def overlay_mistakes(settings: Settings, survey: Survey) -> Iterator[str]:
    """Overlays that the settings name and that are nowhere on the host, one sentence each."""
    for name in settings.runtime_overlays:
        places = _overlay_paths(name)
        states = [survey.files.get(path) for path in places]
        if all(state is not None and state.kind == "absent" for state in states):
            yield f"metis_runtime_overlays names {name}, and there is no {' or '.join(places)}: put the file there"


def paths(settings: Settings) -> tuple[str, ...]:
    """What a survey must look at: everything that may be written, and the files of the overlays asked for."""
    return (*PATHS, *(path for name in settings.runtime_overlays for path in _overlay_paths(name)))


def _overlay_paths(name: str) -> tuple[str, ...]:
    return (name,) if name.startswith("/") else tuple(f"{place}/{name}.dtbo" for place in OVERLAY_DIRECTORIES)


def _services(settings: Settings, survey: Survey) -> Iterator[Service]:
    init = survey.host.init
    if init not in {"systemd", "openrc"}:
        return

    def service(name: str, needs: Needs, *programs: str, lasting: bool = True) -> Service:
        return Service(name, (_definition_path(init, name), *programs), needs, _can_run(needs, survey), lasting)

    if _overlays(settings):
        yield service(_OPENRC_LOADER if init == "openrc" else _LOADER, Needs.NOTHING, OVERLAYS)
    if _wants_rescan(settings):
        yield service(_RESCAN, Needs.CARD_ON_BUS, RESCAN, CARD_FUNCTIONS)
    if _limits(settings):
        yield service(_LIMITS, Needs.CARD_NODE, LIMITS, CARD_FUNCTIONS, lasting=init == "openrc")
    if _wants_watchdog(settings):
        yield service(_WATCHDOG, Needs.CARD_NODE, STATS_LOGGER, CARD_FUNCTIONS)


def _wants_rescan(settings: Settings) -> bool:
    by_default = bool(settings.max_payload) or carrier(settings.carrier).rescan
    return by_default if settings.rescan is None else settings.rescan


def _wants_watchdog(settings: Settings) -> bool:
    return settings.cards > 0 if settings.watchdog is None else settings.watchdog


def _overlays(settings: Settings) -> tuple[str, ...]:
    """Arguments of the overlay loader: the carrier's, unless the settings replace them, then the host's own."""
    needs = carrier(settings.carrier).boot
    of_carrier = needs.overlays if needs is not None and settings.overlays is None else ()
    at_runtime = [overlay for overlay in of_carrier if overlay.at is OverlayTime.RUNTIME]
    arguments = [word for o in at_runtime for word in ((o.name,) if o.needed else ("--if-there", o.name))]
    return (*arguments, *settings.runtime_overlays)


def _limits(settings: Settings) -> tuple[str, ...]:
    options = (("--clock", settings.clock_mhz), ("--mvm", settings.mvm_limit), ("--throttle", settings.throttle))
    return tuple(word for option, value in options if value is not None for word in (option, str(value)))


def _rescan(settings: Settings) -> tuple[str, ...]:
    payload = carrier(settings.carrier).max_payload if settings.max_payload is None else settings.max_payload
    return ("--max-payload", str(payload)) if payload else ()


def _definition_path(init: str, name: str) -> str:
    return f"{OPENRC_SCRIPTS}/{name}" if init == "openrc" else f"{SYSTEMD_UNITS}/{name}.service"


def _definition(settings: Settings, service: Service) -> File:
    path, program, *_ = service.paths
    arguments = {
        OVERLAYS: _overlays(settings),
        RESCAN: _rescan(settings),
        LIMITS: _limits(settings),
        STATS_LOGGER: (),
    }[program]
    joined = shlex.join(arguments)
    values = {
        "command": program,
        "arguments": joined if program == OVERLAYS else f" {joined}" if joined else "",
        "node": f"/dev/{_stable()}0",
        "device": f"dev-{_stable()}0.device",
    }
    if path.startswith(OPENRC_SCRIPTS):
        return _program(path, **values)
    return File(path, render(path.lstrip("/"), **values), concern=Concern.SERVICES)


def _openrc_extras(wanted: tuple[Service, ...]) -> list[File]:
    """The status command, and what starts a service when a card arrives late."""
    found = [_program(f"{OPENRC_SCRIPTS}/{_OPENRC_STATUS}", command=STATUS, node=f"/dev/{_stable()}0")]
    waiting = [service.name for service in wanted if service.needs is not Needs.NOTHING]
    if waiting:
        vendor = next(entry for entry in contract().ids if entry.kind is IdKind.METIS).vendor_hex
        found.append(_program(CARD_ARRIVED, services=" ".join(waiting)))
        found.append(
            File(
                ARRIVAL_RULES,
                render(
                    ARRIVAL_RULES.lstrip("/"),
                    classes=contract().device_classes,
                    vendor=f"0x{vendor}",
                    command=CARD_ARRIVED,
                ),
                validator=Validator.UDEV_RULES,
                concern=Concern.SERVICES,
            )
        )
    return found


def _card_values(settings: Settings) -> dict[str, Any]:
    entries = contract().ids
    own = {IdKind.METIS, IdKind.EMULATOR}
    log = contract().log
    return {
        "ids": [_pattern(entry.vendor_hex, entry.device_hex) for entry in entries if entry.kind in own],
        "guarded_ids": [_pattern(e.vendor_hex, e.device_hex) for e in entries if e.kind is IdKind.DOCUMENTED],
        "unstarted_ids": [_pattern(e.vendor_hex, e.device_hex) for e in entries if e.kind is IdKind.UNSTARTED],
        "class_guard": f"0x{contract().class_guard.value:04x}",
        "driver": contract().pci_driver,
        "vmsi_up": log.line("vmsi-configured").pattern,
        "vmsi_down": log.line("vmsi-missing").pattern,
        "module_version": contract().sysfs.module_version,
        "loaded_version": contract().sysfs.loaded_version,
        "stable": _stable(),
        "turn": TURN,
        "clock": settings.clock_mhz or max(card.clock_mhz for card in cards().values()),
        "mvm": settings.mvm_limit or 100,
    }


def _pattern(vendor: str, device: str | None) -> str:
    return f"0x{vendor}:{'*' if device is None else f'0x{device}'}"


def _stable() -> str:
    """The stable links' name without its number."""
    return contract().nodes.stable.template.partition("{")[0]


def _program(path: str, mode: str = "0755", **values: Any) -> File:  # noqa: ANN401
    content = render(path.lstrip("/"), cards=CARD_FUNCTIONS, **values)
    return File(path, content, mode=mode, validator=Validator.SHELL, concern=Concern.SERVICES)
