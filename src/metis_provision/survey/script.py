"""Puts together the one command that surveys a host: what to look for, quoted, in front of ``script.sh``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from metis_provision.catalog.cards import CORES
from metis_provision.model.survey import Section, SurveyRequest

_LINE_SAFE = re.compile(r"[^\x00-\x1f\x7f\\]+")
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+:~@*/-]*")
_LONGEST_RUN = 90_000


MAIN = "# ---- all\n"
"""In front of this line of ``script.sh`` its other parts go."""


@cache
def script(load: bool = False) -> str:
    """Return the survey's shell text without comments and indentation, which a host has no use for.

    ``load``: with the part that keeps the cards at work, which is long and rarely asked for.
    """
    text = source("script.sh")
    if load:
        text = text.replace(MAIN, source("load.sh") + MAIN)
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#")) + "\n"


def source(name: str) -> str:
    """Return a file of shell text as it is kept here."""
    return files("metis_provision.survey").joinpath(name).read_text(encoding="utf-8")


def survey_command(request: SurveyRequest) -> str:
    """Return the text that ``sh -c`` runs on the host; only the sections asked for run.

    Raises ValueError for a name that no command line could carry safely: empty, beginning with ``-``,
    or holding a control character or backslash; for a path that is not absolute; for a package name or
    pattern of other characters than packages have.
    """
    settings = {
        "METIS_SECTIONS": " ".join(dict.fromkeys(Section(section).value for section in request.sections)),
        "METIS_PATHS": _lines("path", map(_absolute, request.paths)),
        "METIS_USERS": _lines("user", request.users),
        "METIS_GROUPS": _lines("group", request.groups),
        "METIS_PACKAGES": _lines("package", map(_package, request.packages)),
        "METIS_GROUP": _value("group", request.group),
        "METIS_IMAGE": _value("image", request.image) if request.image else "",
        "METIS_MODEL": _value("model", _absolute(request.self_test_model)) if request.self_test_model else "",
        "METIS_INFERENCE": "\n".join(_argument(word) for word in request.inference),
        "METIS_CORES": f"--aipu-cores {_cores(request.aipu_cores)}" if request.aipu_cores is not None else "",
        "METIS_SECONDS": str(_seconds(request.self_test_seconds)),
        "METIS_LOAD_SECONDS": _or_none(request.load_seconds),
        "METIS_LIMIT": _or_none(request.limit),
    }
    given = "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items())
    return given + script(Section.LOAD in request.sections)


def _lines(kind: str, values: Iterable[str]) -> str:
    return "\n".join(_value(kind, value) for value in values)


def _value(kind: str, value: str) -> str:
    if value.startswith("-") or not _LINE_SAFE.fullmatch(value):
        raise ValueError(
            f"{value!r} cannot be asked for as a {kind}: it is empty, begins with '-' or holds control characters "
            "or backslashes"
        )
    return value


def _argument(word: str) -> str:
    """A word of a command, which may be an option."""
    if not _LINE_SAFE.fullmatch(word):
        raise ValueError(f"{word!r} cannot be a word of a command: it is empty or holds control characters")
    return word


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"{path!r} is not an absolute path on the host")
    return path


def _package(name: str) -> str:
    if not _PACKAGE.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a package")
    return name


def _cores(cores: int) -> int:
    if not 1 <= cores <= CORES:
        raise ValueError(f"an AIPU has no {cores} cores; choose 1 to {CORES}")
    return int(cores)


def _or_none(seconds: int | None) -> str:
    return "" if seconds is None else str(_seconds(seconds))


def _seconds(seconds: int) -> int:
    if not 1 <= seconds <= _LONGEST_RUN:
        raise ValueError(f"a self-test cannot run for {seconds} seconds; choose 1 to {_LONGEST_RUN}")
    return int(seconds)
