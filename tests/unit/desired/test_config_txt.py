"""The editor of config.txt, over files in the shapes of real images: nothing lost, nothing twice, all of it undone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_provision.desired.config_txt import Board, ConfigRefused, board_of, edited, missing, without_block

FIXTURES = Path(__file__).parents[2] / "fixtures" / "config-txt"
PI5, CM5, PI4 = (board_of(f"Raspberry Pi {name}") for name in ("5 Model B Rev 1.0", "Compute Module 5 Rev 1.0", "4"))
WANTED = ("dtparam=pciex1", "dtparam=pciex1_gen=3", "dtoverlay=pcie-32bit-dma-pi5")
assert PI5
assert CM5
assert PI4

FILES = {path.stem: path.read_bytes() for path in sorted(FIXTURES.glob("*.txt"))}
FILES |= {f"{name}, Windows": content.replace(b"\n", b"\r\n") for name, content in FILES.items()}
FILES |= {f"{name}, unfinished": content.rstrip(b"\r\n") for name, content in FILES.items()}
FILES |= {"empty": b"", "one line end": b"\n", "binary": bytes(range(1, 256))}

LINES = st.one_of(
    st.sampled_from([line for content in FILES.values() for line in content.splitlines(keepends=True)]),
    st.sampled_from([b"[pi5]\n", b"[cm5]\n", b"[none]\n", b"[all]\n", b"[gpio4=1]\n", b"[", b"include more.txt\n"]),
    st.sampled_from([f"{line}{tail}\n".encode() for line in WANTED for tail in ("", "=off", "=on", ",x=1", "\r")]),
    st.binary(max_size=12).filter(lambda data: b"\0" not in data),
)
CONTENTS = st.lists(LINES, max_size=30).map(b"".join)
LISTS = st.lists(st.sampled_from([*WANTED, "dtparam=pciex1=off", "dtoverlay=exaviz-cruiser,a=1", "arm_boost=1"]))
BOARDS = st.sampled_from([PI5, CM5, PI4])


@pytest.fixture(params=FILES, ids=str)
def content(request: pytest.FixtureRequest) -> bytes:
    return FILES[request.param]


def check(content: bytes, wanted: tuple[str, ...], board: Board) -> None:
    """Everything that must hold for any file without a block of ours."""
    once = edited(content, wanted, board)
    assert once.startswith(content)
    assert edited(once, wanted, board) == once
    assert without_block(once) == content
    contrary = "dtparam=pciex1" in wanted and "dtparam=pciex1=off" in wanted
    assert contrary or missing(once, wanted, board) == ()
    assert edited(once, (), board) == content


@pytest.mark.parametrize("board", [PI5, CM5], ids=["pi5", "cm5"])
def test_real_files_keep_every_byte_and_get_every_line_once(content: bytes, board: Board) -> None:
    check(content, WANTED, board)


@given(CONTENTS, LISTS, BOARDS)
def test_any_file_keeps_every_byte_and_gets_every_line_once(content, wanted, board):
    check(content, tuple(wanted), board)


@given(CONTENTS, CONTENTS, LISTS, BOARDS)
def test_what_is_written_behind_the_block_stays(before, after, wanted, board):
    once = edited(edited(before, wanted, board) + after, wanted, board)
    base = without_block(once)
    assert base.endswith(after)
    assert base.startswith(before)
    assert edited(once, wanted, board) == once


@given(CONTENTS, LISTS, LISTS, BOARDS)
def test_a_change_of_mind_leaves_no_trace(content, first, second, board):
    assert edited(edited(content, first, board), second, board) == edited(content, second, board)


def test_the_block_says_whose_it_is_and_applies_to_one_model_only() -> None:
    text = edited(FILES["bookworm"], WANTED, CM5).removeprefix(FILES["bookworm"]).decode()
    assert text.splitlines() == [
        "# metis-provision begin: replaced by the next run up to the line that says end",
        "[all]",
        "[cm5]",
        "dtoverlay=",
        *WANTED,
        "[all]",
        "# metis-provision end",
    ]


def test_the_block_has_the_line_ends_of_the_file() -> None:
    added = edited(FILES["bookworm, Windows"], WANTED, PI5).removeprefix(FILES["bookworm, Windows"])
    assert added.count(b"\n") == added.count(b"\r\n") > 5


def test_a_file_that_has_it_all_is_left_alone() -> None:
    done = FILES["already-set-up"]
    assert edited(done, WANTED, PI5) == done
    assert edited(done, WANTED, CM5) == done


@pytest.mark.parametrize(
    ("text", "board", "left"),
    [
        ("", PI5, WANTED),
        ("dtparam=pciex1\n", PI5, WANTED[1:]),
        ("dtparam=pciex1=on\n", PI5, WANTED[1:]),
        ("dtparam=pciex1=yes\r\n", PI5, WANTED[1:]),
        ("dtparam=audio=on,pciex1,pciex1_gen=3\n", PI5, WANTED[2:]),
        ("dtparam=pciex1\ndtparam=pciex1=off\n", PI5, WANTED),
        ("dtparam=pciex1=off\ndtparam=pciex1\n", PI5, WANTED[1:]),
        ("dtparam=pciex1_gen=2\n", PI5, WANTED),
        ("#dtparam=pciex1\n", PI5, WANTED),
        ("[pi5]\ndtparam=pciex1\n", PI5, WANTED[1:]),
        ("[pi5]\ndtparam=pciex1\n", CM5, WANTED[1:]),
        ("[cm5]\ndtparam=pciex1\n", PI5, WANTED),
        ("[pi5]\n[pi4]\ndtparam=pciex1\n", PI5, WANTED),
        ("[pi4]\n[pi5]\ndtparam=pciex1\n", PI5, WANTED[1:]),
        ("dtparam=pciex1\n[pi4]\ndtparam=pciex1=off\n", PI5, WANTED[1:]),
        ("[none]\ndtparam=pciex1\n", PI5, WANTED),
        ("[none]\n[all]\ndtparam=pciex1\n", PI5, WANTED[1:]),
        ("[none]\n[pi5]\ndtparam=pciex1\n", PI5, WANTED),
        ("[gpio4=1]\ndtparam=pciex1\n", PI5, WANTED),
        ("[gpio4=1]\n[pi5]\ndtparam=pciex1\n", PI5, WANTED),
        ("dtparam=pciex1\n[gpio4=1]\ndtparam=pciex1=off\n", PI5, WANTED),
        ("dtparam=pciex1\n[gpio4=1]\ndtparam=pciex1\n", PI5, WANTED[1:]),
        ("[pi7]\ndtparam=pciex1\n", PI5, WANTED),
        ("[pi5\ndtparam=pciex1\n", PI5, WANTED),
        ("dtparam=pciex1\ninclude more.txt\n", PI5, WANTED),
        ("[pi4]\ninclude more.txt\n[all]\ndtparam=pciex1\n", PI5, WANTED[1:]),
        ("dtoverlay=pcie-32bit-dma-pi5\ninclude more.txt\n", PI5, WANTED[:2]),
        ("dtoverlay=pcie-32bit-dma-pi5,x=1\n", PI5, WANTED[:2]),
        ("dtoverlay=pcie-32bit-dma-pi5-later\n", PI5, WANTED),
        ("  dtparam=pciex1\n", PI5, WANTED[1:]),
        ("dtparam = pciex1\n", PI5, WANTED),
        ("dtparam=nvme\n", PI5, WANTED[1:]),
    ],
)
def test_only_what_is_not_in_force_is_added(text: str, board: Board, left: tuple[str, ...]) -> None:
    assert missing(text.encode(), WANTED, board) == left


def test_parameters_come_before_overlays() -> None:
    assert missing(b"", ("dtoverlay=a", "dtparam=b"), PI5) == ("dtparam=b", "dtoverlay=a")


BEGIN, *_, END = edited(b"", WANTED, PI5).splitlines(keepends=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (BEGIN, "half a block"),
        (END, "half a block"),
        (BEGIN + BEGIN + END, "half a block"),
        (BEGIN + END + END, "half a block"),
        ("dtparam=pciex1\n".encode("utf-16"), "plain text"),
    ],
)
def test_a_file_that_cannot_be_edited_safely_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(ConfigRefused, match=words):
        edited(content, WANTED, PI5)


@pytest.mark.parametrize(
    ("model", "own"),
    [
        ("Raspberry Pi 5 Model B Rev 1.1", "pi5"),
        ("Raspberry Pi 500 Rev 1.0", "pi5"),
        ("Raspberry Pi Compute Module 5 Lite Rev 1.0", "cm5"),
        ("Raspberry Pi 400 Rev 1.0", "pi400"),
        ("Raspberry Pi Compute Module 4S Rev 1.0", "cm4s"),
    ],
)
def test_a_board_is_known_by_its_model(model: str, own: str) -> None:
    board = board_of(model)
    assert board is not None
    assert board.own == own


@pytest.mark.parametrize("model", [None, "", "Orange Pi 5 Plus", "Raspberry Pi 3 Model B Rev 1.2"])
def test_a_board_we_do_not_know_is_none(model: str | None) -> None:
    assert board_of(model) is None
