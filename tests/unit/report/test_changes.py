"""What changed between two reports."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import sample_fleet
from metis_provision.report.changes import HostChange, changes
from metis_provision.report.document import report_of

WHEN = datetime(2026, 11, 21, tzinfo=UTC)


def between(before: dict[str, str], after: dict[str, str]) -> list[HostChange]:
    return list(changes(*(report_of(sample_fleet.rows(hosts), WHEN) for hosts in (before, after))))


def told(change: HostChange) -> tuple:
    codes = [[finding.code for finding in found] for found in (change.appeared, change.disappeared)]
    return (
        change.host,
        change.before and change.before.standing,
        change.after and change.after.standing,
        *codes,
    )


@pytest.mark.parametrize("kind", [*sample_fleet.KINDS, "away"])
def test_nothing_changed(kind):
    assert between({"a": kind}, {"a": kind}) == []


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ("healthy", "narrow", ("a", "green", "warned", ["METIS-120"], [])),
        ("narrow", "healthy", ("a", "warned", "green", [], ["METIS-120"])),
        ("dead", "off the bus", ("a", "failed", "failed", ["METIS-104"], ["METIS-103"])),
        ("narrow", "waived", ("a", "warned", "warned", ["METIS-120"], ["METIS-120"])),
        ("healthy", "away", ("a", "green", None, [], [])),
        ("dead", "away", ("a", "failed", None, [], [])),
        ("away", "dead", ("a", None, "failed", [], [])),
    ],
)
def test_a_host_changed(before, after, change):
    assert [told(found) for found in between({"a": before}, {"a": after})] == [change]


def test_hosts_come_and_go():
    assert [told(found) for found in between({"old": "healthy", "same": "dead"}, {"new": "dead", "same": "dead"})] == [
        ("new", None, "failed", [], []),
        ("old", "green", None, [], []),
    ]
