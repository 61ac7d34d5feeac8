"""The facts: what they ask, what they show, and that a look that was cut off fails the host."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pyinfra.api.exceptions import FactProcessError, FactValueError

import metis_provision.facts as facts
from metis_provision.model.survey import PASSIVE, Section, Survey

PYINFRA = Path(sys.executable).with_name("pyinfra")
ARGUMENTS = {
    "MetisFiles": {"paths": "/etc/passwd,/etc/group"},
    "MetisPackages": {"packages": ["dkms"]},
    "MetisLoad": {"model": "/m.json"},
    "MetisSelfTest": {"model": "/m.json"},
}
SECTION_FACTS = [name for name in facts.__all__ if name != "MetisSurvey"]


def output(*sections: str, rows: dict[str, list[str]] | None = None) -> list[str]:
    lines = [f"@survey 1 {' '.join(sections)}"]
    for section in sections:
        lines += [f"@begin {section}", *(rows or {}).get(section, []), f"@end {section}"]
    return [*lines, "@complete"]


def test_there_is_a_fact_for_every_section():
    asked = {getattr(facts, name).section for name in SECTION_FACTS}
    assert asked == set(Section)


@pytest.mark.parametrize("name", SECTION_FACTS)
def test_a_section_fact_asks_for_its_section_alone(name):
    fact = getattr(facts, name)()
    command = fact.command(**ARGUMENTS.get(name, {}))
    assert command.startswith(f"METIS_SECTIONS={fact.section}\n")


@pytest.mark.parametrize("name", SECTION_FACTS)
def test_a_section_fact_shows_json_and_refuses_half_an_answer(name):
    fact = getattr(facts, name)()
    lines = output(fact.section)
    json.dumps(fact.process(lines))
    assert fact.default() is None
    with pytest.raises(FactProcessError, match="cut off"):
        fact.process(lines[:-1])


def test_the_survey_asks_for_everything_passive_unless_told_otherwise():
    command = facts.MetisSurvey().command()
    assert command.startswith(f"METIS_SECTIONS='{' '.join(PASSIVE)}'\n")
    command = facts.MetisSurvey().command(sections="pci,log", users=["frigate"], self_test_seconds="3")
    assert command.startswith("METIS_SECTIONS='pci log'\n")
    assert "METIS_USERS=frigate\n" in command
    assert "METIS_SECONDS=3\n" in command


def test_the_survey_is_typed_and_prints_as_json():
    survey = facts.MetisSurvey().process(output("driver", "log", rows={"driver": ["loaded"]}))
    assert isinstance(survey, Survey)
    assert survey.driver.loaded
    assert json.loads(json.dumps(survey.to_json()))["driver"]["loaded"] is True


@pytest.mark.parametrize("lines", [["bash: command not found"], output("driver")[:-2], output("driver")[:1]])
def test_half_a_survey_fails_the_host(lines):
    with pytest.raises(FactProcessError):
        facts.MetisSurvey().process(lines)


def test_bad_arguments_are_one_sentence():
    with pytest.raises(FactValueError, match="'colour' is not a valid Section; a survey has the sections host"):
        facts.MetisSurvey().command(sections="colour")
    with pytest.raises(FactValueError, match="not an absolute path"):
        facts.MetisFiles().command(paths="etc/passwd")


@pytest.mark.parametrize(
    ("words", "check"),
    [
        (["MetisHost"], lambda data: data["architecture"]),
        (["MetisKernels"], lambda data: [kernel["running"] for kernel in data].count(True) == 1),
        (["MetisFiles", "paths=/etc/passwd"], lambda data: data["/etc/passwd"]["kind"] == "file"),
        (["MetisSurvey", "sections=state,accounts", "users=root"], lambda data: data["users"]["root"]["id"] == 0),
    ],
)
def test_from_the_command_line_of_pyinfra(words, check):
    fact, *arguments = words
    done = subprocess.run(
        [str(PYINFRA), "-y", "--json", "@local", "fact", f"metis_provision.facts.{fact}", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    (data,) = json.loads(done.stdout[done.stdout.index("{") :]).values()
    data = data.get("@local", data)
    assert check(data)
