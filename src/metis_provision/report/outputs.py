"""Where the forms of a report go: options of the command line, checked before any host, and files written whole."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from metis_provision.model.errors import UserError
from metis_provision.report.document import Report, read_report, report_of, report_text
from metis_provision.report.junit import junit_text
from metis_provision.report.page import page_text
from metis_provision.report.prometheus import last_successes, prometheus_text
from metis_provision.report.rows import Row
from metis_provision.report.terminal import print_report

STANDARD_OUTPUT = "-"
_FORMS = ("json", "junit", "html", "prometheus")
_Command = TypeVar("_Command", bound=Callable[..., Any])


def report_options(command: _Command) -> _Command:
    """Add the options that name files for the forms of a report."""
    for option in (
        click.option("--since", metavar="FILE", help="Earlier report (--json) that --html says the changes since."),
        click.option("--prometheus", metavar="FILE", help="Write metrics for a textfile collector."),
        click.option("--html", metavar="FILE", help="Write one self-contained page."),
        click.option("--junit", metavar="FILE", help="Write JUnit XML."),
        click.option(
            "--json",
            "json_file",
            is_flag=False,
            flag_value=STANDARD_OUTPUT,
            metavar="[FILE]",
            help="Write JSON; to standard output without FILE.",
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Outputs:
    """Files by form; ``-`` is standard output, which then gets nothing else."""

    files: dict[str, str]
    before: Report | None = None
    last_successes: dict[str, float] | None = None

    @classmethod
    def of(cls, given: dict[str, Any]) -> Outputs:
        """Return what the options ask for. UserError before any host for what cannot be written or read."""
        files = {form: str(given["json_file" if form == "json" else form] or "") for form in _FORMS}
        files = {form: path for form, path in files.items() if path}
        _refuse_clashes(files)
        for form, path in files.items():
            if path != STANDARD_OUTPUT:
                _refuse_unwritable(form, Path(path))
        since = given["since"]
        if since and "html" not in files:
            raise UserError("--since says what changed on the page of --html: add --html FILE")
        return cls(files, _before(since) if since else None, _known(files.get("prometheus")))

    def write(self, rows: Iterable[Row], elsewhere: Collection[str]) -> None:
        """Write every form; the table goes to standard output unless a form does.

        ``elsewhere`` are hosts of the inventory that this run left out, whose last successes are kept.
        """
        listed = tuple(rows)
        report = report_of(listed, datetime.now(UTC).replace(microsecond=0))
        if STANDARD_OUTPUT not in self.files.values():
            print_report(listed, sys.stdout)
        for form, path in self.files.items():
            text = self._text(form, report, elsewhere)
            if path == STANDARD_OUTPUT:
                click.echo(text, nl=False)
            else:
                write_whole(Path(path), text)

    def _text(self, form: str, report: Report, elsewhere: Collection[str]) -> str:
        if form == "json":
            return report_text(report)
        if form == "junit":
            return junit_text(report)
        if form == "html":
            return page_text(report, self.before)
        return prometheus_text(report, self.last_successes or {}, elsewhere)


def write_whole(path: Path, content: str | bytes) -> None:
    """Replace a file by a new one at once, so that nobody reads half of it; what is no file (a pipe) is written to.

    UserError if that fails; the file is then as it was.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(_bytes(content))
        else:
            _replace(path.resolve(), _bytes(content))
    except OSError as error:
        raise UserError(f"{path} could not be written ({error.strerror}): name a place that can be") from error


def refuse_existing(out: Path) -> None:
    """Raise UserError unless ``out``, which --out named, can be made anew."""
    if out.exists():
        raise UserError(f"--out {out} is there already: name another file, or remove it")
    if not out.resolve().parent.is_dir():
        raise UserError(f"--out {out}: the directory {out.resolve().parent} does not exist; make it first")


def _bytes(content: str | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.encode("utf-8")


def _replace(path: Path, content: bytes) -> None:
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(number, "wb") as stream:  # noqa: PTH123 - a descriptor has no path
            stream.write(content)
            stream.flush()
            os.fchmod(number, mode)
            os.fsync(number)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _umask() -> int:
    """The process's mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _refuse_clashes(files: dict[str, str]) -> None:
    places: dict[str, str] = {}
    for form, path in files.items():
        place = path if path == STANDARD_OUTPUT else str(Path(path).resolve())
        if place in places:
            what = "standard output takes one form" if path == STANDARD_OUTPUT else f"both would write {path}"
            raise UserError(f"--{places[place]} and --{form}: {what}; name another file for one of them")
        places[place] = form


def _refuse_unwritable(form: str, path: Path) -> None:
    if path.is_dir():
        raise UserError(f"--{form} {path} is a directory: name a file in it")
    if not path.resolve().parent.is_dir():
        raise UserError(f"--{form} {path}: the directory {path.resolve().parent} does not exist; make it first")
    if not os.access(path.resolve().parent if not path.exists() or path.is_file() else path, os.W_OK):
        raise UserError(f"--{form} {path} cannot be written by this user: name another file")


def _before(path: str) -> Report:
    try:
        return read_report(Path(path).read_bytes(), f"--since {path}")
    except OSError as error:
        raise UserError(f"--since {path} cannot be read ({error.strerror}): name a report written by --json") from error


def _known(path: str | None) -> dict[str, float]:
    """Last successes in the file that will be replaced; none if there is no file yet."""
    if path is None or not Path(path).is_file():
        return {}
    try:
        return last_successes(Path(path).read_text(encoding="utf-8"), f"--prometheus {path}")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--prometheus {path} cannot be read ({error}): name another file, or remove it") from error
