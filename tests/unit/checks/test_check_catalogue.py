"""The table of codes is whole: every code has a function, a sentence to act on, and no contradiction."""

from __future__ import annotations

import re
from importlib.resources import files
from string import Formatter

import pytest
from pydantic import ValidationError

from metis_provision.checks.catalogue import Severity, catalogue, causes_of, read_catalogue
from metis_provision.checks.evaluate import check_functions
from metis_provision.checks.outcome import Checks
from metis_provision.model.verdict import Area

AREA_BY_HUNDRED = {
    "0": {Area.HOST},
    "1": {Area.ENUMERATION, Area.LINK},
    "2": {Area.DRIVER},
    "3": {Area.NODE, Area.ACCESS},
    "4": {Area.FIRMWARE},
    "5": {Area.SELF_TEST},
    "6": {Area.FILES},
}

# Codes are written down here once more, so that one that changes its number or goes is noticed.
PUBLISHED = (
    "010 020 101 102 103 104 105 110 120 121 201 202 203 204 210 211 220 301 302 303 310 311 312 320 330 331 "
    "401 501 502 503 601 602 603 230 231 232 233 234 235 240 623"
)


def entry(**changes):
    usual = {
        "title": "T",
        "why": "W.",
        "area": "host",
        "severity": "required",
        "level": "quick",
        "card": False,
        "message": "M.",
        "next": "N.",
        "since": "0.1.0",
    }
    return {**usual, **changes}


def test_a_code_has_exactly_one_function():
    assert set(check_functions()) == set(catalogue())


def test_published_codes_stay():
    assert {f"METIS-{number}" for number in PUBLISHED.split()} <= set(catalogue())


def test_no_code_stands_twice_in_the_table():
    text = files("metis_provision.catalog").joinpath("checks.yml").read_text(encoding="utf-8")
    written = re.findall(r"^(METIS-\d+):", text, re.MULTILINE)
    assert written == sorted(set(written))


@pytest.mark.parametrize("code", catalogue().values(), ids=lambda code: code.code)
def test_a_code_says_what_is_wrong_and_what_to_do(code):
    assert code.area in AREA_BY_HUNDRED[code.code[6]]
    assert code.message.endswith((".", "}"))
    assert code.next_step.endswith((".", "}"))
    assert len(code.next_step.split()) > 5
    told = {field for _, field, _, _ in Formatter().parse(code.message) if field}
    asked = {field for _, field, _, _ in Formatter().parse(code.next_step) if field}
    assert told, "a message names what was found"
    assert all(name.isidentifier() for name in told | asked)


def test_causes_fail_the_host_by_themselves():
    for code in catalogue():
        assert all(catalogue()[cause].severity is Severity.REQUIRED for cause in causes_of(catalogue(), code))


def test_causes_are_found_through_others():
    table = {"METIS-001": entry(), "METIS-002": entry(follows=["METIS-001"]), "METIS-003": entry(follows=["METIS-002"])}
    assert causes_of(read_catalogue(table), "METIS-003") == {"METIS-001", "METIS-002"}


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"METIS-7": entry()}, "should match pattern"),
        ({"METIS-001": entry(severity="deadly")}, "'required' or 'advisory'"),
        ({"METIS-001": entry(area="moon")}, "Input should be"),
        ({"METIS-001": entry(next="")}, "at least 1 character"),
        ({"METIS-001": entry(colour="red")}, "Extra inputs"),
        ({"METIS-001": entry(follows=["METIS-002"])}, "not a required code"),
        (
            {"METIS-001": entry(follows=["METIS-002"]), "METIS-002": entry(severity="advisory")},
            "METIS-001 follows METIS-002, which is not a required code",
        ),
        (
            {"METIS-001": entry(follows=["METIS-002"]), "METIS-002": entry(follows=["METIS-001"])},
            "METIS-001 follows itself",
        ),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(table, complaint):
    with pytest.raises((ValueError, ValidationError), match=complaint):
        read_catalogue(table)


def test_two_functions_for_one_code_are_refused():
    checks = Checks()
    checks.answers("METIS-001")(lambda evidence: iter(()))
    with pytest.raises(ValueError, match="METIS-001 has two functions"):
        checks.answers("METIS-001")(lambda evidence: iter(()))
