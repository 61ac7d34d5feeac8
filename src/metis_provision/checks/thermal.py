"""Checks of the card's heat: its temperature against what it endures, and throttling as asked for."""

from __future__ import annotations

from collections.abc import Iterator

from metis_provision.checks.device import held_by
from metis_provision.checks.evidence import Evidence
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, skipped, unknown, warned
from metis_provision.model.survey import Section

checks = Checks()

THROTTLES_AT = 105
SHUTS_DOWN_AT = 120
"""Degrees Celsius, both in hardware (the vendor's documents)."""
_MARGIN = 10
_LIMITS = "axelera-limits"
_TOOLS = frozenset({"axlogdevice", "axcmd"})
_NO_READING = "Run axlogdevice, or axcmd --board-temp, on the host right after an inference, and report what it prints."


@checks.answers("METIS-404")
def throttling_as_asked(evidence: Evidence) -> Iterator[Outcome]:
    """Throttling in software, which a card forgets at every boot, was set since this one."""
    asked = evidence.settings.throttle
    if asked is None:
        yield skipped(
            f"no throttling in software is asked for (metis_throttle); the card throttles itself at {THROTTLES_AT} C"
        )
        return
    evidence.need(Section.SERVICES)
    state = (evidence.survey.services or {}).get(_LIMITS)
    if state is not None and state.ran and state.state != "failed":
        yield passed(f"{_LIMITS} has set throttling {asked} since boot.")
    else:
        yield failed(short="no throttling", asked=asked, service=_LIMITS, state=state.state if state else "not there")


@checks.answers("METIS-405")
def cool_enough(evidence: Evidence) -> Iterator[Outcome]:
    """The hottest sensor is well below what makes the card throttle or switch itself off."""
    sections, load = evidence.survey.sections, evidence.survey.load
    told = list(evidence.survey.temperatures) if Section.SELF_TEST in sections else []
    if load is not None and Section.LOAD in sections:
        told += load.temperatures
    degrees = max((one.hottest for one in told if one.hottest is not None), default=None)
    if degrees is None and evidence.holders:
        yield skipped(held_by(evidence), brief="busy")
    elif degrees is None and not _TOOLS & evidence.host.tools.keys():
        yield skipped("the runtime on this host brings no tool that tells the card's temperature")
    elif degrees is None:
        evidence.need(Section.SELF_TEST)
        yield unknown("the card did not tell its temperature", _NO_READING, required=False)
    elif degrees >= THROTTLES_AT:
        yield failed(short=f"{degrees:g} C", degrees=f"{degrees:g}", throttles=THROTTLES_AT, off=SHUTS_DOWN_AT)
    elif degrees >= THROTTLES_AT - _MARGIN:
        yield warned(short=f"{degrees:g} C", degrees=f"{degrees:g}", throttles=THROTTLES_AT, off=SHUTS_DOWN_AT)
    else:
        yield passed(f"{degrees:g} C at its hottest; the card throttles at {THROTTLES_AT} C.", brief=f"{degrees:g} C")
