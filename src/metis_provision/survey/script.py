"""Puts together the one command that surveys a host: what to look for, quoted, in front of ``script.sh``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from metis_provision.model.survey import Section, SurveyRequest

_LINE_SAFE = re.compile(r"[^\x00-\x1f\x7f\\]+")
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+:~@*/-]*")
_LONGEST_RUN = 86400


@cache
def script() -> str:
    """Return the survey's shell text without comments and indentation, which a host has no use for."""
    text = files("metis_provision.survey").joinpath("script.sh").read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#")) + "\n"


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
        "METIS_SECONDS": str(_seconds(request.self_test_seconds)),
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items()) + script()


def _lines(kind: str, values: Iterable[str]) -> str:
    return "\n".join(_value(kind, value) for value in values)


def _value(kind: str, value: str) -> str:
    if value.startswith("-") or not _LINE_SAFE.fullmatch(value):
        raise ValueError(
            f"{value!r} cannot be asked for as a {kind}: it is empty, begins with '-' or holds control characters "
            "or backslashes"
        )
    return value


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"{path!r} is not an absolute path on the host")
    return path


def _package(name: str) -> str:
    if not _PACKAGE.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a package")
    return name


def _seconds(seconds: int) -> int:
    if not 1 <= seconds <= _LONGEST_RUN:
        raise ValueError(f"a self-test cannot run for {seconds} seconds; choose 1 to {_LONGEST_RUN}")
    return int(seconds)
