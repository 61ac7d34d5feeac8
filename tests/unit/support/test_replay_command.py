"""The command that answers as recorded hosts, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from metis_provision.desired.state import desired_state
from metis_provision.model.settings import settings_from
from metis_provision.survey.parser import read_survey

SURVEYS = Path(__file__).parents[2] / "fixtures" / "surveys"


def lab(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "metis_provision.cli", "lab", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, stdin=subprocess.DEVNULL)


def test_each_host_answers_and_a_failed_one_decides(tmp_path: Path) -> None:
    files = [str(SURVEYS / f"{name}.txt") for name in ("dead-card-16c3", "debian13-provisioned")]
    done = lab("replay", *files, "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    answers = {
        host["host"]: {(f["code"], f["answer"]) for f in host["findings"]} for host in json.loads(done.stdout)["hosts"]
    }
    assert ("METIS-103", "fail") in answers["dead-card-16c3"]
    assert ("METIS-101", "pass") in answers["debian13-provisioned"]


def test_a_green_recording_exits_zero_and_prints_the_table(tmp_path: Path) -> None:
    asked = {"metis_driver": "none", "metis_cards": 0}
    text = (SURVEYS / "debian12-container.txt").read_text()
    wanted = desired_state(settings_from(asked, "here"), read_survey(text)).files
    rows = [
        row
        for file in wanted
        for row in (
            f"file\t{file.path}\tfile",
            f"stat\t{file.path}\t{file.mode}\t{file.owner}\t{file.group}",
            f"sha256\t{file.path}\t{file.sha256}",
        )
    ]
    text = text.replace("@begin files\n", "\n".join(("@begin files", *rows, "")))
    text = text.replace("@begin accounts\n", "@begin accounts\ngroup\taxelera:x:995:\n")
    (tmp_path / "box.txt").write_text(f"# Settings: {json.dumps(asked)}\n{text}")
    done = lab("replay", "box.txt", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "box" in done.stdout


def test_bad_files_are_told_a_line_each_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "half.txt").write_text("@survey 1 host\n@begin host\n")
    (tmp_path / "bytes.txt").write_bytes(os.urandom(64) + b"\xff")
    (tmp_path / "words.txt").write_text("hello\n")
    good = str(SURVEYS / "debian13-bare.txt")
    done = lab("replay", "none.txt", "half.txt", "bytes.txt", "words.txt", ".", good, good, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 6
    for line, said in zip(
        lines,
        [
            "none.txt cannot be read (No such file or directory)",
            "half.txt: the look at the host came back without host",
            "bytes.txt: this is no recording but something else than text",
            "words.txt: this is no recording; metis-provision lab record",
            ". cannot be read (Is a directory)",
            "another file makes a host called debian13-bare already",
        ],
        strict=True,
    ):
        assert said in line
    assert lab("replay", cwd=tmp_path).returncode == 4
