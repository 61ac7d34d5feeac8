"""The commands that list and explain codes say everything, and name what was meant by a code there is not."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner, Result

from metis_provision.checks.catalogue import catalogue
from metis_provision.checks.cli import checks, explain
from metis_provision.model.errors import UserError

PROMISED = {"code", "title", "severity", "message", "next", "level", "since"}


def run(command, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_every_check_is_listed_once():
    done = run(checks)
    assert re.findall(r"^METIS-\d{3}", done.stdout, re.MULTILINE) == list(catalogue())
    for code in catalogue().values():
        assert code.title in done.stdout


def test_the_list_for_programs():
    listed = json.loads(run(checks, "--json").stdout)
    assert [entry["code"] for entry in listed] == list(catalogue())
    for entry in listed:
        assert entry.keys() >= PROMISED
        assert all(isinstance(entry[key], str) and entry[key] for key in PROMISED)


@pytest.mark.parametrize("code", catalogue().values(), ids=lambda code: code.code)
def test_a_code_is_explained(code):
    done = run(explain, code.code)
    assert done.exit_code == 0
    told = dict(re.findall(r"^(\w+) {2,}(.+)$", done.stdout, re.MULTILINE))
    assert told["why"] == code.why
    assert told["do"] == code.next_step
    assert told["checked"].endswith(".")
    assert told["checked"] != code.title
    assert all(cause in told["after"] for cause in code.follows)
    assert not re.search(r" $|``", done.stdout, re.MULTILINE)


def test_every_reason_is_its_own():
    reasons = [code.why for code in catalogue().values()]
    assert len(set(reasons)) == len(reasons)
    assert all(reason.endswith(".") for reason in reasons)


@pytest.mark.parametrize("given", ["METIS-120", "metis-120", "120"])
def test_a_code_may_be_written_shortly(given):
    assert run(explain, given).stdout.startswith("METIS-120 ")


def test_an_explanation_for_programs():
    entry = json.loads(run(explain, "METIS-120", "--json").stdout)
    assert entry["why"] == catalogue()["METIS-120"].why


def test_a_check_of_the_next_boot_says_so():
    assert "\nrequired of the next boot, quick," in run(explain, "METIS-232").stdout
    assert "\nrequired, quick," in run(explain, "METIS-210").stdout
    assert json.loads(run(explain, "METIS-232", "--json").stdout)["when"] == "next-boot"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("METIS-12", "METIS-12 is not the code of a check: did you mean METIS-120 or METIS-121"),
        ("METSI-103", "did you mean METIS-103"),
        ("--", "Missing argument"),
        ("moon", "moon is not the code of a check: metis-provision checks lists all"),
    ],
)
def test_an_unknown_code_is_one_sentence(given, sentence):
    done = run(explain, given)
    assert done.exit_code
    said = str(done.exception) if isinstance(done.exception, UserError) else done.stderr
    assert sentence in said
    assert "Traceback" not in said
