"""Fleets of made-up hosts with real verdicts: every finding in them comes from the checks, over broken evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

from builders import (
    CARD,
    HOLDER,
    NODE,
    OTHER_KERNEL,
    PORT,
    attempts,
    card,
    evidence,
    kernel,
    node,
    port,
    settings,
    survey,
)

from metis_provision.checks.evaluate import evaluate
from metis_provision.checks.evidence import Evidence
from metis_provision.model.survey import Attempt, CommandResult, Driver
from metis_provision.report.document import Report, report_of
from metis_provision.report.rows import Row

TODAY = date(2026, 11, 21)
NOW = datetime(2026, 11, 21, 6, 30, tzinfo=UTC)
YESTERDAY = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)

_NO_ANSWER = "AXR_ERROR_CONNECTION_ERROR: No target device found in lspci"


def _waiver(code: str, until: str, reason: str) -> dict[str, dict[str, str]]:
    return {code: {"reason": reason, "until": until}}


def _without_card(**changes: object) -> Evidence:
    gone = {
        "pci": (port(),),
        "driver": Driver(),
        "nodes": (),
        "attempts": (Attempt("member", "/dev/dma_heap/system", "ok"),),
        "devices": CommandResult("axdevice", 1, (_NO_ANSWER,)),
        "self_test": CommandResult("axrunmodel m", 1, (_NO_ANSWER,)),
    }
    return evidence(**{**gone, **changes})


def _narrow() -> Evidence:
    return evidence(pci=(port(), card(current_width=1)))


KINDS: Mapping[str, Callable[[], Evidence]] = {
    "healthy": evidence,
    "small": lambda: evidence(pci=(port(max_width=1, current_width=1), card(current_width=1))),
    "dead": lambda: _without_card(
        pci=(port(), card(vendor="16c3", device="abcd", class_code="ff0000", driver=None)),
    ),
    "off the bus": lambda: _without_card(pci=(port(), card(config_reads_ff=True))),
    "no card": _without_card,
    "hung": lambda: evidence(devices=CommandResult("axdevice", 124, ())),
    "narrow": _narrow,
    "slow": lambda: evidence(pci=(port(current_speed=2.5), card(current_speed=2.5))),
    "open": lambda: evidence(nodes=(node(mode="0666"),)),
    "locked": lambda: evidence(attempts=attempts(frigate="denied")),
    "wrong": lambda: evidence(
        self_test=CommandResult("axrunmodel m", 1, ("Answer check: wrong at byte 17: 0x3f instead of 0x3e",))
    ),
    "next boot": lambda: evidence(kernels=(kernel(), kernel(OTHER_KERNEL, module_path=None, headers=False))),
    "busy": lambda: evidence(nodes=(node(holders=(HOLDER,)),), devices=None, self_test=None),
    "no model": lambda: replace(evidence(survey(self_test=None)), settings=settings(self_test_model=None)),
    "waived": lambda: replace(
        _narrow(),
        settings=settings(waivers=_waiver("METIS-120", "2026-12-31", "new riser on order, ticket 4711")),
    ),
    "expired": lambda: replace(
        _narrow(),
        settings=settings(waivers=_waiver("METIS-120", "2026-11-15", "new riser on order, ticket 4690")),
    ),
    "unused": lambda: replace(
        evidence(), settings=settings(waivers=_waiver("METIS-502", "2027-01-31", "card was to be exchanged"))
    ),
}


def rows(hosts: Mapping[str, str], today: date = TODAY) -> list[Row]:
    """Return a row for each host name, by the kind of host it is; ``away`` is one without a verdict."""
    made = {kind: KINDS[kind]() for kind in set(hosts.values()) - {"away"}}
    return [
        Row(host, None, "unreachable") if kind == "away" else Row(host, evaluate(host, made[kind], today))
        for host, kind in hosts.items()
    ]


SITE = {
    **{f"ams-gate-{number:02}": "healthy" for number in range(1, 15)},
    **{f"pi-yard-{number:02}": "small" for number in range(1, 9)},
    "ams-gate-04": "dead",
    "ams-gate-09": "narrow",
    "ams-gate-11": "next boot",
    "ams-gate-12": "waived",
    "ams-gate-13": "away",
    "pi-yard-03": "hung",
    "pi-yard-05": "open",
    "pi-yard-07": "busy",
}
BEFORE = {**SITE, "ams-gate-04": "healthy", "ams-gate-13": "healthy", "ams-gate-11": "healthy", "ams-gate-02": "narrow"}


def site() -> tuple[Report, Report]:
    """Return the report of a small site, and the one of the day before."""
    return report_of(rows(SITE), NOW), report_of(rows(BEFORE), YESTERDAY)


def fleet(size: int) -> Report:
    """Return the report of ``size`` hosts, one in eight of them in some trouble."""
    kinds = [kind for kind in (*KINDS, "away") if kind not in {"healthy", "small"}]
    hosts = {
        f"edge-{number:04}": kinds[number // 8 % len(kinds)] if number % 8 == 0 else ("healthy", "small")[number % 2]
        for number in range(size)
    }
    return report_of(rows(hosts), NOW)


__all__ = ["CARD", "KINDS", "NODE", "NOW", "PORT", "TODAY", "YESTERDAY", "fleet", "rows", "site"]
