"""The table and what stands below it, word for word, on wide and narrow terminals and in files."""

from __future__ import annotations

import io

import pytest

from metis_provision.model.verdict import Answer, Area, Finding, Level, Verdict, When
from metis_provision.report.terminal import Row, literal, print_plan, print_report, render_plan, render_report

CARD = "0000:01:00.0"
RESEAT = "Reseat the card and switch the power off and on."


def finding(code: str, area: str, answer: str = "pass", brief: str = "", **changes) -> Finding:
    usual = {"title": "Title", "seen": "Seen.", "next_step": "" if answer in {"pass", "skip"} else "Act."}
    return Finding(code=code, area=Area(area), answer=Answer(answer), brief=brief, **{**usual, **changes})


GREEN = (
    finding("METIS-010", "host"),
    finding("METIS-101", "enumeration", brief="1 card"),
    finding("METIS-102", "enumeration"),
    finding("METIS-120", "link", brief="8 GT/s x4"),
    finding("METIS-201", "driver", brief="1.6.2"),
    finding("METIS-302", "node", brief="root:axelera 0660"),
    finding("METIS-310", "access", brief="group only"),
    finding("METIS-311", "access", brief="group only"),
    finding("METIS-401", "firmware", brief="1.3.2"),
    finding("METIS-501", "self-test", brief="405.2 FPS"),
    finding("METIS-503", "self-test", "skip"),
    finding("METIS-601", "files"),
)


def changed(*changes: Finding) -> tuple[Finding, ...]:
    """Return the findings of a green host with some of them replaced or added."""
    codes = {change.code for change in changes}
    return tuple(f for f in GREEN if f.code not in codes) + changes


def verdict(host: str, *changes: Finding) -> Row:
    return Row(host, Verdict(host, changed(*changes)))


NARROW = finding(
    "METIS-120",
    "link",
    "warn",
    "8 GT/s x1",
    title="The link runs as its path allows",
    seen=f"The link 0000:00:01.0 to {CARD} runs at 8 GT/s x1, the path allows 8 GT/s x4.",
    next_step=RESEAT,
)
WRONG = finding(
    "METIS-502",
    "self-test",
    "fail",
    "wrong answer",
    title="The self-test's answer is right",
    seen="The card computed a wrong answer: byte 17.",
    next_step="Take the host out of service.",
)
NO_MODEL = finding(
    "METIS-501",
    "self-test",
    "unknown",
    seen="no model is set for the self-test",
    next_step="Set metis_self_test_model.",
)
FLEET = (
    verdict("lab1"),
    verdict("lab2", NARROW),
    verdict("lab3", NARROW, WRONG),
    verdict("lab4", NO_MODEL),
    Row("lab5", None, "unreachable"),
)

WIDE = """\
host | enumeration | link            | driver | node              | access     | firmware | self-test          | standing
-----+-------------+-----------------+--------+-------------------+------------+----------+--------------------+------------------------
lab1 | 1 card      | 8 GT/s x4       | 1.6.2  | root:axelera 0660 | group only | 1.3.2    | 405.2 FPS          | green
lab2 | 1 card      | warn: 8 GT/s x1 | 1.6.2  | root:axelera 0660 | group only | 1.3.2    | 405.2 FPS          | warned
lab3 | 1 card      | warn: 8 GT/s x1 | 1.6.2  | root:axelera 0660 | group only | 1.3.2    | fail: wrong answer | failed
lab4 | 1 card      | 8 GT/s x4       | 1.6.2  | root:axelera 0660 | group only | 1.3.2    | unknown            | unproven
lab5 | -           | -               | -      | -                 | -          | -        | -                  | no verdict: unreachable

no verdict
  hosts: lab5
  seen:  unreachable

fail METIS-502 The self-test's answer is right
  hosts: lab3
  seen:  The card computed a wrong answer: byte 17.
  next:  Take the host out of service.

unknown METIS-501 Title
  hosts: lab4
  seen:  no model is set for the self-test
  next:  Set metis_self_test_model.

warn METIS-120 The link runs as its path allows
  hosts: lab2, lab3
  seen:  The link 0000:00:01.0 to 0000:01:00.0 runs at 8 GT/s x1, the path allows 8 GT/s x4.
  next:  Reseat the card and switch the power off and on.

5 hosts: 1 green, 1 warned, 1 unproven, 1 failed, 1 without a verdict. Verified at level medium.
"""  # noqa: E501

STACKED = """\
host | verdict
-----+----------------------------
lab2 | standing: warned
     | enumeration: 1 card
     | link: warn: 8 GT/s x1
     | driver: 1.6.2
     | node: root:axelera 0660
     | access: group only
     | firmware: 1.3.2
     | self-test: 405.2 FPS
-----+----------------------------
lab5 | standing: no verdict:
     | unreachable

no verdict
  hosts: lab5
  seen:  unreachable

warn METIS-120 The link runs as
its path allows
  hosts: lab2
  seen:  The link 0000:00:01.0 to
         0000:01:00.0 runs at 8
         GT/s x1, the path allows
         8 GT/s x4.
  next:  Reseat the card and
         switch the power off and
         on.

2 hosts: 1 warned, 1 without a
verdict. Verified at level medium.
"""


class Terminal(io.StringIO):
    """A terminal, as far as a program can ask."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class AsciiTerminal(Terminal):
    """A terminal that draws ASCII only."""

    encoding = "ascii"


class AsciiFile(io.StringIO):
    """A file that takes ASCII only."""

    encoding = "ascii"

    def write(self, text: str) -> int:
        text.encode("ascii")
        return super().write(text)


def plain(*rows: Row, width: int | None = None) -> str:
    return render_report(rows, width=width, colour=False, plain=True)


def test_a_fleet_word_for_word():
    assert plain(*FLEET) == WIDE


def test_a_narrow_terminal_gets_lines_instead_of_columns():
    assert plain(FLEET[1], FLEET[4], width=34) == STACKED


@pytest.mark.parametrize("width", [20, 34, 80, 100, 120, 200])
def test_nothing_is_cut_off_at_any_width(width):
    text = plain(*FLEET, width=width)
    assert all(len(line) <= width for line in text.splitlines())
    words = "".join(text.replace("|", "").split())
    for row in FLEET:
        for f in row.verdict.findings if row.verdict else ():
            if f.answer not in {Answer.PASS, Answer.SKIP}:
                assert "".join(f.seen.split()) in words
                assert "".join(f.next_step.split()) in words


def test_a_file_gets_plain_ascii_whatever_its_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    stream = io.StringIO()
    print_report(FLEET, stream)
    assert stream.getvalue() == WIDE
    assert stream.getvalue().isascii()


def test_a_terminal_gets_colours_and_its_own_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    print_report(FLEET, stream)
    assert "\x1b[32mgreen" in stream.getvalue()
    assert "\x1b[31mfail" in stream.getvalue()


@pytest.mark.parametrize("kind", [Terminal, AsciiTerminal])
def test_a_terminal_gets_lines_that_it_can_draw(monkeypatch, kind):
    monkeypatch.setenv("COLUMNS", "150")
    stream = kind()
    print_report(FLEET, stream)
    assert ("─" in stream.getvalue()) is (stream.encoding == "utf-8")
    assert ("-+-" in stream.getvalue()) is (stream.encoding == "ascii")


def test_a_narrow_terminal_is_measured(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    print_report(FLEET[:1], stream)
    assert "standing: " in stream.getvalue()


def test_a_stream_that_takes_ascii_only_is_not_broken_by_a_host():
    stream = AsciiFile()
    print_report([Row("büro", None, "Verbindung verweigert: ß")], stream)
    assert "b\\xfcro" in stream.getvalue()
    assert "verweigert: \\xdf" in stream.getvalue()


NASTY = "[red]x[/red] [link=http://a]y[/] \x1b[31m\x1b]0;title\x07 \u202egnp.exe\r\x08\x9b31m\udc80"
SHOWN = "[red]x[/red] [link=http://a]y[/] \\x1b[31m\\x1b]0;title\\x07 \\u202egnp.exe\\r\\x08\\x9b31m\\udc80"


@pytest.mark.parametrize("colour", [False, True])
def test_texts_from_a_host_are_shown_literally(colour):
    rows = [
        Row(f"h {NASTY}", Verdict("h", (finding("METIS-101", "enumeration", "fail", NASTY, seen=NASTY, title=NASTY),))),
        Row("r", None, NASTY),
        Row("b", Verdict("b", (finding("METIS-501", "self-test", brief="\x1b[2J"),))),
    ]
    text = render_report(rows, width=None, colour=colour, plain=True)
    assert text.count(SHOWN) >= 4
    assert "\\x1b[2J" in text
    for char in "\x07\r\x08\x9b\u202e\udc80":
        assert char not in text
    if not colour:
        assert "\x1b" not in text


def test_a_line_feed_from_a_host_starts_no_line_of_the_report():
    text = plain(verdict("h", finding("METIS-101", "enumeration", "fail", "a\nb", seen="one\nfail METIS-999 forged")))
    assert "\nfail METIS-999" not in text
    assert "fail METIS-999 forged" in text
    assert "fail: a\\nb" in text


def test_long_texts_are_told_whole_and_leave_the_table_alone():
    long = "word " * 2000 + "end."
    text = plain(
        verdict("h", finding("METIS-101", "enumeration", "fail", long, seen=long)),
        verdict("p", finding("METIS-101", "enumeration", "pass", long)),
        Row("r", None, long),
    )
    table = text.split("\n\n")[0].splitlines()
    assert max(map(len, table)) < 200
    assert text.count(" ".join(long.split())) == 2
    assert [line.split("|")[1].strip() for line in table[2:]] == ["fail", "pass", "-"]


@pytest.mark.parametrize(
    ("findings", "cell"),
    [
        ((("pass", "", True),), "pass"),
        ((("pass", "1.3.2", True), ("pass", "1.4.0", True), ("pass", "1.3.2", True)), "1.3.2, 1.4.0"),
        ((("skip", "", True), ("skip", "", True)), "skip"),
        ((("skip", "busy", True),), "skip: busy"),
        ((("pass", "", True), ("skip", "", True)), "pass"),
        ((("pass", "405.2 FPS", True), ("warn", "hot", True)), "warn: hot"),
        ((("warn", "hot", True), ("unknown", "", True)), "unknown"),
        ((("unknown", "", True), ("fail", "0 of 1", True)), "fail: 0 of 1"),
        ((("fail", "", True),), "fail"),
        ((("pass", "405.2 FPS", True), ("unknown", "answer unproven", False)), "405.2 FPS, answer unproven"),
        ((("unknown", "", False),), "unknown"),
        ((("pass", "1.6.2", True), ("warn", "next boot", False)), "warn: next boot"),
        ((("pass", "1.6.2", True), ("fail", "next boot", False)), "fail: next boot"),
    ],
)
def test_a_cell_shows_the_worst_answer(findings, cell):
    made = [
        finding(f"METIS-40{number}", "firmware", answer, brief, required=required)
        for number, (answer, brief, required) in enumerate(findings)
    ]
    line = plain(Row("h", Verdict("h", tuple(made)))).splitlines()[2]
    assert line.split("|")[6].strip() == cell


def test_findings_without_a_column_are_told_below():
    drift = finding("METIS-601", "files", "fail", "drift", seen="1 of 2 differ: /etc/x (content).")
    text = plain(verdict("h", drift))
    assert "fail METIS-601 Title" in text
    assert text.splitlines()[2].endswith("failed")


def test_an_advisory_finding_says_that_it_does_not_decide():
    assert "warn METIS-220 Title (does not decide)" in plain(
        verdict("h", finding("METIS-220", "driver", "warn", "next boot", required=False))
    )


def test_a_verdict_with_a_reason_besides_shows_both():
    text = plain(Row("h", Verdict("h", GREEN), "failed in: Install the runtime"))
    assert "besides\n  hosts: h\n  seen:  failed in: Install the runtime\n" in text
    assert "no verdict" not in text
    assert text.splitlines()[2].endswith("| green")


def test_a_host_without_verdict_and_reason_is_not_silent():
    text = plain(Row("h", None))
    assert "not verified, and nobody recorded why" in text
    assert text.splitlines()[2].endswith("| no verdict")


def test_two_hundred_hosts():
    rows = [verdict(f"edge-{number:03}", *([NARROW] if number % 2 else [])) for number in range(200)]
    text = plain(*rows)
    table = text.split("\n\n")[0].splitlines()
    assert len(table) == 202
    assert text.count("METIS-120") == 1
    assert ", ".join(f"edge-{number:03}" for number in range(1, 200, 2)) in text
    assert text.endswith("200 hosts: 100 green, 100 warned. Verified at level medium.\n")


def test_levels_are_told_of_the_hosts_that_have_a_verdict():
    quick, long = (Row(name, Verdict(name, GREEN, level=Level(name))) for name in ("quick", "long"))
    away = Row("away", None, "unreachable")
    assert plain(quick, away).endswith("\n2 hosts: 1 green, 1 without a verdict. Verified at level quick.\n")
    assert plain(quick, long, away).endswith("Verified at levels quick (1 host), long (1 host).\n")
    assert plain(away).endswith("\n1 host: 1 without a verdict.\n")


def test_no_hosts():
    assert plain().endswith("No hosts.\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ß 漢", "plain ß 漢"),
        ("\t", "\\t"),
        ("\x00", "\\x00"),
        ("\u2028", "\\u2028"),
        ("\\n", "\\n"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_literal(text, shown):
    assert literal(text) == shown


PLANS = (
    ("lab1", {"access": ("group axelera is missing", "/etc/x differs"), "driver": ("1.6.2 is not installed",)}, ""),
    ("lab2", {}, ""),
    ("lab3", {"access": ("group axelera is missing", "/etc/x differs"), "driver": ("1.6.2 is not installed",)}, ""),
    ("lab4", {}, "unreachable"),
)


def test_a_plan_is_told_once_for_hosts_that_share_it():
    assert render_plan(PLANS, width=None, colour=False) == (
        "lab1, lab3\n"
        "  access: group axelera is missing\n"
        "  access: /etc/x differs\n"
        "  driver: 1.6.2 is not installed\n"
        "\n"
        "lab2\n"
        "  nothing: no change is needed\n"
        "\n"
        "lab4\n"
        "  cannot: unreachable\n"
        "\n"
        "4 hosts: 2 with changes pending.\n"
    )


def test_a_plan_goes_to_a_stream():
    stream = io.StringIO()
    print_plan(PLANS, stream)
    assert stream.getvalue() == render_plan(PLANS, width=None, colour=False)


def test_a_host_that_will_lose_its_card_says_so_beside_its_standing():
    doomed = Verdict(
        "lab1",
        (
            Finding("METIS-101", "Cards", Answer.PASS, "1 card."),
            Finding("METIS-232", "Driver", Answer.FAIL, "6.13 has none.", "Run the deploy.", when=When.NEXT_BOOT),
        ),
    )
    text = render_report([Row("lab1", doomed)], width=None, colour=False, plain=True)
    assert "failed: green now, failed at next boot" in text
    fine = Verdict("lab1", doomed.findings[:1])
    assert "now" not in render_report([Row("lab1", fine)], width=None, colour=False, plain=True)
