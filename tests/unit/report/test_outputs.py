"""Files of a report: refused before any host, written whole, and nothing else on standard output."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

import sample_fleet
from metis_provision.model.errors import UserError
from metis_provision.report.document import read_report, report_of, report_text
from metis_provision.report.outputs import Outputs, write_whole

NOTHING = {"json_file": None, "junit": None, "html": None, "prometheus": None, "since": None}
ROWS = sample_fleet.rows({"a": "healthy", "b": "dead"})


def outputs(**given: str) -> Outputs:
    return Outputs.of({**NOTHING, **given})


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"html": "{dir}"}, "is a directory: name a file in it"),
        ({"junit": "{dir}/none/report.xml"}, "does not exist; make it first"),
        ({"json_file": "-", "junit": "-"}, "--json and --junit: standard output takes one form"),
        ({"json_file": "{dir}/x", "html": "{dir}/../{name}/x"}, "--json and --html: both would write"),
        ({"since": "{dir}/last.json"}, "--since says what changed on the page of --html: add --html FILE"),
        ({"html": "{dir}/x.html", "since": "{dir}/none.json"}, "cannot be read (No such file or directory)"),
        ({"html": "{dir}/x.html", "since": "{dir}/bad.json"}, "bad.json is not a report that"),
        ({"prometheus": "{dir}/bad.json"}, "is not in Prometheus' text format"),
        ({"prometheus": "{dir}/bytes"}, "cannot be read"),
    ],
)
def test_what_cannot_be_written_or_read_is_one_sentence(tmp_path: Path, given, sentence):
    (tmp_path / "bad.json").write_text("{a b c")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError) as refused:
        outputs(**{form: path.format(dir=tmp_path, name=tmp_path.name) for form, path in given.items()})
    assert sentence in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.json", "bytes"]


def test_the_table_goes_to_standard_output_unless_a_form_does(tmp_path: Path, capsys):
    outputs(html=str(tmp_path / "r.html")).write(ROWS, ())
    assert "2 hosts: 1 green, 1 failed." in capsys.readouterr().out
    outputs(json_file="-", junit=str(tmp_path / "r.xml")).write(ROWS, ())
    assert read_report(capsys.readouterr().out, "x").summary.hosts == 2
    assert (tmp_path / "r.xml").read_text().startswith("<?xml")


def test_all_forms_of_one_run(tmp_path: Path, capsys):
    earlier = tmp_path / "last.json"
    earlier.write_text(report_text(report_of(sample_fleet.rows({"a": "dead", "b": "dead"}), sample_fleet.YESTERDAY)))
    names = {"json_file": "r.json", "junit": "r.xml", "html": "r.html", "prometheus": "r.prom"}
    outputs(since=str(earlier), **{form: str(tmp_path / name) for form, name in names.items()}).write(ROWS, ())
    assert "failed" in capsys.readouterr().out
    assert 'id="changes"' in (tmp_path / "r.html").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {*names.values(), "last.json"}


def test_times_of_success_are_read_from_the_file_that_is_replaced(tmp_path: Path, capsys):
    target = tmp_path / "metis.prom"
    target.write_text('metis_last_success_timestamp_seconds{host="b"} 7.0\n')
    outputs(prometheus=str(target)).write(ROWS, ())
    assert 'metis_last_success_timestamp_seconds{host="b"} 7.0' in target.read_text()


def test_a_file_is_replaced_at_once_and_keeps_its_mode(tmp_path: Path):
    target = tmp_path / "report"
    write_whole(target, "one")
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask()
    target.chmod(0o640)
    seen = target.stat().st_ino
    (tmp_path / "link").symlink_to(target)
    write_whole(tmp_path / "link", "two")
    assert (tmp_path / "link").is_symlink()
    assert target.read_text() == "two"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert target.stat().st_ino != seen
    assert len(list(tmp_path.iterdir())) == 2


def umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path: Path, monkeypatch):
    target = tmp_path / "report"
    target.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("metis_provision.report.outputs.os.fsync", full)
    with pytest.raises(UserError, match=r"could not be written \(No space left on device\)"):
        write_whole(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, "words")
    assert os.read(reader, 100) == b"words"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
