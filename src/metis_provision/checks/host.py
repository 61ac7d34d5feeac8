"""Checks of the host as a whole: its clock and its platform."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from metis_provision.checks.evidence import CannotLook, Evidence
from metis_provision.checks.outcome import Checks, Outcome, failed, passed

checks = Checks()

# A board without a battery wakes in 1970 or at its last shutdown; no driver this project installs is older.
_FLOOR = datetime(2025, 1, 1, tzinfo=UTC)


@checks.answers("METIS-010")
def clock(evidence: Evidence) -> Iterator[Outcome]:
    """The clock is past the floor."""
    epoch = evidence.host.epoch
    if epoch is None:
        raise CannotLook("the clock could not be read")
    try:
        date = datetime.fromtimestamp(epoch, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise CannotLook(f"the clock says second {epoch}, which is no date") from error
    if date < _FLOOR:
        yield failed(date=f"{date:%Y-%m-%d}", floor=f"{_FLOOR:%Y-%m-%d}")
    else:
        yield passed(f"The clock says {date:%Y-%m-%d %H:%M} UTC.")


@checks.answers("METIS-020")
def platform(evidence: Evidence) -> Iterator[Outcome]:
    """The plan found nothing that rules this host out."""
    host = evidence.host
    name = host.os_release.get("PRETTY_NAME") or host.os_release.get("ID")
    if evidence.desired.blockers:
        yield failed(blockers="; ".join(blocker.rstrip(". ") for blocker in evidence.desired.blockers))
    elif not name:
        raise CannotLook("the host does not say which system it runs", "See that /etc/os-release is there.")
    else:
        yield passed(f"{name}, {host.architecture or 'unknown machine'}, {host.init}.")
