"""The command that records a host: in a process of its own, over a host that answers from memory."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SURVEYS = Path(__file__).parents[2] / "fixtures" / "surveys"
PINNED = {
    "metis_driver_version": "1.6.2",
    "metis_driver_source": "m.tar.gz",
    "metis_driver_sha256": hashlib.sha256(b"").hexdigest(),
}


def lab(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "metis_provision.cli", "lab", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, stdin=subprocess.DEVNULL)


def inventory(tmp_path: Path, survey: list[str], **data: object) -> None:
    names = ["## names", " host kitchen.example.org", " user anna", "## end"]
    answers = {"METIS_SECTIONS": survey, "METIS_VENDORS": names}
    said = {**PINNED, "metis_cards": 1, "fake_responses": answers, "fake_delay": 0, "fake_delay_jitter": 0, **data}
    (tmp_path / "m.tar.gz").write_bytes(b"")
    (tmp_path / "inventory.py").write_text(f"hosts = [('@fake/one', {said!r})]\n")


def survey_of(name: str, *more: str) -> list[str]:
    lines = (SURVEYS / f"{name}.txt").read_text().splitlines()
    at = lines.index("@begin log") + 1
    return [line for line in (*lines[:at], *more, *lines[at:]) if not line.startswith("#")]


@pytest.mark.parametrize("name", ["debian13-provisioned", "secure-boot-not-enrolled"])
def test_a_host_is_recorded_and_answers_again(tmp_path: Path, name: str) -> None:
    inventory(tmp_path, survey_of(name, "log\t[ 2.0] kitchen: link to 10.11.12.13 of anna"))
    done = lab("record", "@fake/one", "--inventory", "inventory.py", "--out", "one.txt", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "one.txt\n"
    assert "replaced: " in done.stderr
    assert "changes the answers" not in done.stderr
    text = (tmp_path / "one.txt").read_text()
    assert "link to 192.0.2.2 of user-" in text
    for gone in ("kitchen", "10.11.12.13", "anna", socket.gethostname()):
        assert gone not in text.split()

    plain = lab("replay", "one.txt", str(SURVEYS / f"{name}.txt"), "--json", cwd=tmp_path)
    assert plain.returncode == 1
    one, same = json.loads(plain.stdout)["hosts"]
    assert [one["host"], same["host"]] == sorted(["one", name], key=lambda host: host != one["host"])
    seen = {(finding["code"], finding["answer"]) for finding in one["findings"]}
    assert ("METIS-101", "pass") in seen
    refused = ("METIS-240", "fail") in seen
    assert refused == (name != "debian13-provisioned")


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("@fake/two", "--inventory", "inventory.py", "--out", "x.txt"), 4, "the inventory has no such host"),
        (("@fake/one", "--inventory", "inventory.py", "--out", "none/x.txt"), 4, "make it first"),
        (("@fake/one", "--inventory", "inventory.py", "--out", "inventory.py"), 4, "is there already"),
        (("@fake/one", "--inventory", "inventory.py", "--out", "x.txt"), 1, "did not answer, so there is nothing"),
    ],
)
def test_nothing_is_written_where_nothing_can_be_recorded(tmp_path: Path, arguments, status, sentence) -> None:
    inventory(tmp_path, [])
    before = (tmp_path / "inventory.py").read_text()
    done = lab("record", *arguments, cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.txt").exists()
    assert (tmp_path / "inventory.py").read_text() == before


def test_half_an_answer_is_not_recorded(tmp_path: Path) -> None:
    inventory(tmp_path, survey_of("debian13-bare")[:-30])
    done = lab("record", "@fake/one", "--inventory", "inventory.py", "--out", "x.txt", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "came back without" in done.stderr
    assert not (tmp_path / "x.txt").exists()
