"""The report as a text file for the node exporter's textfile collector of Prometheus."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, time
from enum import IntEnum

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from metis_provision.model.errors import UserError
from metis_provision.model.text import literal
from metis_provision.model.verdict import Answer, Standing, WaiverState
from metis_provision.report.document import FindingEntry, HostEntry, Report

LAST_SUCCESS = "metis_last_success_timestamp_seconds"


class State(IntEnum):
    """A check's answer as a number that grows with the trouble."""

    PASS = 0
    SKIP = 1
    WAIVED = 2
    WARN = 3
    UNKNOWN = 4
    FAIL = 5


_STATES = {
    Answer.PASS: State.PASS,
    Answer.SKIP: State.SKIP,
    Answer.WARN: State.WARN,
    Answer.UNKNOWN: State.UNKNOWN,
    Answer.FAIL: State.FAIL,
}
_STANDINGS = (*(standing.value for standing in Standing), "no-verdict")


def last_successes(text: str, where: str) -> dict[str, float]:
    """When each host was last as wanted (seconds since 1970), from a file written earlier.

    UserError naming ``where`` for a file that is not in Prometheus' format: overwriting it could lose what it holds.
    """
    try:
        return {
            sample.labels["host"]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == LAST_SUCCESS
        }
    except (ValueError, KeyError, IndexError) as error:
        raise UserError(
            f"{where} is not in Prometheus' text format ({error}); its times of last success would be lost: "
            "name another file, or remove it"
        ) from error


def prometheus_text(report: Report, earlier: dict[str, float], elsewhere: Collection[str] = ()) -> str:
    """Return the metrics of a report.

    ``earlier`` are the last successes known before; those of hosts in ``elsewhere``, which this run did not look at,
    are kept too. A host that is in neither is forgotten.
    """
    registry = CollectorRegistry()
    _standings(registry, report)
    _checks(registry, report)
    _waivers(registry, report)
    when = report.generated.timestamp()
    seen = _gauge(registry, "metis_last_verification_timestamp_seconds", "When a host was last looked at.")
    success = _gauge(registry, LAST_SUCCESS, "When a host was last as wanted.")
    for host in report.hosts:
        name = literal(host.host)
        if host.standing:
            seen.labels(name).set(when)
        if host.ok:
            success.labels(name).set(when)
        elif name in earlier:
            success.labels(name).set(earlier[name])
    for name in {literal(name) for name in elsewhere} & earlier.keys():
        success.labels(name).set(earlier[name])
    return str(generate_latest(registry), "utf-8")


def _gauge(registry: CollectorRegistry, name: str, told: str, *labels: str) -> Gauge:
    return Gauge(name, told, ["host", *labels], registry=registry)


def _standings(registry: CollectorRegistry, report: Report) -> None:
    ok = _gauge(registry, "metis_host_ok", "1 for a host that is as wanted (green or warned), 0 for any other.")
    standing = _gauge(registry, "metis_host_standing", "1 for the standing that a host has.", "standing")
    told = "1 for the standing that a host has at its next boot; none where nothing was asked about it."
    following = _gauge(registry, "metis_host_next_boot_standing", told, "standing")
    cycle = _gauge(registry, "metis_host_power_cycle", "1 where taking the power away may be all that helps.")
    for host in report.hosts:
        name = literal(host.host)
        ok.labels(name).set(host.ok)
        cycle.labels(name).set(any(finding.power_cycle and not finding.waived for finding in host.findings))
        for state in Standing if host.next_boot is not None else ():
            following.labels(name, state.value).set(state is host.next_boot)
        for value in _STANDINGS:
            standing.labels(name, value).set(value == (host.standing or "no-verdict"))


def _checks(registry: CollectorRegistry, report: Report) -> None:
    numbers = ", ".join(f"{state} {state.name.lower()}" for state in State)
    told = f"Worst answer of a check over its subjects: {numbers}."
    check = _gauge(registry, "metis_check_state", told, "code", "required")
    for host in report.hosts:
        worst: dict[tuple[str, bool], State] = {}
        for finding in host.findings:
            key = (finding.code, finding.required)
            worst[key] = max(worst.get(key, State.PASS), _state(finding))
        for (code, required), state in worst.items():
            check.labels(literal(host.host), code, str(required).lower()).set(state)


def _state(finding: FindingEntry) -> State:
    return State.WAIVED if finding.waived else _STATES[finding.answer]


def _waivers(registry: CollectorRegistry, report: Report) -> None:
    told = "When a waiver ends, or ended (the end of its last day, UTC)."
    until = _gauge(registry, "metis_waiver_end_timestamp_seconds", told, "code", "state")
    for host, code, state, end in _ends(report.hosts):
        until.labels(literal(host), code, state).set(end)


def _ends(hosts: tuple[HostEntry, ...]) -> Iterator[tuple[str, str, WaiverState, float]]:
    for host in hosts:
        for waiver in host.waivers:
            end = datetime.combine(waiver.until, time.max, UTC).timestamp()
            yield host.host, waiver.code, waiver.state, end
