"""Reads what the runtime's tools print, in every form that has been seen and leniently beyond that."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from metis_provision.catalog.contract import contract
from metis_provision.model.survey import Temperatures

_DEVICE = re.compile(r"^\s*Device (?P<index>\d{1,4}): (?P<rest>.*)$")
_NOT_RESPONDING = re.compile(r"\(not responding\)|board_type=unknown\b")
_FIELD = re.compile(r"(?P<key>[a-z_]+)=(?:'(?P<quoted>[^']*)'|(?P<bare>\S+))")
_MEMORY = re.compile(r"(?P<size>\d{1,6}) ?GiB")
_ASIDE = re.compile(r"\([^)]*\)")
_CLOCK = re.compile(r"(?P<mhz>\d{1,6})MHz")
_WHERE = r"(?P<where>device|host|system)(?:\s+\d{1,4})?"
_NUMBER = r"(?P<number>\d[\d.,]{0,40})"
_THROUGHPUT = (
    re.compile(rf"\b{_WHERE}\b[^\d\n]{{0,40}}{_NUMBER}\s*(?:fps|frames)\b", re.IGNORECASE),
    re.compile(rf"\b{_WHERE}\s+fps\b[^\d\n]{{0,20}}{_NUMBER}", re.IGNORECASE),
    # The last column is the rate; the one before it a latency.
    re.compile(rf"(?P<where>end-to-end) average measurement\b.*?\s{_NUMBER}\s*$", re.IGNORECASE),
)
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_DECIMAL = re.compile(r"\d+(?:[.,]\d+)?")
_CORE_TEMPERATURES = re.compile(r"core_temps=\[(?P<list>[^\]]{1,200})\]")
_BOARD_TEMPERATURE = re.compile(r"^\s*\d{1,4}: .*=\s*(?P<degrees>-?\d{1,3}(?:\.\d{1,4})?)\s*$", re.ASCII)
_DEGREES = re.compile(r"-?\d{1,3}(?:\.\d{1,4})?", re.ASCII)
_TROUBLE = re.compile(r"AXR_ERROR\w*|\berror\b|\bfailed\b|timed out|mismatch|not responding|EBUSY", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Device:
    """One device as ``axdevice`` lists it; what the line does not say is None."""

    index: int | None
    node: str
    """The name without /dev, as a rule with colons; empty where a line says only that something is silent."""
    responding: bool
    memory_gib: int | None = None
    board: str | None = None
    firmware: str | None = None
    """Flashed firmware (``flver``, in older tools ``fwver``)."""
    controller: str | None = None
    """Firmware of the board controller (``bcver``)."""
    clock_mhz: int | None = None


class AnswerCheck(StrEnum):
    """What a self-test's output says about the card's answer."""

    RIGHT = "right"
    WRONG = "wrong"
    UNREADABLE = "unreadable"
    NOT_COMPARED = "not-compared"


@dataclass(frozen=True, slots=True)
class SelfTestOutput:
    """What a self-test printed: frames per second by place of measurement, and the comparison of the answer."""

    fps: dict[str, float]
    """Keys are device, host, system and end-to-end; only those that were printed as a number, the least of several."""
    answer: AnswerCheck
    answer_line: str = ""

    @property
    def throughput(self) -> tuple[str, float] | None:
        """The figure nearest to what an application gets, and where it was measured."""
        for where in ("system", "end-to-end", "host", "device"):
            if where in self.fps:
                return where, self.fps[where]
        return None


def parse_devices(output: Iterable[str]) -> tuple[Device, ...]:
    """Devices in the output of ``axdevice``; lines of any other kind are passed over."""
    return tuple(device for line in output if (device := _device(line)) is not None)


def parse_self_test(output: Iterable[str]) -> SelfTestOutput:
    """Throughput and answer in the output of ``axrunmodel`` or ``inference.py --show-stats``."""
    lines = tuple(output)
    fps: dict[str, float] = {}
    for line in lines:
        for pattern in _THROUGHPUT:
            found = pattern.search(line)
            number = _number(found["number"]) if found else None
            if found and number is not None:
                where = found["where"].lower()
                fps[where] = min(number, fps.get(where, number))
                break
    answer, answer_line = _answer(lines)
    return SelfTestOutput(fps, answer, answer_line)


def parse_temperatures(when: str, line: str) -> Temperatures | None:
    """Degrees Celsius in a line of ``axlogdevice`` (board, then cores) or ``axcmd --board-temp``; None without any."""
    cores = _CORE_TEMPERATURES.search(line)
    if cores:
        told = [float(number) for number in cores["list"].split(",") if _DEGREES.fullmatch(number.strip())]
        return Temperatures(when, told[0], tuple(told[1:])) if told else None
    board = _BOARD_TEMPERATURE.search(line)
    return Temperatures(when, float(board["degrees"])) if board else None


def trouble(output: Iterable[str]) -> str:
    """Return the line that says best why a tool gave up: the first that speaks of an error, else the last; or ''."""
    lines = [line.strip() for line in output if line.strip()]
    return next((line for line in lines if _TROUBLE.search(line)), lines[-1] if lines else "")


def version_mismatch(output: Iterable[str]) -> tuple[str, str] | None:
    """The release a model was compiled for and the one that was asked to run it, where a tool says they differ."""
    mismatch = contract().tools.axrunmodel.line("version-mismatch").regex
    found = next((match for line in output if (match := mismatch.search(line))), None)
    return (found["actual"], found["expected"]) if found else None


def says_busy(output: Iterable[str]) -> bool:
    """Whether a tool gave up because another process holds the card."""
    busy = contract().tools.axrunmodel.line("busy").regex
    return any(busy.search(line) for line in output)


def _device(line: str) -> Device | None:
    found = _DEVICE.match(line)
    silent = _NOT_RESPONDING.search(line) is not None
    if found is None:
        return Device(None, "", responding=False) if silent else None
    node, _, rest = found["rest"].strip().partition(" ")
    if not contract().nodes.alias.matches(node) and not contract().nodes.current.matches(node):
        return None
    fields = {field["key"]: field["quoted"] or field["bare"] or "" for field in _FIELD.finditer(rest)}
    memory = _MEMORY.search(rest)
    clock = _CLOCK.match(fields.get("clock", ""))
    return Device(
        index=int(found["index"]),
        node=node,
        responding=not silent,
        memory_gib=int(memory["size"]) if memory else None,
        board=fields.get("board_type") or _bare_board(rest),
        firmware=fields.get("flver") or fields.get("fwver") or None,
        controller=fields.get("bcver") or None,
        clock_mhz=int(clock["mhz"]) if clock else None,
    )


def _bare_board(rest: str) -> str | None:
    bare = _MEMORY.sub("", _ASIDE.sub("", rest))
    return next((word for word in bare.split() if "=" not in word), None)


def _number(text: str) -> float | None:
    text = text.rstrip(".,")
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    elif not _DECIMAL.fullmatch(text):
        return None
    value = float(text.replace(",", "."))
    return value if math.isfinite(value) else None


def _answer(lines: tuple[str, ...]) -> tuple[AnswerCheck, str]:
    known = contract().tools.axrunmodel
    said = [line.strip() for line in lines if line.lstrip().startswith("Answer check:")]
    for text in said:
        right = known.line("answer-ok").regex.fullmatch(text)
        if right is None:
            wrong = "FAILED" in text.upper()
            return (AnswerCheck.WRONG if wrong else AnswerCheck.UNREADABLE), text
        if not (int(right["inferences"]) and int(right["bytes"])):
            return AnswerCheck.UNREADABLE, text
    return (AnswerCheck.RIGHT, said[-1]) if said else (AnswerCheck.NOT_COMPARED, "")
