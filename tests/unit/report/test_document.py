"""The JSON report: keys that stay, texts that arrive as they were, and a schema that it keeps to."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import jsonschema
import pytest

import sample_fleet
from metis_provision.model.errors import UserError
from metis_provision.model.verdict import (
    Answer,
    Area,
    Finding,
    Inference,
    Level,
    Link,
    Verdict,
    Waiver,
    WaiverState,
    When,
)
from metis_provision.report.document import read_report, report_of, report_text
from metis_provision.report.rows import Row

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "report.schema.json").read_text(encoding="utf-8"))
NASTY = "[red]\x1b[31m\u202e\udc80"
WHEN = datetime(2026, 11, 21, 6, 30, tzinfo=UTC)

ROWS = (
    Row(
        "lab1",
        Verdict(
            "lab1",
            (
                Finding("METIS-101", "Cards", Answer.PASS, "1 card.", area=Area.ENUMERATION, brief="1 card"),
                Finding(
                    "METIS-120", "Link", Answer.WARN, NASTY, "Reseat.", "0000:01:00.0", True, Area.LINK, "x1", True
                ),
                Finding(
                    *("METIS-220", "Kernels", Answer.UNKNOWN, "?", "Look.", "6.12", False, Area.DRIVER),
                    power_cycle=True,
                    when=When.NEXT_BOOT,
                ),
            ),
            (Waiver("METIS-120", NASTY, date(2026, 12, 31), WaiverState.IN_FORCE),),
            (Link("0000:01:00.0", 8.0, 1, 8.0, 4),),
            (Inference(False, 400.0, "system", 4, 800, 214.0, 10.7, 0.05),),
            Level.LONG,
            12.5,
            422,
        ),
    ),
    Row("lab2", None, "unreachable"),
)
LOOKED = {
    "host": "lab1",
    "standing": "warned",
    "now": "warned",
    "next_boot": "unproven",
    "ok": True,
    "reason": "",
    "level": "long",
    "seconds": 12.5,
    "seconds_allowed": 422,
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
            "when": "now",
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
            "when": "now",
        },
        {
            "code": "METIS-220",
            "title": "Kernels",
            "area": "driver",
            "answer": "unknown",
            "required": False,
            "subject": "6.12",
            "brief": "",
            "seen": "?",
            "next": "Look.",
            "waived": False,
            "power_cycle": True,
            "when": "next-boot",
        },
    ],
    "waivers": [{"code": "METIS-120", "reason": NASTY, "until": "2026-12-31", "state": "in-force"}],
    "links": [{"card": "0000:01:00.0", "speed": 8.0, "width": 1, "allowed_speed": 8.0, "allowed_width": 4}],
    "inferences": [
        {
            "sustained": False,
            "fps": 400.0,
            "where": "system",
            "cores": 4,
            "clock_mhz": 800,
            "peak_tops": 214.0,
            "tops": 10.7,
            "utilisation": 0.05,
        }
    ],
}
AWAY = {
    "host": "lab2",
    "standing": None,
    "now": None,
    "next_boot": None,
    "ok": False,
    "reason": "unreachable",
    "level": "medium",
    "seconds": None,
    "seconds_allowed": None,
    "findings": [],
    "waivers": [],
    "links": [],
    "inferences": [],
}


def document() -> dict:
    return json.loads(report_text(report_of(ROWS, WHEN)))


def valid(found: object) -> None:
    jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(found)


def test_the_document():
    assert document() == {
        "schema": "metis-provision/verdicts",
        "schema_version": 1,
        "generated": "2026-11-21T06:30:00Z",
        "summary": {"hosts": 2, "green": 0, "warned": 1, "unproven": 0, "failed": 0, "no_verdict": 1},
        "hosts": [LOOKED, AWAY],
    }


def test_it_is_harmless_to_a_terminal_and_comes_back_as_it_was():
    text = report_text(report_of(ROWS, WHEN))
    assert text.isascii()
    assert "\x1b" not in text
    assert read_report(text, "x") == report_of(ROWS, WHEN)


def test_no_hosts():
    assert report_of([], WHEN).summary.hosts == 0
    valid(json.loads(report_text(report_of([], WHEN))))


@pytest.mark.parametrize("kind", [*sample_fleet.KINDS, "away"])
def test_reports_of_all_kinds_of_hosts_keep_to_the_schema(kind):
    valid(json.loads(report_text(report_of(sample_fleet.rows({kind: kind}), WHEN))))


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.pop("generated"),
        lambda d: d.update(schema_version=2),
        lambda d: d.update(schema="something/else"),
        lambda d: d["hosts"][0].update(standing="perfect"),
        lambda d: d["hosts"][0]["findings"][0].update(answer="maybe"),
        lambda d: d["hosts"][0]["findings"][0].update(code="METIS-1"),
        lambda d: d["hosts"][0]["findings"][0].pop("seen"),
        lambda d: d["summary"].update(hosts="two"),
    ],
)
def test_what_is_no_report_is_refused_by_the_schema_and_by_the_reader(spoil):
    spoiled = document()
    spoil(spoiled)
    with pytest.raises(jsonschema.ValidationError):
        valid(spoiled)
    with pytest.raises(UserError, match=r"^last\.json is not a report that metis-provision verify --json wrote"):
        read_report(json.dumps(spoiled), "last.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", b"\xff\xfe\x00", b"\x80"])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(UserError) as refused:
        read_report(text, "last.json")
    assert str(refused.value).startswith("last.json is not a report")
    assert len(str(refused.value).splitlines()) == 1


def test_a_report_of_a_later_minor_version_can_be_read():
    newer = document()
    newer["hosts"][0]["colour"] = "blue"
    assert read_report(json.dumps(newer), "x").hosts[0].host == "lab1"
