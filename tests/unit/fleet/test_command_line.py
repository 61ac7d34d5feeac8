"""Exit statuses of the command, and one clear line for every kind of bad input."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from metis_provision.desired.state import survey_request
from metis_provision.model.settings import Settings
from metis_provision.survey.script import survey_command

RECORDED = Path(__file__).parents[2] / "fixtures" / "surveys" / "debian13-provisioned.txt"
DEPLOY = Path(__file__).resolve().parents[3] / "deploys" / "metis.py"
PINNED = {"metis_driver_version": "1", "metis_driver_source": "driver.tar.gz", "metis_driver_sha256": "0" * 64}


def run(*arguments: str, cwd: Path, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "metis_provision.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, stdin=stdin)


def inventory(tmp_path: Path, host: str, **data: object) -> str:
    (tmp_path / "inventory.py").write_text(f"hosts = [({host!r}, {data!r})]\n")
    return "inventory.py"


BAD_SETTINGS = [
    ({"metis_carier": "generic"}, "metis_carier is not a setting; did you mean metis_carrier?"),
    ({"metis_driver_sha256": "SKIP"}, "metis_driver_sha256 is SKIP"),
    ({**PINNED}, "metis_driver_sha256 does not match driver.tar.gz"),
    ({**PINNED, "metis_driver_source": "gone.tar.gz"}, "metis_driver_source: gone.tar.gz cannot be read"),
    ({**PINNED, "metis_carrier": "exaviz-cruser"}, "exaviz-cruiser"),
    (
        {"metis_driver": "none", "metis_waivers": {"METIS-12": {"reason": "new cable", "until": "2026-12-31"}}},
        "metis_waivers: METIS-12 is not the code of a check: did you mean METIS-120",
    ),
    (
        {"metis_driver": "none", "metis_waivers": {"METIS-120": {"reason": "x"}}},
        "metis_waivers.METIS-120.until is missing",
    ),
    ({**PINNED, "metis_module_options": {"single_msy": 1}}, "the driver has no option 'single_msy'"),
]


@pytest.mark.parametrize(("data", "sentence"), BAD_SETTINGS)
def test_bad_settings_are_refused_before_any_connection(tmp_path: Path, data: dict[str, object], sentence: str) -> None:
    (tmp_path / "driver.tar.gz").write_bytes(b"not what was pinned")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        where = inventory(tmp_path, "127.0.0.1", ssh_port=server.getsockname()[1], **data)
        done = run("plan", where, cwd=tmp_path)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert done.returncode == 4
    assert sentence in done.stderr
    assert all(line.startswith("metis-provision: 127.0.0.1: ") for line in done.stderr.splitlines())
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "inventory.py: there is no such inventory"),
        ("hosts = []\n", "inventory.py names no host"),
        ("hosts = [\n", "inventory.py: SyntaxError"),
        ("import nothing_like_it\n", "inventory.py: ModuleNotFoundError"),
    ],
)
def test_an_inventory_that_cannot_be_used_is_one_line(tmp_path: Path, text: str | None, sentence: str) -> None:
    if text is not None:
        (tmp_path / "inventory.py").write_text(text)
    done = run("plan", "inventory.py", cwd=tmp_path)
    assert done.returncode == 4
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_apply_without_a_terminal_wants_to_be_told_yes(tmp_path: Path) -> None:
    done = run("apply", inventory(tmp_path, "@local", metis_driver="none", metis_cards=0), cwd=tmp_path)
    assert done.returncode == 4
    assert done.stderr == (
        "metis-provision: apply would ask before it changes hosts, and there is no terminal to ask on: add -y\n"
    )


def test_an_unreachable_host_has_its_own_status(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    where = inventory(tmp_path, "127.0.0.1", ssh_port=port, metis_driver="none", metis_cards=0)
    done = run("verify", where, "--json", cwd=tmp_path)
    assert done.returncode == 3
    assert [row["reason"] for row in json.loads(done.stdout)["hosts"]] == ["unreachable"]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "INVENTORY is missing; metis-provision verify --help shows an example"),
        (("--json",), "INVENTORY is missing;"),
        (("--json", "report.json"), "INVENTORY is missing (--json took report.json for its file: put INVENTORY first)"),
        (("inventory.py", "--html", "none/report.html"), "make it first"),
        (("inventory.py", "--since", "last.json"), "add --html FILE"),
    ],
)
def test_a_report_that_cannot_be_written_is_refused_before_any_host(tmp_path: Path, arguments, sentence) -> None:
    inventory(tmp_path, "@fake/one", metis_driver="none", metis_cards=0, fake_delay=60)
    done = run("verify", *arguments, cwd=tmp_path)
    assert done.returncode == 4
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_every_form_of_a_report_comes_from_one_run(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    where = inventory(tmp_path, "127.0.0.1", ssh_port=port, metis_driver="none", metis_cards=0)
    forms = {"--json": "r.json", "--junit": "r.xml", "--html": "r.html", "--prometheus": "r.prom"}
    done = run("verify", where, *(word for pair in forms.items() for word in pair), cwd=tmp_path)
    assert done.returncode == 3
    assert "no verdict: unreachable" in done.stdout
    assert all("127.0.0.1" in (tmp_path / name).read_text() for name in forms.values())
    assert json.loads((tmp_path / "r.json").read_text())["summary"]["no_verdict"] == 1
    before_its_inventory = run("verify", "--json", where, cwd=tmp_path)
    assert json.loads(before_its_inventory.stdout)["summary"]["no_verdict"] == 1


@pytest.fixture
def _interruptible() -> Iterator[None]:
    # A shell starts its background jobs with SIGINT ignored, and children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_interrupted_while_a_host_is_asked(tmp_path: Path) -> None:
    where = inventory(tmp_path, "@fake/one", metis_driver="none", metis_cards=0, fake_delay=60)
    command = [sys.executable, "-m", "metis_provision.cli", "plan", where]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stderr is not None
        assert any("Connected" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in rest


def test_an_unknown_limit_names_the_hosts_there_are(tmp_path: Path) -> None:
    where = inventory(tmp_path, "@fake/one", metis_driver="none", metis_cards=0)
    done = run("plan", where, "--limit", "two", cwd=tmp_path)
    assert done.returncode == 4
    assert "it has @fake/one" in done.stderr


def test_pending_changes_and_a_failed_verification_are_told_apart(tmp_path: Path) -> None:
    command = survey_command(survey_request(Settings(cards=0, driver="none")))
    survey = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout.splitlines()
    data = {"fake_responses": {"METIS_SECTIONS": survey}, "fake_delay": 0, "fake_delay_jitter": 0}
    where = inventory(tmp_path, "@fake/one", metis_driver="none", metis_cards=0, **data)
    planned = run("plan", where, "--json", cwd=tmp_path)
    assert planned.returncode == 2
    changes = json.loads(planned.stdout)["hosts"][0]["changes"]
    assert "write /etc/udev/rules.d/99-axelera-metis.rules" in changes["access"]
    verified = run("verify", where, "--json", cwd=tmp_path)
    assert verified.returncode == 1
    assert json.loads(verified.stdout)["hosts"][0]["standing"] == "failed"


def test_the_level_of_the_command_line_wins(tmp_path: Path) -> None:
    survey = [line for line in RECORDED.read_text().splitlines() if not line.startswith("#")]
    asked = {"access devices": ["what?"], "METIS_SECTIONS": survey}  # nothing answers what asks the cards
    data = {"fake_responses": asked, "fake_delay": 0, "fake_delay_jitter": 0, "metis_verify_level": "long"}
    where = inventory(tmp_path, "@fake/one", metis_driver="none", **data)
    (host,) = json.loads(run("verify", where, "--level", "quick", "--json", cwd=tmp_path).stdout)["hosts"]
    assert host["level"] == "quick"
    skipped = {found["code"]: found["seen"] for found in host["findings"] if found["answer"] == "skip"}
    assert skipped["METIS-401"] == "not looked at by level quick: verify with --level medium"
    assert skipped["METIS-510"] == "not looked at by level quick: verify with --level long"
    (host,) = json.loads(run("verify", where, "--json", cwd=tmp_path).stdout)["hosts"]
    assert host["standing"] is None
    wrong = run("verify", where, "--level", "deep", cwd=tmp_path)
    assert wrong.returncode == 4
    assert "'deep' is not one of 'quick', 'medium', 'long'" in wrong.stderr


def pyinfra(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("pyinfra")), "inventory.py", str(DEPLOY), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize(("data", "sentence"), BAD_SETTINGS)
def test_a_plain_pyinfra_run_refuses_bad_settings_too(tmp_path: Path, data: dict[str, object], sentence: str) -> None:
    (tmp_path / "driver.tar.gz").write_bytes(b"not what was pinned")
    inventory(tmp_path, "@fake/one", fake_delay=0, fake_delay_jitter=0, **data)
    done = pyinfra("-y", cwd=tmp_path)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Beginning operation run" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plain_pyinfra_run_without_a_terminal_wants_to_be_told_yes(tmp_path: Path) -> None:
    inventory(tmp_path, "@fake/one", metis_cards=0, metis_driver="none", fake_delay=0, fake_delay_jitter=0)
    done = pyinfra(cwd=tmp_path)
    assert done.returncode == 1
    assert "there is no terminal to ask on before hosts are changed: add -y" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("plan",),
        ("apply",),
        ("verify",),
        ("checks",),
        ("explain",),
        ("support",),
        *(("lab", name) for name in ("up", "list", "ssh", "down")),
    ],
)
def test_help_has_an_example(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run(*command, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "Example" in done.stdout


def test_a_wrong_option_is_bad_input(tmp_path: Path) -> None:
    assert run("plan", "--jsn", cwd=tmp_path).returncode == 4
