"""Every run of pytest ends with the minutes of its longest modules; here reports with made-up durations are told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).resolve().parents[3] / "conftest.py"

# Gives each report the seconds that its test's name ends with: a third for each of set-up, call and tear-down.
MADE_UP = """
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    report.duration = float(item.originalname.rpartition("_")[2]) / 3
    return report
"""
LONG = """
import pytest

@pytest.mark.parametrize("times", range(2))
def test_passes_90(times):
    pass

def test_says_no_15():
    assert False

@pytest.fixture
def broken():
    raise ValueError

def test_is_not_reached_3(broken):
    pass
"""
QUICK = """
import pytest

def test_is_quick_6():
    pass

@pytest.mark.skip
def test_is_left_out_6():
    pass
"""


def run(directory: Path, **modules: str) -> tuple[int, list[str]]:
    """Run pytest on modules of these contents; return its status and what it tells from the minutes on."""
    parts = directory / "tests" / "part"
    parts.mkdir(parents=True)
    (directory / "conftest.py").write_text(CONFTEST.read_text())
    (parts / "conftest.py").write_text(MADE_UP)
    for name, content in modules.items():
        (parts / f"test_{name}.py").write_text(content)
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(directory), "-p", "no:cacheprovider"]
    done = subprocess.run([*command, "tests"], cwd=directory, capture_output=True, text=True, check=False)
    _, found, tail = done.stdout.partition("minutes per module:\n")
    return done.returncode, tail.splitlines()[:-1] if found else []


def test_the_longest_modules_come_first_and_the_others_in_one_line(tmp_path: Path) -> None:
    status, told = run(
        tmp_path, alpha="def test_it_31():\n    pass\n", long=LONG, quick=QUICK, soon="def test_it_29():\n    pass\n"
    )
    assert status == 1
    assert told[:3] == [
        "   3.3 tests/part/test_long.py: 2 passed, 1 failed, 1 error",
        "   0.5 tests/part/test_alpha.py: 1 passed",
        "   0.7 others (2): 2 passed, 1 skipped",
    ]


def test_a_run_of_short_modules_says_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, soon="def test_it_29():\n    pass\n") == (0, [])
