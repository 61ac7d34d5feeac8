"""A plan as JSON: keys that stay."""

from __future__ import annotations

from metis_provision.report.json import plan_document


def test_plans():
    document = plan_document(
        [("lab1", {"access": ("a", "b")}, ""), ("lab2", {}, "unreachable"), ("lab3", {"access": ()}, "")]
    )
    assert document == {
        "schema": "metis-provision/plan",
        "schema_version": 1,
        "summary": {"hosts": 3, "pending": 1},
        "hosts": [
            {"host": "lab1", "changes": {"access": ["a", "b"]}, "reason": ""},
            {"host": "lab2", "changes": {}, "reason": "unreachable"},
            {"host": "lab3", "changes": {"access": []}, "reason": ""},
        ],
    }
