"""The command that gathers evidence, on a host that is this machine's own idea of one, and where there is none."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from metis_provision.desired.state import survey_request
from metis_provision.model.settings import Settings
from metis_provision.support.look import look_command
from metis_provision.survey.script import survey_command

SURVEYS = Path(__file__).parents[2] / "fixtures" / "surveys"
NO_CARD = {"metis_driver": "none", "metis_cards": 0}


def support(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "metis_provision.cli", "support", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, stdin=subprocess.DEVNULL)


def output(command: str) -> list[str]:
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout.splitlines()


def inventory(tmp_path: Path, **data: object) -> str:
    (tmp_path / "inventory.py").write_text(f"hosts = [('@fake/one', { ({**NO_CARD, **data})!r})]\n")
    return "inventory.py"


def test_one_archive_with_everything_and_nothing_else_on_standard_output(tmp_path: Path) -> None:
    answers = {
        "METIS_SECTIONS": output(survey_command(survey_request(Settings(cards=0, driver="none")))),
        "METIS_VENDORS": [*output(look_command())[:-1], " from 192.0.2.7", "## end"],
    }
    where = inventory(tmp_path, fake_responses=answers, fake_delay=0, fake_delay_jitter=0)
    done = support("@fake/one", "--inventory", where, "--out", "one.tar.gz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "one.tar.gz\n"
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "one.tar.gz").read_bytes())) as archive:
        texts = {entry.name.partition("/")[2]: archive.extractfile(entry).read().decode() for entry in archive}
    assert texts.keys() >= {"README.txt", "survey.txt", "verdict.json", "settings.json", "kernel-log.txt", "pci.txt"}
    assert "from <ipv4-" in texts["versions.txt"]
    assert "192.0.2.7" not in "".join(texts.values())
    assert socket.gethostname() not in texts["survey.txt"].split()
    again = support("@fake/one", "--inventory", where, "--out", "one.tar.gz", cwd=tmp_path)
    assert again.returncode == 4
    assert "one.tar.gz is there already" in again.stderr


def test_a_host_of_the_long_level_is_not_kept_at_work_for_minutes(tmp_path: Path) -> None:
    recorded = (SURVEYS / "debian13-provisioned.txt").read_text().splitlines()
    answers = {
        "watch_links": ["what?"],  # the part that works the cards
        "METIS_SECTIONS": [line for line in recorded if not line.startswith("#")],
        "METIS_VENDORS": [*output(look_command())[:-1], "## end"],
    }
    data = {"metis_cards": 1, "metis_verify_level": "long", "fake_responses": answers}
    where = inventory(tmp_path, fake_delay=0, fake_delay_jitter=0, **data)
    done = support("@fake/one", "--inventory", where, "--out", "one.tar.gz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / "one.tar.gz") as archive:
        assert "metis-support/survey.txt" in archive.getnames()
        (host,) = json.load(archive.extractfile("metis-support/verdict.json"))["hosts"]
    assert host["level"] == "medium"
    (load,) = (found for found in host["findings"] if found["code"] == "METIS-510")
    assert (load["answer"], load["seen"]) == ("skip", "not looked at by level medium: verify with --level long")


def test_a_host_that_answers_nonsense_still_leaves_an_archive(tmp_path: Path) -> None:
    where = inventory(tmp_path, fake_responses={"METIS_": ["what?"]}, fake_delay=0, fake_delay_jitter=0)
    done = support("@fake/one", "--inventory", where, "--out", "one.tar.gz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / "one.tar.gz") as archive:
        missing = archive.extractfile("metis-support/missing.txt").read().decode()
    assert "did not arrive whole" in missing
    assert "not whole, so there is no verdict" in missing


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("two", "--inventory", "inventory.py", "--out", "x.tar.gz"), 4, "the inventory has no such host"),
        (("two", "--inventory", "none.py", "--out", "x.tar.gz"), 4, "there is no such inventory"),
        (("two", "--inventory", "inventory.py", "--out", "none/x.tar.gz"), 4, "make it first"),
        (("two",), 4, "Missing option '--out'"),
    ],
)
def test_bad_input_is_refused(tmp_path: Path, arguments, status, sentence) -> None:
    inventory(tmp_path)
    done = support(*arguments, cwd=tmp_path)
    assert done.returncode == status
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["inventory.py"]


def test_an_unreachable_host_leaves_no_archive(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (tmp_path / "inventory.py").write_text(f"hosts = [('127.0.0.1', { ({**NO_CARD, 'ssh_port': port})!r})]\n")
    done = support("127.0.0.1", "--inventory", "inventory.py", "--out", "x.tar.gz", cwd=tmp_path)
    assert done.returncode == 3
    assert "127.0.0.1 cannot be reached, so there is nothing to gather" in done.stderr
    assert not (tmp_path / "x.tar.gz").exists()
