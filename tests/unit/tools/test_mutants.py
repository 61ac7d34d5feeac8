"""The mutation run: what it changes, and when it says no."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).resolve().parents[3] / "tools" / "mutants.py"

SOURCE = '''
"""Head."""

LIMIT = 3


@register("METIS-101")
def check(seen: int = 1) -> str:
    """Say something."""
    if seen < 2 and not seen == 0:
        yield passed("all is well", short="x4")
        return None
    return seen + 1
'''


@pytest.fixture
def mutants(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location("mutants", PATH)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "mutants", module)
    specification.loader.exec_module(module)
    (tmp_path / "one.py").write_text(SOURCE)
    monkeypatch.setattr(module, "_file", lambda name: tmp_path / f"{name}.py")
    monkeypatch.setattr(module, "EQUIVALENT", tmp_path / "mutants.md")
    monkeypatch.setattr(module, "_warm_up", lambda: None)
    return module


def test_everything_that_decides_is_changed_once(mutants: ModuleType) -> None:
    made = list(mutants.mutants("one", SOURCE))
    assert [mutant.what for mutant in made] == [
        "`1` plus 1",
        "`if seen < 2 and (not seen == 0)` always True",
        "`if seen < 2 and (not seen == 0)` always False",
        "`seen < 2 and (not seen == 0)` with or",
        "`seen < 2` compared the other way",
        "`2` plus 1",
        "`not seen == 0` without not",
        "`seen == 0` compared the other way",
        "`0` plus 1",
        "`yield passed('all is well', short='x4')` left out",
        "'x4' changed",
        "`return seen + 1` returns None",
        "`seen + 1` counted the other way",
        "`1` plus 1 (2)",
    ]
    assert len({mutant.name for mutant in made}) == len(made)
    assert len({mutant.source for mutant in made}) == len(made)
    assert all(mutant.function == "check" for mutant in made)
    for mutant in made:
        compile(mutant.source, "one", "exec")
        assert "METIS-101" in mutant.source
        assert "Say something." in mutant.source
        assert "LIMIT = 3" in mutant.source


def test_changes_that_read_alike_have_names_of_their_own(mutants: ModuleType) -> None:
    source = "def one():\n    return 1, 1, 1\n\n\ndef two():\n    return 1\n"
    assert [mutant.name for mutant in mutants.mutants("m", source) if "plus" in mutant.what] == [
        "m.one: `1` plus 1",
        "m.one: `1` plus 1 (2)",
        "m.one: `1` plus 1 (3)",
        "m.two: `1` plus 1",
    ]


def test_a_reason_holds_for_one_of_two_that_read_alike(
    mutants: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    *_, last = mutants.mutants("one", SOURCE)
    monkeypatch.setattr(mutants, "passes", lambda given, _: given[0].what == "nothing" or given[0].name == last.name)
    mutants.EQUIVALENT.write_text("* **one.check: `1` plus 1**: nobody calls it without.\n")
    assert mutants.main(["--module", "one"]) == 1
    assert "survived: one.check: `1` plus 1 (2) (line 13)" in capsys.readouterr().out


def test_every_file_of_tests_is_run_and_the_sweeps_last(mutants: ModuleType) -> None:
    order = [Path(path).name for path in mutants._tests()]
    assert sorted(order) == sorted(path.name for path in (mutants.ROOT / mutants.TESTS).glob("test_*.py"))
    assert tuple(order[-len(mutants._SWEEPS) :]) == mutants._SWEEPS


def run(mutants: ModuleType, monkeypatch: pytest.MonkeyPatch, surviving: int, baseline: bool = True) -> int:
    """Run over one module whose first ``surviving`` mutants nobody notices."""
    made = list(mutants.mutants("one", SOURCE))
    names = [mutant.source for mutant in made[:surviving]]

    def passes(given: list, _: object) -> bool:
        return baseline if given[0].what == "nothing" else given[0].source in names

    monkeypatch.setattr(mutants, "passes", passes)
    return mutants.main(["--module", "one", "--jobs", "1"])


def test_all_noticed(mutants: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(mutants, monkeypatch, 0) == 0
    assert "one: 14 of 14 killed (100.0%)\n14 of 14 killed; 0 survivors" in capsys.readouterr().out


def test_tests_that_fail_without_a_mutant_prove_nothing(mutants: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(mutants, monkeypatch, 0, baseline=False) == 1


def test_a_survivor_needs_a_reason(
    mutants: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(mutants, monkeypatch, 1) == 1
    assert "survived: one.check: `1` plus 1 (line 8)" in capsys.readouterr().out
    mutants.EQUIVALENT.write_text("# Mutants\n\n* **one.check: `1` plus 1**: nobody calls it without.\n")
    assert run(mutants, monkeypatch, 1) == 0


def test_too_many_survivors_are_too_many_with_reasons_too(mutants: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    made = list(mutants.mutants("one", SOURCE))
    mutants.EQUIVALENT.write_text("".join(f"* **{mutant.name}**: so be it.\n" for mutant in made))
    assert run(mutants, monkeypatch, 2) == 1


def test_one_module_does_not_make_up_for_another(
    mutants: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "two.py").write_text("def check():\n" + "    report()\n" * 100)
    surviving = list(mutants.mutants("one", SOURCE))[:2]
    mutants.EQUIVALENT.write_text("".join(f"* **{mutant.name}**: so be it.\n" for mutant in surviving))
    sources = [mutant.source for mutant in surviving]
    monkeypatch.setattr(mutants, "passes", lambda given, _: len(given) == 2 or given[0].source in sources)
    assert mutants.main(["--module", "one", "--module", "two", "--jobs", "1"]) == 1
    said = capsys.readouterr().out
    assert "two: 100 of 100 killed (100.0%)\nbelow 90%: one\n112 of 114 killed; 0 survivors without a reason" in said


def test_a_mutant_takes_the_place_of_its_module(mutants: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "victim_module.py"
    path.write_text("VALUE = 1\n")
    finder = mutants._Swapped("victim_module", path, "VALUE = 2\n")
    sys.meta_path.insert(0, finder)
    try:
        assert importlib.import_module("victim_module").VALUE == 2
    finally:
        sys.meta_path.remove(finder)
        sys.modules.pop("victim_module", None)


def test_a_fork_runs_the_tests_it_is_given(
    mutants: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(mutants, "_tables", lambda modules: ())
    good, bad = tmp_path / "test_good.py", tmp_path / "test_bad.py"
    good.write_text("def test_it():\n    pass\n")
    bad.write_text("def test_it():\n    raise SystemExit(0)\n")
    assert mutants.passes([], [str(good)])
    assert not mutants.passes([], [str(bad)])
    monkeypatch.setattr(mutants, "_tables", lambda modules: pytest.fail("noticed"))
    assert not mutants.passes([], [str(good)])


def test_what_the_tables_have_run_is_not_run_again(
    mutants: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(mutants, "_tables", lambda modules: ())
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "test_table.py"
    path.write_text(
        "import pytest\n@pytest.mark.parametrize('n', [1])\ndef test_one(n):\n    assert n == 2\ndef test_two(): pass\n"
    )
    assert not mutants.passes([], [str(path)])
    monkeypatch.setattr(mutants, "_tables", lambda modules: ("test_table.py::test_one[",))
    assert mutants.passes([], [str(path)])
