"""What changed from one report to the next."""

from __future__ import annotations

from dataclasses import dataclass

from metis_provision.report.document import FindingEntry, HostEntry, Report
from metis_provision.report.rows import TROUBLE


@dataclass(frozen=True, slots=True)
class HostChange:
    """A host that is not as it was: before is None for a new host, after for one that is gone.

    ``appeared`` and ``disappeared`` are the findings worth telling that are new, and those that are over.
    """

    host: str
    before: HostEntry | None
    after: HostEntry | None
    appeared: tuple[FindingEntry, ...] = ()
    disappeared: tuple[FindingEntry, ...] = ()


def changes(before: Report, after: Report) -> tuple[HostChange, ...]:
    """Every host with another standing or other trouble, in the order of the newer report."""
    old = {entry.host: entry for entry in before.hosts}
    new = {entry.host: entry for entry in after.hosts}
    found = [_change(name, old.get(name), new.get(name)) for name in dict.fromkeys((*new, *old))]
    return tuple(change for change in found if change is not None)


def _change(host: str, before: HostEntry | None, after: HostEntry | None) -> HostChange | None:
    if before is None or after is None:
        return HostChange(host, before, after)
    old, new = _trouble(before), _trouble(after)
    # Without a verdict nothing was looked at, so that nothing of the earlier trouble is known to be over.
    appeared = tuple(new[key] for key in new.keys() - old.keys()) if before.standing else ()
    disappeared = tuple(old[key] for key in old.keys() - new.keys()) if after.standing else ()
    if before.standing is after.standing and not appeared and not disappeared:
        return None
    return HostChange(host, before, after, _ordered(appeared), _ordered(disappeared))


def _trouble(entry: HostEntry) -> dict[tuple[str, str, str, bool], FindingEntry]:
    return {
        (finding.code, finding.subject, finding.answer, finding.waived): finding
        for finding in entry.findings
        if finding.answer in TROUBLE
    }


def _ordered(findings: tuple[FindingEntry, ...]) -> tuple[FindingEntry, ...]:
    return tuple(sorted(findings, key=lambda finding: (finding.code, finding.subject)))
