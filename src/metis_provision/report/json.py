"""The report as JSON: keys that stay, under a version that changes if they ever must."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from metis_provision.model.verdict import Finding, Standing, Waiver
from metis_provision.report.rows import Plan, Row, standings

SCHEMA = "metis-provision/verdicts"
PLAN_SCHEMA = "metis-provision/plan"
SCHEMA_VERSION = 1


def verdict_document(rows: Iterable[Row]) -> dict[str, Any]:
    """Return the report as JSON types.

    ``standing`` is null for a host without a verdict; texts are as they came, so whoever prints them escapes
    control characters (``json.dumps`` does).
    """
    listed = tuple(rows)
    counts = standings(listed)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "summary": {
            "hosts": len(listed),
            **{standing.value: counts[standing] for standing in Standing},
            "no_verdict": counts[None],
        },
        "hosts": [_host(row) for row in listed],
    }


def plan_document(plans: Iterable[Plan]) -> dict[str, Any]:
    """Return what would be done to each host as JSON types."""
    listed = tuple(plans)
    return {
        "schema": PLAN_SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "summary": {"hosts": len(listed), "pending": sum(any(concerns.values()) for _, concerns, _ in listed)},
        "hosts": [
            {
                "host": host,
                "changes": {str(concern): list(reasons) for concern, reasons in concerns.items()},
                "reason": reason,
            }
            for host, concerns, reason in listed
        ],
    }


def _host(row: Row) -> dict[str, Any]:
    return {
        "host": row.host,
        "standing": row.verdict.standing.value if row.verdict else None,
        "ok": row.verdict.ok if row.verdict else False,
        "reason": row.reason,
        "findings": [_finding(finding) for finding in row.verdict.findings] if row.verdict else [],
        "waivers": [_waiver(waiver) for waiver in row.verdict.waivers] if row.verdict else [],
    }


def _waiver(waiver: Waiver) -> dict[str, Any]:
    return {
        "code": waiver.code,
        "reason": waiver.reason,
        "until": waiver.until.isoformat(),
        "state": waiver.state.value,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "title": finding.title,
        "area": finding.area.value,
        "answer": finding.answer.value,
        "required": finding.required,
        "subject": finding.subject,
        "brief": finding.brief,
        "seen": finding.seen,
        "next": finding.next_step,
        "waived": finding.waived,
        "power_cycle": finding.power_cycle,
    }
