"""A Raspberry Pi's config.txt as bytes: what is in force in it for one board, and the one block in it that is ours.

Everything outside the block is carried byte for byte; taking the block out gives the earlier file back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_BEGIN = b"# metis-provision begin"
_END = b"# metis-provision end"
_NOTE = b": replaced by the next run up to the line that says end"
_AFTER_UNFINISHED = b" (the line above had no line end)"

_FILTER = re.compile(rb"\[([^\]]*)\]")
_MODEL = re.compile(r"(?:pi|cm)[0-9][0-9a-z+]*")
_ON = frozenset({"on", "true", "yes", "y", "1", "enable"})
_OFF = frozenset({"off", "false", "no", "n", "0", "disable"})
_SAME_PARAMETER = {"nvme": "pciex1"}
"""Parameters with two names (README of the Raspberry Pi overlays)."""


class ConfigRefused(ValueError):
    """A config.txt that cannot be edited without risk; the text is half a sentence that says why and what to do."""


@dataclass(frozen=True, slots=True)
class Board:
    """A board as config.txt's filters see it: the filter we write for it, and every model filter that lets it in."""

    own: str
    filters: frozenset[str]


# Beginning of /proc/device-tree/model, the more particular first; filters as in the Raspberry Pi documentation,
# "Conditional filters". A later model sees the filter of its family and its own.
_BOARDS = (
    ("Raspberry Pi Compute Module 5", Board("cm5", frozenset({"pi5", "cm5"}))),
    ("Raspberry Pi 500", Board("pi5", frozenset({"pi5", "pi500"}))),
    ("Raspberry Pi 5", Board("pi5", frozenset({"pi5"}))),
    ("Raspberry Pi Compute Module 4S", Board("cm4s", frozenset({"pi4", "cm4s"}))),
    ("Raspberry Pi Compute Module 4", Board("cm4", frozenset({"pi4", "cm4"}))),
    ("Raspberry Pi 400", Board("pi400", frozenset({"pi4", "pi400"}))),
    ("Raspberry Pi 4", Board("pi4", frozenset({"pi4"}))),
)
_KNOWN_FILTERS = frozenset(
    {"pi0", "pi0w", "pi02", "pi1", "pi2", "pi3", "pi3+", "pi4", "pi400", "cm4", "cm4s", "pi5", "pi500", "cm5"}
)


def board_of(model: str | None) -> Board | None:
    """The board whose device tree calls it ``model``, None for one whose filters we do not know."""
    return next((board for name, board in _BOARDS if model is not None and model.startswith(name)), None)


def edited(content: bytes, wanted: Sequence[str], board: Board) -> bytes:
    """Return ``content`` with our block at its end, holding those lines of ``wanted`` that are not in force without it.

    Without such lines there is no block. Raises ConfigRefused.
    """
    base = without_block(content)
    lines = missing(base, wanted, board)
    return base + _block(base, lines, board) if lines else base


def holds_block(content: bytes) -> bool:
    """Whether ``content`` holds a block of ours, or what is left of one."""
    return any(line.startswith((_BEGIN, _END)) for line in _lines(content))


def without_block(content: bytes) -> bytes:
    """Return ``content`` as it was without our block. Raises ConfigRefused for one that was damaged."""
    if b"\0" in content:
        raise ConfigRefused("is not a text the firmware can read (it holds NUL bytes): save it as plain text")
    kept: list[bytes] = []
    added_end = b""
    inside = False
    for line in _lines(content):
        text = line.rstrip(b"\r\n")
        if text.startswith(_BEGIN):
            if inside:
                raise ConfigRefused(_DAMAGED)
            inside = True
            added_end = line[len(text) :] if _AFTER_UNFINISHED in text else b""
        elif text == _END:
            if not inside:
                raise ConfigRefused(_DAMAGED)
            inside = False
        elif not inside:
            kept.append(line)
            added_end = b""
    if inside:
        raise ConfigRefused(_DAMAGED)
    # The line end we added before the block is ours only while nothing was written behind the block.
    return b"".join(kept).removesuffix(added_end)


_DAMAGED = (
    f"holds half a block of ours: delete its lines from '{_BEGIN.decode()}' to '{_END.decode()}', whichever are left"
)


def missing(content: bytes, wanted: Iterable[str], board: Board) -> tuple[str, ...]:
    """Return the lines of ``wanted`` that ``content`` does not put in force on ``board``.

    Parameters first: behind an overlay a ``dtparam`` is the overlay's if that has one of the name.
    """
    state = _state(content, board)
    lines = dict.fromkeys(wanted)
    found = [line for line in lines if any(state.get(key) != value for key, value in _settings(line))]
    return tuple(sorted(found, key=lambda line: line.startswith("dtoverlay=")))


def _block(base: bytes, lines: Sequence[str], board: Board) -> bytes:
    end = _line_end(base)
    unfinished = bool(base) and not base.endswith(b"\n")
    begin = _BEGIN + (_AFTER_UNFINISHED if unfinished else b"") + _NOTE
    # An empty dtoverlay= ends the scope of whatever overlay the file loaded last, so that parameters are the board's.
    scope = ["dtoverlay="] if lines[0].startswith("dtparam=") else []
    body = ["[all]", f"[{board.own}]", *scope, *lines, "[all]"]
    text = end.join([begin, *(line.encode() for line in body), _END, b""])
    return end + text if unfinished else text


def _line_end(content: bytes) -> bytes:
    last = content.rfind(b"\n")
    return b"\r\n" if last > 0 and content[last - 1 : last] == b"\r" else b"\n"


def _lines(content: bytes) -> list[bytes]:
    """Split behind each newline and nowhere else."""
    return re.findall(rb"[^\n]*\n|[^\n]+", content)


def _state(content: bytes, board: Board) -> dict[str, str | None]:
    """What is in force at the end: value by setting, None where that depends on what cannot be known here."""
    state: dict[str, str | None] = {}
    for line, certain in _applied(content, board):
        text = line.decode("latin-1")
        if text.startswith("include "):
            # The other file may set anything again, except take away an overlay.
            state = {key: value if key.startswith("dtoverlay=") else None for key, value in state.items()}
        for key, value in _settings(text):
            if certain:
                state[key] = value
            elif state.get(key, value) != value:
                state[key] = None
    return state


def _applied(content: bytes, board: Board) -> Iterator[tuple[bytes, bool]]:
    """Each line that may apply to ``board``, and whether it surely does."""
    model: bool | None = True
    others = after_none = False
    for raw in _lines(content):
        line = raw.rstrip(b"\r\n").lstrip(b" \t")
        found = _FILTER.match(line)
        if found is None and line.startswith(b"["):
            others = True
        elif found is not None:
            name = found[1].decode("latin-1")
            if name == "all":
                model, others, after_none = True, False, False
            elif name == "none":
                model, after_none = False, True
            elif _MODEL.fullmatch(name):
                # Whether a model's filter ends [none] is written nowhere.
                model = None if after_none and _lets_in(name, board) else _lets_in(name, board)
            else:
                # Serial number, GPIO, display, partition: filters of other kinds narrow until the next [all].
                others = True
        elif line and not line.startswith(b"#") and model is not False:
            yield line, model is True and not others


def _lets_in(name: str, board: Board) -> bool | None:
    if name in board.filters:
        return True
    return False if name in _KNOWN_FILTERS else None


def _settings(line: str) -> list[tuple[str, str]]:
    """Name and value of everything one line sets."""
    key, equals, value = line.partition("=")
    if not equals:
        return []
    if key == "dtparam":
        return [_parameter(item) for item in value.split(",") if item]
    if key == "dtoverlay":
        name, _, parameters = re.sub(":", ",", value, count=1).partition(",")
        loaded = [f"dtoverlay={name}", *([f"dtoverlay={name},{parameters}"] if parameters else [])]
        return [(entry, "loaded") for entry in loaded] if name else []
    return [(key, value)]


def _parameter(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    plain = value.lower()
    value = "on" if not equals or plain in _ON else "off" if plain in _OFF else value
    return f"dtparam={_SAME_PARAMETER.get(name, name)}", value
