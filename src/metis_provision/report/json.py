"""A plan as JSON: keys that stay, under a version that changes if they ever must."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from metis_provision.report.rows import Plan

PLAN_SCHEMA = "metis-provision/plan"
SCHEMA_VERSION = 1


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
