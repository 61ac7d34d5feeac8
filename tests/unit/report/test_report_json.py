"""The JSON report: keys that stay, and texts that arrive as they were."""

from __future__ import annotations

import json
from datetime import date

from metis_provision.model.verdict import Answer, Area, Finding, Verdict, Waiver, WaiverState
from metis_provision.report.json import plan_document, verdict_document
from metis_provision.report.rows import Row

NASTY = "[red]\x1b[31m\u202e\udc80"

ROWS = (
    Row(
        "lab1",
        Verdict(
            "lab1",
            (
                Finding(
                    "METIS-101", "Cards", Answer.PASS, "1 card.", subject="", area=Area.ENUMERATION, brief="1 card"
                ),
                Finding(
                    "METIS-120", "Link", Answer.WARN, NASTY, "Reseat.", "0000:01:00.0", True, Area.LINK, "x1", True
                ),
                Finding(
                    "METIS-220", "Next boot", Answer.UNKNOWN, "?", "Look.", "6.12", False, Area.DRIVER, power_cycle=True
                ),
            ),
            (Waiver("METIS-120", NASTY, date(2026, 12, 31), WaiverState.IN_FORCE),),
        ),
    ),
    Row("lab2", None, "unreachable"),
)


def test_the_document():
    assert verdict_document(ROWS) == {
        "schema": "metis-provision/verdicts",
        "schema_version": 1,
        "summary": {"hosts": 2, "green": 0, "warned": 1, "unproven": 0, "failed": 0, "no_verdict": 1},
        "hosts": [
            {
                "host": "lab1",
                "standing": "warned",
                "ok": True,
                "reason": "",
                "findings": [
                    {
                        "code": "METIS-101",
                        "title": "Cards",
                        "area": "enumeration",
                        "answer": "pass",
                        "required": True,
                        "subject": "",
                        "brief": "1 card",
                        "seen": "1 card.",
                        "next": "",
                        "waived": False,
                        "power_cycle": False,
                    },
                    {
                        "code": "METIS-120",
                        "title": "Link",
                        "area": "link",
                        "answer": "warn",
                        "required": True,
                        "subject": "0000:01:00.0",
                        "brief": "x1",
                        "seen": NASTY,
                        "next": "Reseat.",
                        "waived": True,
                        "power_cycle": False,
                    },
                    {
                        "code": "METIS-220",
                        "title": "Next boot",
                        "area": "driver",
                        "answer": "unknown",
                        "required": False,
                        "subject": "6.12",
                        "brief": "",
                        "seen": "?",
                        "next": "Look.",
                        "waived": False,
                        "power_cycle": True,
                    },
                ],
                "waivers": [{"code": "METIS-120", "reason": NASTY, "until": "2026-12-31", "state": "in-force"}],
            },
            {"host": "lab2", "standing": None, "ok": False, "reason": "unreachable", "findings": [], "waivers": []},
        ],
    }


def test_it_is_json_and_harmless_to_a_terminal():
    text = json.dumps(verdict_document(ROWS), indent=2)
    assert text.isascii()
    assert "\x1b" not in text
    assert json.loads(text)["hosts"][0]["findings"][1]["seen"] == NASTY


def test_no_hosts():
    assert verdict_document([])["summary"]["hosts"] == 0


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
