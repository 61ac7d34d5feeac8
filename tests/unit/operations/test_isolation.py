"""One host's trouble stays on that host, and every host has its row; played with pyinfra's scripted hosts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from metis_provision.desired.state import survey_request
from metis_provision.model.settings import Settings
from metis_provision.survey.script import survey_command

FILES_ONLY = Settings(cards=0, driver="none")

INVENTORY = """
survey = {"METIS_SECTIONS": open(%r).read().splitlines()}
plain = {"metis_cards": 0, "metis_driver": "none", "fake_delay": 0, "fake_delay_jitter": 0, "fake_responses": survey}
hosts = [
    ("@fake/one", plain),
    ("@fake/two", {**plain, **%s}),
    ("@fake/three", plain),
]
"""

BROKEN_PLAN = """
import sys
from metis_provision.operations import view
real = view.difference
def broken(settings, *rest):
    if settings.service_users == ["explode"]:
        raise KeyError("unforeseen")
    return real(settings, *rest)
view.difference = broken
"""

RUN = "from metis_provision.cli import main; main()"


@pytest.fixture(scope="module")
def survey_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("survey") / "survey.txt"
    command = survey_command(survey_request(FILES_ONLY))
    path.write_text(subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout)
    return path


def run(inventory: Path, *arguments: str, patch: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", patch + RUN, *arguments, str(inventory)], capture_output=True, text=True, check=False
    )


def write(tmp_path: Path, survey_text: Path, second: str) -> Path:
    path = tmp_path / "inventory.py"
    path.write_text(INVENTORY % (str(survey_text), second))
    return path


def test_an_unexpected_error_fails_its_own_host_only(tmp_path: Path, survey_text: Path) -> None:
    inventory = write(tmp_path, survey_text, '{"metis_service_users": ["explode"]}')
    done = run(inventory, "apply", "-y", "--json", patch=BROKEN_PLAN)
    rows = {row["host"]: row for row in json.loads(done.stdout)["hosts"]}
    assert done.returncode == 1
    assert rows["@fake/two"]["reason"] == "unexpected KeyError in packages: 'unforeseen'"
    assert rows["@fake/one"]["findings"]
    assert rows["@fake/three"]["findings"]
    assert "Traceback" not in done.stderr


def test_an_unexpected_error_does_not_stop_the_plan(tmp_path: Path, survey_text: Path) -> None:
    inventory = write(tmp_path, survey_text, '{"metis_service_users": ["explode"]}')
    done = run(inventory, "plan", patch=BROKEN_PLAN)
    assert done.returncode == 1
    assert "unexpected KeyError" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "answer",
    [
        '{"METIS_SECTIONS": {"success": False, "stderr": "boom"}}',
        '{"METIS_SECTIONS": []}',
        '{"METIS_SECTIONS": ["@x"]}',
    ],
    ids=["fails", "silent", "not ours"],
)
def test_a_host_that_cannot_be_surveyed_is_not_an_empty_one(tmp_path: Path, survey_text: Path, answer: str) -> None:
    inventory = write(tmp_path, survey_text, '{"fake_responses": %s}' % answer)  # noqa: UP031
    done = run(inventory, "apply", "-y", "--json")
    rows = {row["host"]: row for row in json.loads(done.stdout)["hosts"]}
    assert done.returncode == 1
    assert not rows["@fake/two"]["findings"]
    assert "could not be surveyed" in rows["@fake/two"]["reason"]
    assert rows["@fake/one"]["findings"]


COUNTED = """
import atexit, collections, sys
import pyinfra_cli
from pyinfra.connectors.fake import FakeConnector
calls = collections.Counter()
real = FakeConnector.run_shell_command
def counted(self, *arguments, **options):
    calls[self.host.name] += 1
    return real(self, *arguments, **options)
FakeConnector.run_shell_command = counted
atexit.register(lambda: print("CALLS", max(calls.values()), file=sys.stderr))
"""

CONVERGED = """
from metis_provision.desired.difference import Difference
from metis_provision.operations import view
view.difference = lambda *_: Difference()
"""

ANSWERED = """
import metis_provision.cli as command, sys
sys.stdin.isatty = lambda: True
command._confirm = lambda outcome: True
"""


@pytest.mark.parametrize(
    ("arguments", "patch", "calls"),
    [(("plan",), "", 1), (("apply", "-y"), "", 2), (("apply",), ANSWERED, 3)],
    ids=["plan", "without a prompt", "with a prompt"],
)
def test_a_converged_host_costs_few_remote_commands(
    tmp_path: Path, survey_text: Path, arguments: tuple[str, ...], patch: str, calls: int
) -> None:
    inventory = write(tmp_path, survey_text, "{}")
    done = run(inventory, *arguments, patch=COUNTED + CONVERGED + patch)
    assert f"CALLS {calls}\n" in done.stderr


WAITS = """
import atexit, sys
from pyinfra.connectors.fake import FakeConnector
ran = []
real_run = FakeConnector.run_shell_command
def noted(self, command, *arguments, **options):
    ran.append(str(command))
    return real_run(self, command, *arguments, **options)
FakeConnector.run_shell_command = noted
atexit.register(lambda: print("WAITED", sum("attaching to the" in command for command in ran) > 0, file=sys.stderr))
"""


@pytest.mark.parametrize(
    ("state", "arguments", "waited"),
    [("held", ("apply", "-y"), True), ("free", ("apply", "-y"), False), ("held", ("plan",), False)],
)
def test_a_step_that_an_earlier_run_left_is_waited_for_wanted_or_not(
    tmp_path: Path, survey_text: Path, state: str, arguments: tuple[str, ...], waited: bool
) -> None:
    left = tmp_path / "survey.txt"
    left.write_text(survey_text.read_text().replace("\nlock\tfree\n", f"\nlock\t{state}\njob\tpackages\t{state}\n"))
    assert f"job\tpackages\t{state}" in left.read_text()
    done = run(write(tmp_path, left, "{}"), *arguments, patch=WAITS + CONVERGED)
    assert f"WAITED {waited}" in done.stderr
