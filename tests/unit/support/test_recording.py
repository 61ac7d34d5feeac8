"""A recording says of its host what the host itself said, and nothing of whose it is."""

from __future__ import annotations

import base64
import contextlib
import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metis_provision.model.errors import UserError
from metis_provision.model.settings import Settings
from metis_provision.model.verdict import WaiverState
from metis_provision.support.mask import Kind, Masker
from metis_provision.support.recording import StandIns, read_recording, recorded

SURVEYS = sorted((Path(__file__).parents[2] / "fixtures" / "surveys").glob("*.txt"))
DAY = date(2026, 11, 21)
PINNED = {"driver_version": "1.6.2", "driver_source": "/home/anna/metis-1.6.2.tar.gz", "driver_sha256": "0" * 64}
PROVISIONED = (Path(__file__).parents[2] / "fixtures" / "surveys" / "debian13-provisioned.txt").read_text()


def record(survey: str, asked: Settings, hosts=(), users=(), key=None):
    stand_ins = StandIns()
    return recorded(asked, survey.split("\n"), key, DAY, Masker(hosts, users, stand_ins), stand_ins)


def answers(verdict):
    return [(finding.code, finding.answer) for finding in verdict.findings]


@pytest.mark.parametrize("path", SURVEYS, ids=lambda path: path.stem)
def test_masking_changes_no_answer(path):
    text = path.read_text()
    _, changed = record(text, read_recording(text, "here").settings, hosts=("kitchen",))
    assert changed == ()


def test_a_masked_host_is_judged_as_the_host_was():
    before = read_recording(PROVISIONED, "here")
    masked, _ = record(PROVISIONED, before.settings)
    assert answers(read_recording(masked, "here").verdict("host")) == answers(before.verdict("host"))


def test_what_identifies_the_host_is_replaced_by_something_of_its_form():
    said = PROVISIONED.replace(
        "@begin log\n", "@begin log\nlog\t[ 1.0] kitchen eth0: 00:1b:21:3c:9d:f8 at 192.168.7.5\n"
    )
    masked, changed = record(said, Settings.model_validate(PINNED), hosts=("kitchen",), users=("anna",))
    assert changed == ()
    assert re.search(r"\[ 1.0\] host-\d+ eth0: 00:00:00:00:00:\d\d at 192\.0\.2\.2$", masked, re.MULTILINE)
    for gone in ("kitchen", "00:1b:21", "192.168.7.5", "anna"):
        assert gone not in masked
    assert read_recording(masked, "here").settings.driver_source == "/home/user-1/metis-1.6.2.tar.gz"
    assert "0000:01:00.0" in masked


def test_one_identifier_in_three_forms_stays_one():
    stand_ins = StandIns()
    masker = Masker(stand_in=stand_ins)
    masked = stand_ins.elsewhere(
        masker.mask(
            "sig_key: 7B:AF:01:02:03:04:05:06:07:08\nserial=7BAF0102030405060708\nkey: 7baf0102030405060708: X509.rsa\n"
        )
    )
    assert (
        masked
        == "sig_key: 00:00:00:00:00:00:00:00:00:01\nserial=00000000000000000001\nkey: 00000000000000000001: X509.rsa\n"
    )


@given(st.sampled_from(list(Kind)), st.text(min_size=1, max_size=60), st.integers(1, 2000))
def test_a_stand_in_is_never_empty_and_always_the_same(kind, value, number):
    stand_ins = StandIns()
    first = stand_ins(kind, value, number)
    assert first == stand_ins(kind, value, number)
    assert first or kind in {Kind.MAC, Kind.UUID, Kind.SERIAL}


def test_settings_waivers_and_the_signing_key_come_along():
    waiver = {"METIS-601": {"reason": "we edit", "until": date(2026, 12, 31)}}
    asked = Settings.model_validate({**PINNED, "carrier": "x86-slot", "cards": 2, "waivers": waiver})
    masked, _ = record(PROVISIONED, asked, key=b"\x99key")
    read = read_recording(masked, "here")
    assert (read.settings.carrier, read.settings.cards, read.key, read.day) == ("x86-slot", 2, b"\x99key", DAY)
    assert {waiver.state for waiver in read.verdict("h").waivers} & {WaiverState.IN_FORCE, WaiverState.UNUSED}
    expired = masked.replace("2026-11-21", "2027-01-01", 1)
    assert {w.state for w in read_recording(expired, "here").verdict("h").waivers} == {WaiverState.EXPIRED}


def test_answers_that_masking_changes_are_said():
    said, changed = record(PROVISIONED, Settings.model_validate(PINNED), hosts=("trixie", "updates", "axl"))
    assert changed == ()
    said, changed = record(PROVISIONED, Settings.model_validate(PINNED), hosts=("denied",))
    assert "METIS-312" in changed
    assert f"# Masking changed: {' '.join(changed)}\n" in said


def test_a_file_inside_the_survey_is_masked_too():
    plain = b"# of kitchen\ndtoverlay=x\npassword=tulip5\n"
    rows = f"a\ncontent\t{base64.b64encode(plain).decode()}\ncontent_end\n"
    masked = Masker(hosts=("kitchen",)).mask(rows)
    inner = base64.b64decode(masked.split("\n")[1].removeprefix("content\t"))
    assert inner == b"# of <host-1>\ndtoverlay=x\npassword=<secret-1>\n"
    assert Masker().mask("content\tQQ\ncontent_end\n") == "content\t<secret-1>\ncontent_end\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "here: this is no recording; metis-provision lab record makes one"),
        ("hello\n", "this is no recording"),
        (PROVISIONED[: len(PROVISIONED) // 2], "here: the look at the host came back without"),
        (PROVISIONED.removesuffix("@complete\n"), "cut off before its end"),
        ("# Settings: {\n" + PROVISIONED, "here: its head cannot be read"),
        ("# Settings: []\n" + PROVISIONED, "settings are no JSON object"),
        ("# Settings: {}\n" + PROVISIONED, "metis_driver_version is missing"),
        ('# Settings: {"metis_cardz": 1, "metis_driver": "none"}\n' + PROVISIONED, "did you mean metis_cards?"),
        ("# Recorded: 2026-13-45\n" + PROVISIONED, "here: its head cannot be read"),
        ("# Key: ?\n" + PROVISIONED, "here: its head cannot be read"),
    ],
)
def test_what_is_no_whole_recording_is_refused_in_a_sentence(text, sentence):
    with pytest.raises(UserError) as refused:
        read_recording(text, "here")
    assert sentence in str(refused.value)
    assert all(line.startswith("here: ") for line in str(refused.value).splitlines())


@settings(deadline=None, max_examples=50)
@given(st.text(), st.booleans())
def test_any_text_is_read_or_refused(text, headed):
    with contextlib.suppress(UserError):
        read_recording(f"# Settings: {text}\n{PROVISIONED}" if headed else text, "here")


@settings(deadline=None, max_examples=25)
@given(st.binary(max_size=200))
@example(b"\x0b@")  # Python's splitlines ends a line there
@example(b"a\r@end log")
def test_any_line_of_a_survey_can_be_recorded(data):
    line = data.decode("utf-8", "surrogateescape").replace("\n", " ")
    text, _ = record(PROVISIONED.replace("@begin log\n", f"@begin log\nlog\t{line}\n"), Settings(driver="none"))
    read_recording(text, "here")
