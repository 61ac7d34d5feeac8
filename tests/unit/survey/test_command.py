"""The command's text: what it carries, what it refuses, and what it says to linters and other shells."""

import os
import shutil
import subprocess
from importlib.resources import files

import pytest

from metis_provision.catalog.contract import contract
from metis_provision.model.survey import PASSIVE, Section, SurveyRequest
from metis_provision.survey.parser import read_survey
from metis_provision.survey.script import MAIN, script, source, survey_command

SOURCE = files("metis_provision.survey").joinpath("script.sh").read_text(encoding="utf-8")


@pytest.mark.parametrize("dialect", ["sh", "dash", "busybox"])
def test_shellcheck_is_content(dialect, shellcheck):
    # With the part that is put in where it is asked for; comments of it tell shellcheck what is meant.
    whole = source("script.sh").replace(MAIN, source("load.sh") + MAIN)
    assert shellcheck("-s", dialect, text=whole) == ""


def test_the_text_fits_into_one_argument_twice_over():
    # Linux takes 128 KiB for one argument; quoting for another shell can make it grow.
    assert len(survey_command(SurveyRequest(sections=tuple(Section)))) < 64 * 1024


def test_the_part_that_works_the_cards_is_there_only_where_it_is_asked_for():
    assert "watch_links" not in survey_command(SurveyRequest())
    assert "watch_links" in survey_command(SurveyRequest(sections=(Section.LOAD,)))


def test_comments_stay_behind():
    assert "shellcheck" not in script()
    assert not any(line.startswith("#") for line in script().splitlines())


@pytest.mark.parametrize("section", list(Section))
def test_only_the_sections_asked_for_run(section):
    if section in {Section.DEVICES, Section.SELF_TEST, Section.ACCESS, Section.LOAD}:
        pytest.skip("would touch the cards of this machine")
    command = survey_command(SurveyRequest(sections=(section,), paths=("/",), users=("root",)))
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert read_survey(done.stdout).sections == {section}
    assert [line for line in done.stdout.splitlines() if line.startswith("@begin")] == [f"@begin {section}"]


@pytest.mark.parametrize("shell", [["dash"], ["bash", "--posix"], ["busybox", "sh"]])
def test_this_machine(shell):
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    request = SurveyRequest(paths=("/etc/passwd",), users=("root",), groups=("root",), packages=("bash",))
    done = subprocess.run([*shell, "-c", survey_command(request)], capture_output=True, text=True, check=True)
    survey = read_survey(done.stdout, request)
    assert survey.sections == set(PASSIVE)
    assert survey.running_kernel is not None
    assert survey.host.architecture
    assert survey.host.tools["sha256sum"]
    assert survey.files["/etc/passwd"].sha256
    assert survey.users["root"].id == 0
    assert "root" in survey.groups


def test_an_unprivileged_look_is_complete():
    if os.geteuid() != 0:
        pytest.skip("needs root, to give it up")
    identity = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    request = SurveyRequest(paths=("/root/nothing", "/etc/passwd"), users=("root",))
    done = subprocess.run([*identity, "sh", "-c", survey_command(request)], capture_output=True, text=True, check=True)
    survey = read_survey(done.stdout, request)
    assert survey.host.uid == 65534
    assert survey.files["/etc/passwd"].kind == "file"
    assert done.stderr == ""


@pytest.mark.parametrize(
    "names",
    [
        {"paths": ("-rf",)},
        {"paths": ("relative",)},
        {"paths": ("/a\nb",)},
        {"paths": ("/a\\b",)},
        {"paths": ("",)},
        {"users": ("--help",)},
        {"users": ("",)},
        {"groups": ("a\tb",)},
        {"group": "-g"},
        {"group": ""},
        {"packages": ("dkms;reboot",)},
        {"packages": ("*",)},
        {"packages": ("a b",)},
        {"self_test_model": "model.json"},
        {"self_test_model": "/a\0b"},
        {"self_test_seconds": 0},
        {"load_seconds": 0},
        {"limit": 0},
        {"aipu_cores": 0},
        {"aipu_cores": 5},
        {"inference": ("/opt/inference.py", "a\nb")},
        {"inference": ("",)},
        {"self_test_seconds": 10**6},
        {"sections": ("host; reboot",)},
    ],
)
def test_names_no_command_line_could_carry_are_refused(names):
    with pytest.raises(ValueError, match=r"."):
        survey_command(SurveyRequest(**names))


@pytest.mark.parametrize("word", ["$(touch {})", "`touch {}`", "'; touch {}; '", '"; touch {}; "', "a b*?[c] {}"])
def test_names_are_data(tmp_path, word):
    evil = word.format(tmp_path / "ran")
    request = SurveyRequest(
        sections=(Section.FILES, Section.ACCOUNTS), paths=(f"/{evil}",), users=(evil,), groups=(evil,), group=evil
    )
    done = subprocess.run(["sh", "-c", survey_command(request)], capture_output=True, text=True, check=True)
    survey = read_survey(done.stdout, request)
    assert set(survey.files) == {f"/{evil}"}
    assert survey.users == {}
    assert not (tmp_path / "ran").exists()


def test_the_script_knows_the_names_of_the_contract():
    names = contract()
    for text in (names.module.value, names.pci_driver.value, *(entry.name for entry in names.device_classes)):
        assert text in SOURCE
    for path in (names.sysfs.loaded_version, names.sysfs.module_version, names.sysfs.parameters, names.sysfs.driver):
        assert path.value in SOURCE
    assert names.sysfs.dma_heap.value in SOURCE
    for entry in names.ids:
        pattern = f"0x{entry.vendor_hex}:*" if entry.vendor not in {0x16C3, 0x1234} else f"0x{entry.vendor_hex}:0x"
        assert pattern in SOURCE
