"""Checks of the services: in the boot, and running where nothing keeps them from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from metis_provision.checks.evidence import CannotLook, Evidence
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, skipped
from metis_provision.model.artifact import Service
from metis_provision.model.survey import Section, ServiceState

checks = Checks()

_NONE_WANTED = "the deploy wants no services on this host"
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
