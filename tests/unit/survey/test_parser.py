"""The parser: framing, refusals, and that no bytes at all can make it raise."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_provision.model.survey import PASSIVE, JobState, Section, Survey, SurveyRequest
from metis_provision.survey.parser import SurveyIncomplete, parse_survey, read_survey
from metis_provision.survey.sections import READERS

WHOLE = "@survey 1 driver log\n@begin driver\nloaded\n@end driver\n@begin log\nlog\taxl x\n@end log\n@complete\n"

ROW_WORDS = """
    os_release init space space_of tool secure_boot efi epoch kernel running module modinfo heaps pci node
    stat link holder status user member group file sha256 target package job job_key job_status attempt exit
    command receipt 0000:01:00.0 id config path bar current_link_speed 0x1f9d 0x120000 ID=debian ok denied 0
    metis/1.6.2: added
"""

# Words of the format, so that random text gets past the first line.
WORDS = [
    "@survey 1 " + " ".join(Section),
    "@complete",
    *(f"@{mark} {section}" for mark in ("begin", "end", "failed") for section in Section),
    *re.findall(r"\S+", ROW_WORDS),
]
LINES = st.lists(
    st.one_of(
        st.sampled_from(WORDS),
        st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=12)), max_size=8).map("\t".join),
        st.text(max_size=40),
    ),
    max_size=60,
)


def section(name: str, *rows: str) -> Survey:
    """The survey of one section with these rows."""
    return parse_survey([f"@survey 1 {name}", f"@begin {name}", *rows, f"@end {name}", "@complete"])


@given(LINES)
def test_no_lines_make_it_raise(lines):
    survey = parse_survey(lines)
    assert isinstance(survey, Survey)
    survey.to_json()


@given(st.binary(max_size=400))
def test_no_bytes_make_it_raise(data):
    parse_survey(data.decode("latin-1"))


@given(st.sampled_from(list(Section)), LINES)
def test_no_rows_make_a_section_raise(name, rows):
    survey = section(name, *(row for row in rows if not row.startswith("@") and "\n" not in row))
    assert survey.sections == {name}


def test_every_section_has_a_reader():
    assert set(READERS) == set(Section)


def test_a_whole_survey():
    survey = read_survey(WHOLE)
    assert survey.sections == {Section.DRIVER, Section.LOG}
    assert survey.driver.loaded
    assert survey.log == ("axl x",)
    assert survey.complaints == ()


def test_carriage_returns_and_a_list_of_lines_are_the_same():
    assert parse_survey(WHOLE.replace("\n", "\r\n").split("\n")) == parse_survey(WHOLE)


def test_comments_and_greetings_are_not_content():
    survey = read_survey("# built by hand\nWelcome to host!\n" + WHOLE)
    assert survey.driver.loaded
    assert survey.complaints == ("Welcome to host!",)


@pytest.mark.parametrize("kept", range(1, 8))
def test_a_survey_cut_off_anywhere_is_incomplete(kept):
    lines = WHOLE.splitlines()
    with pytest.raises(SurveyIncomplete):
        read_survey(lines[:kept])


def test_a_section_cut_off_is_not_among_the_sections():
    lines = WHOLE.splitlines()
    survey = parse_survey(lines[:6])
    assert survey.sections == {Section.DRIVER}
    assert survey.log == ()


@pytest.mark.parametrize(
    "text", ["", "\n", "sudo: a password is required\n", "@complete\n", "@survey 2 driver\n@complete\n"]
)
def test_something_else_is_incomplete(text):
    with pytest.raises(SurveyIncomplete):
        read_survey(text)


def test_a_section_that_was_asked_and_did_not_arrive():
    with pytest.raises(SurveyIncomplete, match=r"without pci$"):
        read_survey(WHOLE, SurveyRequest(sections=(Section.DRIVER, Section.PCI)))


def test_a_section_that_failed_says_why():
    text = "@survey 1 dkms\n@begin dkms\npresent\n@failed dkms\tdkms status did not answer\n@complete\n"
    with pytest.raises(SurveyIncomplete, match=r"dkms \(dkms status did not answer\)"):
        read_survey(text)
    assert parse_survey(text).complaints == ("dkms: dkms status did not answer",)


def test_an_active_section_may_be_missing():
    text = "@survey 1 driver access\n@begin driver\n@end driver\n@begin access\n@complete\n"
    assert parse_survey(text).sections == {Section.DRIVER}
    with pytest.raises(SurveyIncomplete, match="cut off"):
        read_survey(text)
    text = text.replace("@begin access\n", "@begin access\n@failed access no way\n")
    assert read_survey(text).sections == {Section.DRIVER}


def test_a_request_for_nothing_is_no_survey():
    with pytest.raises(SurveyIncomplete):
        read_survey("@survey 1 \n@complete\n", SurveyRequest(sections=()))


def test_the_default_request_needs_every_passive_section():
    with pytest.raises(SurveyIncomplete) as error:
        read_survey(WHOLE, SurveyRequest())
    assert all(name in str(error.value) for name in set(PASSIVE) - {Section.DRIVER, Section.LOG})


def test_rows_nobody_knows_are_complained_of_and_cut():
    survey = section("driver", "loaded", "colour\tblue", "x" * 2000)
    assert survey.driver.loaded
    assert survey.complaints == ("colour\tblue", "x" * 500)


def test_a_space_line_missing_leaves_the_space_unknown():
    heading = "space\tFilesystem 1024-blocks Used Available Capacity Mounted on"
    line = "space\t/dev/my disk 100 60 40 60% /"
    assert section("host", "space_of\t/", heading, line).host.free_kib == {"/": 40}
    survey = section("host", "space_of\t/", "space_of\t/var", heading, line)
    assert survey.host.free_kib == {}
    assert survey.complaints


@pytest.mark.parametrize(
    ("row", "init"),
    [
        ("init\tinit\t/usr/lib/systemd/systemd", "unknown"),
        ("init\topenrc-init\t", "openrc"),
        ("init\tsystemd", "systemd"),
    ],
)
def test_init(row, init):
    assert section("host", row).host.init == init


def test_a_function_without_ids_is_refused():
    survey = section("pci", "pci\t0000:01:00.0\trevision\t0x02", "pci\tnonsense\tid\t0x1f9d\t0x1100\t0x120000")
    assert survey.pci == ()
    assert len(survey.complaints) == 2


@pytest.mark.parametrize(
    ("attribute", "value", "field", "read"),
    [
        ("current_link_speed", "8.0 GT/s PCIe", "current_speed", 8.0),
        ("current_link_speed", "2.5 GT/s", "current_speed", 2.5),
        ("current_link_speed", "Unknown", "current_speed", None),
        ("current_link_width", "1", "current_width", 1),
        ("current_link_width", "0", "current_width", None),
        ("max_link_width", "255", "max_width", None),
        ("max_link_width", "four", "max_width", None),
        ("revision", "0x02", "revision", "02"),
    ],
)
def test_link_attributes(attribute, value, field, read):
    ids = "pci\t0000:01:00.0\tid\t0x1f9d\t0x1100\t0x120000"
    (function,) = section("pci", ids, f"pci\t0000:01:00.0\t{attribute}\t{value}").pci
    assert getattr(function, field) == read


@pytest.mark.parametrize(
    ("lock", "status", "running"),
    [
        ("held", None, True),
        ("held", "0", True),
        ("free", None, False),
        ("unknown", None, True),
        ("unknown", "1", False),
    ],
)
def test_whether_a_job_runs(lock, status, running):
    rows = [f"job\tdkms\t{lock}", *([f"job_status\tdkms\t{status}"] if status else [])]
    job = section("state", *rows).jobs["dkms"]
    assert job == JobState("dkms", running, int(status) if status else None)


def test_a_tool_that_was_not_run_and_one_that_did_not_end_are_no_result():
    assert section("devices", "held").devices is None
    assert section("devices", "command\taxdevice", "output\tx").devices is None


def test_unreadable_accounts_are_refused():
    survey = section("accounts", "user\tbroken", "user\t:x:1", "user\ta:x:12:12::/:", "group\tg:x:notanumber:")
    assert set(survey.users) == {"a"}
    assert survey.groups == {}
    assert len(survey.complaints) == 3
