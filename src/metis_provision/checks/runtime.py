"""Checks of the runtime: it is on the host in the way that was chosen."""

from __future__ import annotations

from collections.abc import Iterator

from metis_provision.checks.evidence import CannotLook, Evidence
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, skipped
from metis_provision.model.artifact import RuntimeKind
from metis_provision.model.settings import RuntimeSource
from metis_provision.model.survey import Section

checks = Checks()

_NOT_INSTALLABLE = "the deploy could not say what to install on this host"
_SEE_BLOCKERS = "See METIS-020, which says what stands in the way."


@checks.answers("METIS-630")
def runtime_installed(evidence: Evidence) -> Iterator[Outcome]:
    """The package, the environment or the image of the runtime is there, in the version asked for."""
    if evidence.settings.runtime is RuntimeSource.NONE:
        yield skipped("no runtime is wanted on this host (metis_runtime = 'none')")
        return
    wanted = evidence.desired.runtime
    if wanted is None:
        raise CannotLook(_NOT_INSTALLABLE, _SEE_BLOCKERS)
    for section in (Section.PACKAGES, Section.FILES, Section.HOST):
        evidence.need(section)
    if wanted.is_on(evidence.survey):
        yield passed(f"Runtime {wanted.version} is there: {wanted.installed.shown}.", brief=wanted.version)
        return
    others = sorted(name for name in evidence.survey.packages if name.startswith("axelera-runtime"))
    is_package = wanted.installed.kind is RuntimeKind.PACKAGE
    instead = f", {' and '.join(others)} is" if is_package and others else ""
    yield failed(short="missing", version=wanted.version, what=wanted.installed.shown, instead=instead)
