"""JUnit XML as other programs read it."""

from __future__ import annotations

from xml.etree import ElementTree

import junitparser
import pytest

import sample_fleet
from metis_provision.model.verdict import Answer, Finding, Verdict
from metis_provision.report.document import report_of
from metis_provision.report.junit import junit_text
from metis_provision.report.rows import Row

NASTY = "</failure>\x1b[31m\x00\udc80\"'<&>\ufffe]]>"


def parsed(hosts: dict[str, str]) -> junitparser.JUnitXml:
    text = junit_text(report_of(sample_fleet.rows(hosts), sample_fleet.NOW))
    return junitparser.JUnitXml.fromstring(text.encode())


def results(hosts: dict[str, str], code: str) -> list[tuple[str, str]]:
    cases = [case for suite in parsed(hosts) for case in suite if case.name.startswith(code)]
    return [(type(result).__name__, str(result.message)) for case in cases for result in case.result]


def test_a_suite_for_each_host_and_a_case_for_each_finding():
    report = report_of(sample_fleet.rows({"a": "healthy", "b": "dead"}), sample_fleet.NOW)
    read = parsed({"a": "healthy", "b": "dead"})
    assert [suite.name for suite in read] == ["a", "b"]
    assert [len(list(suite)) for suite in read] == [len(host.findings) for host in report.hosts]
    assert [(suite.failures, suite.errors) for suite in read] == [(0, 0), (2, 0)]
    assert (read.tests, read.failures, read.errors) == (sum(len(host.findings) for host in report.hosts), 2, 0)


@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [
        ("dead", "METIS-103", [("Failure", "0000:01:00.0 shows 16c3:abcd")]),
        ("hung", "METIS-401", [("Error", "axdevice did not end in time")]),
        ("narrow", "METIS-120", []),
        ("next boot", "METIS-220", []),
        ("healthy", "METIS-101", []),
        ("dead", "METIS-201", [("Skipped", "the card is not there")]),
        ("waived", "METIS-120", [("Skipped", "waived until 2026-12-31: new riser on order, ticket 4711 (warn: The")]),
        ("expired", "METIS-120", []),
        ("away", "verdict", [("Error", "unreachable")]),
    ],
)
def test_answers_as_ci_shows_them(kind, code, expected):
    found = results({kind: kind}, code)
    assert [name for name, _ in found] == [name for name, _ in expected]
    if kind not in {"dead"} or code == "METIS-103":
        assert all(words in message for (_, message), (_, words) in zip(found, expected, strict=True))


def test_every_case_has_a_name_of_its_own():
    for suite in parsed({kind: kind for kind in (*sample_fleet.KINDS, "away")}):
        names = [(case.classname, case.name) for case in suite]
        assert len(set(names)) == len(names)


def test_texts_from_a_host_do_not_break_the_document():
    finding = Finding("METIS-101", NASTY, Answer.FAIL, NASTY, NASTY, NASTY)
    text = junit_text(
        report_of([Row(NASTY, Verdict(NASTY, (finding,)), NASTY), Row("b", None, NASTY)], sample_fleet.NOW)
    )
    root = ElementTree.fromstring(text)
    assert [case.get("name") for case in root.iter("testcase")][1:] == ["verdict", "verdict"]
    assert "\\x1b[31m\\x00\\udc80" in root.find(".//failure").get("message")
