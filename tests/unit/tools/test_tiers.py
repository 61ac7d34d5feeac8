"""A tier that cannot run is named with its reason, and where all must it is a failure; what passed is not run again."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATH = Path(__file__).resolve().parents[3] / "tools" / "tiers.py"


@pytest.fixture
def real_tiers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    specification = importlib.util.spec_from_file_location("tiers", PATH)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "tiers", module)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def tiers(real_tiers: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    lacking = real_tiers.Tier("vm", lambda: ["mmdebstrap is missing: apt-get install mmdebstrap."], ("tests/vm",))
    for lanes in ("LANES", "FULL_LANES"):
        monkeypatch.setattr(real_tiers, lanes, ((lacking,),))
    # None of these runs needs a plugin, and loading them takes longer than the run.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return real_tiers


@pytest.mark.parametrize(("ci", "words", "status"), [("", [], 0), ("true", [], 1), ("", ["--full"], 1)])
def test_a_tier_that_cannot_run(
    tiers: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ci: str,
    words: list[str],
    status: int,
) -> None:
    monkeypatch.setenv("CI", ci)
    assert tiers.main(words) == status
    assert "vm         not run: mmdebstrap is missing: apt-get install mmdebstrap." in capsys.readouterr().out


def test_an_unknown_tier_is_named(tiers: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiers.main(["vn", "vm"]) == 2
    assert capsys.readouterr().err == "There is no tier vn: give one of vm.\n"


def test_the_worst_tier_decides(tiers: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, body in (("good", "pass"), ("bad", "assert False")):
        (tmp_path / "tests" / name).mkdir(parents=True)
        (tmp_path / "tests" / name / "test_it.py").write_text(f"def test_it():\n    {body}\n")
    monkeypatch.setattr(tiers, "ROOT", tmp_path)
    good, bad = tiers.Tier("good", list, ("tests/good",)), tiers.Tier("bad", list, ("tests/bad",))
    for lanes in (((good, bad),), ((good,), (bad,)), ((bad,), (good,))):
        monkeypatch.setattr(tiers, "LANES", lanes)
        assert tiers.main(["good"]) == 0
        assert tiers.main([]) == 1


def test_what_runs_beside_is_printed_in_one_piece(
    tiers: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("first", "beside"):
        (tmp_path / "tests" / name).mkdir(parents=True)
        (tmp_path / "tests" / name / f"test_{name}.py").write_text(f"def test_{name}():\n    assert False, '{name}'\n")
    monkeypatch.setattr(tiers, "ROOT", tmp_path)
    monkeypatch.setattr(
        tiers, "LANES", tuple((tiers.Tier(name, list, (f"tests/{name}",)),) for name in ("first", "beside"))
    )
    assert tiers.main([]) == 1
    printed = capfd.readouterr().out
    beside = printed[printed.index("==> beside tests") :].splitlines()
    assert "FAILED tests/beside/test_beside.py::test_beside - AssertionError: beside" in beside
    assert [line.split()[:2] for line in printed.splitlines()[-2:]] == [["first", "FAILED"], ["beside", "FAILED"]]


def test_longer_sweeps_run_only_when_asked_for(
    tiers: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "tests" / "sweep").mkdir(parents=True)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = full: a longer sweep\n")
    (tmp_path / "tests" / "sweep" / "test_it.py").write_text(
        "import pytest\ndef test_short():\n    pass\n@pytest.mark.full\ndef test_long():\n    assert False\n"
    )
    monkeypatch.setattr(tiers, "ROOT", tmp_path)
    for name in ("LANES", "FULL_LANES"):
        monkeypatch.setattr(tiers, name, ((tiers.Tier("sweep", list, ("tests/sweep",)),),))
    assert tiers.main([]) == 0
    assert "left out: tests marked full" in capsys.readouterr().out
    assert tiers.main(["--full"]) == 1
    assert "left out" not in capsys.readouterr().out


@pytest.fixture
def committed(tiers: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file with the tiers that ran, beside `sound`, without which `bad` fails; `good` passes and skips a test."""
    repository = tmp_path / "repository"
    runs, sound = repository / "build" / "runs", repository / "build" / "sound"
    runs.parent.mkdir(parents=True)
    for name, body in (("good", "pass"), ("bad", f"assert Path({str(sound)!r}).exists()")):
        (repository / "tests" / name).mkdir(parents=True)
        (repository / "tests" / name / f"test_{name}.py").write_text(
            "from pathlib import Path\nimport pytest\n"
            f"def test_it():\n    open({str(runs)!r}, 'a').write('{name} ')\n    {body}\n"
            "@pytest.mark.skip(reason='not here')\ndef test_other():\n    pass\n"
        )
    (repository / ".gitignore").write_text("build/\n__pycache__/\n.pytest_cache/\n")
    git(repository, "init", "-q")
    commit(repository)
    monkeypatch.setattr(tiers, "ROOT", repository)
    lane = tuple(tiers.Tier(name, list, (f"tests/{name}",)) for name in ("good", "bad"))
    monkeypatch.setattr(tiers, "FULL_LANES", (lane,))
    monkeypatch.setattr(tiers, "LANES", (lane,))
    return runs


def git(repository: Path, *words: str) -> None:
    person = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", "-C", str(repository), *person, *words], check=True, capture_output=True)


def commit(repository: Path) -> None:
    git(repository, "add", "--all")
    git(repository, "commit", "-q", "--allow-empty", "-m", "As it is")


def test_what_passed_on_a_commit_is_told_and_not_run_again_what_failed_is(
    tiers: ModuleType, committed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiers.main(["--full"]) == 1
    (committed.parent / "sound").touch()
    first = capsys.readouterr().out
    assert re.search(r"^  good       passed in \d\.\d min, 2 tests, 1 of them skipped$", first, re.MULTILINE)
    assert re.search(r"^  bad        FAILED in \d\.\d min, 2 tests, 1 of them skipped$", first, re.MULTILINE)
    assert tiers.main(["--full"]) == 0
    assert committed.read_text() == "good bad bad "
    told = capsys.readouterr().out
    assert re.search(
        r"^Tiers on [0-9a-f]{7}:\n  good       passed in .* skipped, on \d{4}-\d\d-\d\d\n  bad ", told, re.M
    )
    assert tiers.main(["--full"]) == 0
    assert committed.read_text() == "good bad bad "


def test_what_passed_runs_again_if_it_is_named_or_anything_changed(tiers: ModuleType, committed: Path) -> None:
    repository = committed.parent.parent

    def ran() -> bool:
        before = committed.read_text() if committed.exists() else ""
        tiers.main(["--full"])
        return committed.read_text() != before

    (committed.parent / "sound").touch()
    assert ran()
    assert not ran()
    before = committed.read_text()
    tiers.main(["--full", "good"])
    assert committed.read_text() == f"{before}good "
    tiers.main([])
    assert committed.read_text() == f"{before}good good bad "
    commit(repository)
    assert ran()
    (repository / "changed").touch()
    assert ran()
    assert ran()
    (repository / "changed").unlink()
    assert not ran()


def test_what_failed_when_it_was_named_is_no_longer_told_as_passed(tiers: ModuleType, committed: Path) -> None:
    (committed.parent / "sound").touch()
    assert tiers.main(["--full"]) == 0
    (committed.parent / "sound").unlink()
    assert tiers.main(["--full", "bad"]) == 1
    assert tiers.main(["--full"]) == 1


def test_what_passed_while_the_files_were_changed_is_not_remembered(tiers: ModuleType, committed: Path) -> None:
    repository = committed.parent.parent
    (repository / "tests/good/test_good.py").write_text(
        "from pathlib import Path\n"
        f"def test_it():\n    open({str(committed)!r}, 'a').write('good ')\n"
        f"    Path({str(repository / 'changed')!r}).touch()\n"
    )
    commit(repository)
    tiers.main(["--full"])
    (repository / "changed").unlink()
    tiers.main(["--full"])
    assert committed.read_text().split().count("good") == 2


@pytest.mark.parametrize("lacking", ["repository", "git"])
def test_without_a_repository_nothing_is_remembered(
    tiers: ModuleType, committed: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    if lacking == "git":
        monkeypatch.setenv("PATH", str(committed.parent))
    else:
        shutil.rmtree(committed.parent.parent / ".git")
    tiers.main(["--full", "good"])
    tiers.main(["--full"])
    assert committed.read_text().split().count("good") == 2


def test_all_of_it_is_the_same_modules_in_other_lanes(real_tiers: ModuleType) -> None:
    root = PATH.parents[1]

    def modules(lanes: tuple[tuple[Any, ...], ...]) -> list[Path]:
        found = []
        for tier in (tier for lane in lanes for tier in lane):
            named = [root / path for path in tier.tests if not path.startswith("--ignore=")]
            ignored = {root / path.removeprefix("--ignore=") for path in tier.tests if path.startswith("--ignore=")}
            every = (module for path in named for module in (path.rglob("test_*.py") if path.is_dir() else (path,)))
            found += [module for module in every if module not in ignored]
        return sorted(found)

    assert modules(real_tiers.FULL_LANES) == modules(real_tiers.LANES)
    assert root / "tests/vm/test_faults.py" in modules(real_tiers.LANES)


@pytest.mark.parametrize("results", [b"", b'<testsuites><testsuite tests="3" skipp'])
def test_a_file_of_results_that_was_cut_off_counts_nothing(real_tiers: ModuleType, results: bytes) -> None:
    assert real_tiers._counted(results) == ""
