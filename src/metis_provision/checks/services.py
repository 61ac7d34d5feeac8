"""Checks of the services: in the boot, and running where nothing keeps them from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from metis_provision.checks.evidence import CannotLook, Evidence
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, skipped, unknown, warned
from metis_provision.model.artifact import Service
from metis_provision.model.survey import Section, ServiceState

checks = Checks()

_NONE_WANTED = "the deploy wants no services on this host"
_DEEP = frozenset({"mem", "standby", "disk"})
"""States of /sys/power/state in which a card loses what it was told."""
# 127.0.0.1 and ::1 on a little-endian machine, and an IPv4 address in the form of IPv6.
_LOOPBACK = ("0100007F:", "00000000000000000000000001000000:", "0000000000000000FFFF00000100007F:")
_BROKEN = {"failed", "crashed"}


@checks.answers("METIS-610")
def services_enabled(evidence: Evidence) -> Iterator[Outcome]:
    """Every service of the desired state is started at boot."""
    if not evidence.desired.services:
        yield skipped(_NONE_WANTED)
        return
    states = _states(evidence)
    for service in evidence.desired.services:
        state = states.get(service.name)
        if state is None:
            yield failed(about=service.name, service=service.name, state="the init system does not know it")
        elif not state.enabled:
            yield failed(about=service.name, service=service.name, state=state.detail or state.state)
        else:
            yield passed(f"{service.name} is started at boot.", subject=service.name)


@checks.answers("METIS-611")
def services_run(evidence: Evidence) -> Iterator[Outcome]:
    """A service whose card is there runs, and none has failed."""
    if not evidence.desired.services:
        yield skipped(_NONE_WANTED)
        return
    states = _states(evidence)
    for service in evidence.desired.services:
        yield _running(evidence, service, states.get(service.name))


@checks.answers("METIS-612")
def stays_awake(evidence: Evidence) -> Iterator[Outcome]:
    """Nothing puts the host to sleep by itself: the driver does not bring the card back afterwards."""
    evidence.need(Section.SERVICES)
    sleep = evidence.survey.sleep
    if sleep is None:
        raise CannotLook("the survey does not say whether this host can sleep")
    if not _DEEP & set(sleep.states):
        yield passed("The kernel of this host cannot suspend it.")
    elif {"sleep.target", "suspend.target"} & set(sleep.masked):
        yield passed(f"{' and '.join(sleep.masked)} cannot be reached.")
    elif not sleep.triggers:
        yield passed("The host can sleep, and nothing makes it do so by itself.")
    else:
        yield warned(short="may sleep", what=" and ".join(sleep.triggers))


@checks.answers("METIS-640")
def server_keeps_to_itself(evidence: Evidence) -> Iterator[Outcome]:
    """No ``axsystemserver`` listens to other machines."""
    evidence.need(Section.SERVICES)
    servers = evidence.survey.servers
    if servers is None:
        raise CannotLook("the survey does not say what listens")
    if not servers:
        yield passed("No axsystemserver runs.")
    for server in servers:
        subject = f"process {server.pid}"
        if server.listening is None:
            yield unknown(
                "only root can see where axsystemserver listens",
                "Verify again as root (pyinfra's --sudo).",
                subject=subject,
            )
            continue
        open_at = [place for place in server.listening if not place.startswith(_LOOPBACK)]
        if open_at:
            ports = sorted({port_of(place) for place in open_at})
            yield failed(about=subject, short="listens", pid=server.pid, ports=" and ".join(ports))
        else:
            yield passed("axsystemserver listens to this host alone.", subject=subject)


def port_of(place: str) -> str:
    """The port in ``ADDRESS:PORT`` of the kernel's table, decimal; the text itself if it is none."""
    _, _, port = place.rpartition(":")
    try:
        return str(int(port, 16))
    except ValueError:
        return place


def _running(evidence: Evidence, service: Service, state: ServiceState | None) -> Outcome:
    if state is None or state.state in _BROKEN:
        word = state.state if state is not None else "unknown to the init system"
        return failed(about=service.name, short="service", service=service.name, state=word)
    if service.runs(state):
        return passed(f"{service.name} is {state.state}.", subject=service.name)
    evidence.need(Section.NODES)
    evidence.need(Section.PCI)
    if service.can_run:
        return failed(about=service.name, short="service", service=service.name, state=state.state)
    return skipped(f"{service.name} waits for a card", subject=service.name)


def _states(evidence: Evidence) -> Mapping[str, ServiceState]:
    evidence.need(Section.SERVICES)
    if evidence.survey.services is None:
        raise CannotLook("neither systemd nor OpenRC answers on this host")
    return evidence.survey.services
