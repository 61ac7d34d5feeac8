"""Changes the checks one operator at a time and sees whether their tests notice.

Usage: tools/mutants.py [--module NAME ...] [--jobs N]        (make mutants: all modules of checks/ but the commands)

Own code because no library fits: mutmut 3 leaves decorated functions out, and every check is one; cosmic-ray starts
the whole test command for each of some thousand mutants, which takes hours. Here each mutant is a fork of a process
that has everything but the checks in memory.

A survivor must be listed with its reason in docs/mutants.md, or get a test; at least 90% of each module must be killed.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import functools
import importlib
import importlib.abc
import importlib.util
import os
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "metis_provision.checks"
TESTS = "tests/unit/checks"
EQUIVALENT = ROOT / "docs" / "mutants.md"
LEFT_OUT = {"__init__", "cli"}
FLOOR = 0.9
_LONGEST = 60
"""Seconds of CPU time, six times what all tests take, after which a mutant that goes round in circles is noticed."""
_SWEEPS = ("test_briefs.py", "test_codes_are_proven.py", "test_tool_output.py")
"""Go through whole tables of cases or made-up texts: most of the tests' time, and hardly ever the first to notice."""
_IN_TABLES = ("test_check_codes.py::test_code", "test_golden_verdicts.py::test_recorded_host")

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_COUNTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True)
class Mutant:
    """One change of one module; ``name`` stays the same while the code around it moves.

    Of changes that read alike in one function, the second says so, and so on.
    """

    module: str
    function: str
    line: int
    what: str
    source: str

    @property
    def name(self) -> str:
        """Module, function and change."""
        return f"{self.module}.{self.function}: {self.what}"


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a module's source."""
    tree = ast.parse(source)
    alike: Counter[tuple[str, str]] = Counter()
    for number, (node, function) in enumerate(_inside_functions(tree)):
        for what, change in _changes(node):
            changed = copy.deepcopy(tree)
            target = [found for found, _ in _inside_functions(changed)][number]
            change(target, changed)
            line = getattr(node, "lineno", 0)
            alike[function, what] += 1
            which = f" ({alike[function, what]})" if alike[function, what] > 1 else ""
            yield Mutant(module, function, line, what + which, ast.unparse(ast.fix_missing_locations(changed)))


def _inside_functions(tree: ast.Module) -> list[tuple[ast.AST, str]]:
    """Every node below a function, and the function's name; annotations and decorators say nothing at run time."""
    found: list[tuple[ast.AST, str]] = []

    def walk(node: ast.AST, function: str) -> None:
        for field, value in ast.iter_fields(node):
            if field in {"annotation", "returns", "decorator_list"}:
                continue
            for child in value if isinstance(value, list) else [value]:
                if not isinstance(child, ast.AST):
                    continue
                inner = child.name if isinstance(child, ast.FunctionDef) else function
                if inner:
                    found.append((child, inner))
                walk(child, inner)

    walk(tree, "")
    return found


Change = Callable[[Any, ast.Module], None]


def _changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    """What can be changed about a node: a few words, and the function that does it to a copy."""
    text = " ".join(ast.unparse(node).split()) if isinstance(node, (ast.expr, ast.stmt)) else ""
    short = text if len(text) <= 70 else f"{text[:67]}..."
    if isinstance(node, ast.Constant):
        yield from _other_constants(node, short)
    elif isinstance(node, ast.expr):
        yield from _other_expressions(node, short)
    elif isinstance(node, ast.stmt):
        yield from _other_statements(node, short)
    if isinstance(node, (ast.If, ast.IfExp)):
        test = " ".join(ast.unparse(node.test).split())
        for value in (True, False):
            yield f"`if {test[:70]}` always {value}", _Condition(value)


def _other_constants(node: ast.Constant, short: str) -> Iterator[tuple[str, Change]]:
    """Prose and punctuation are left alone: the recorded hosts' verdicts hold them word for word."""
    if isinstance(node.value, bool):
        yield f"`{short}` reversed", _Replace(lambda old: ast.Constant(not old.value))
    elif isinstance(node.value, int):
        yield f"`{short}` plus 1", _Replace(lambda old: ast.Constant(old.value + 1))
    elif isinstance(node.value, str) and " " not in node.value and any(map(str.isalnum, node.value)):
        yield f"{short} changed", _Replace(lambda old: ast.Constant(f"{old.value}XX"))


def _other_expressions(node: ast.expr, short: str) -> Iterator[tuple[str, Change]]:
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            yield f"`{short}` compared the other way", _Compare(place, _COMPARED[type(operator)])
    elif isinstance(node, ast.BoolOp):
        yield f"`{short}` with {'or' if isinstance(node.op, ast.And) else 'and'}", _boolean
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield f"`{short}` without not", _Replace(lambda old: old.operand)
    elif isinstance(node, ast.BinOp) and type(node.op) in _COUNTED:
        yield f"`{short}` counted the other way", _count


def _other_statements(node: ast.stmt, short: str) -> Iterator[tuple[str, Change]]:
    if isinstance(node, ast.Expr) and isinstance(node.value, (ast.Yield, ast.YieldFrom, ast.Call)):
        yield f"`{short}` left out", _Replace(lambda _: ast.Pass())
    elif isinstance(node, ast.Return) and short not in {"return", "return None"}:
        yield f"`{short}` returns None", _Replace(lambda _: ast.Return(ast.Constant(None)))
    elif isinstance(node, ast.Raise):
        yield f"`{short}` left out", _Replace(lambda _: ast.Pass())


class _Compare:
    def __init__(self, place: int, operator: type[ast.cmpop]) -> None:
        self._place, self._operator = place, operator

    def __call__(self, node: ast.Compare, _: ast.Module) -> None:
        node.ops[self._place] = self._operator()


class _Condition:
    def __init__(self, value: bool) -> None:
        self._value = value

    def __call__(self, node: ast.If | ast.IfExp, _: ast.Module) -> None:
        node.test = ast.Constant(self._value)


class _Replace:
    def __init__(self, make: Callable[[Any], ast.AST]) -> None:
        self._make = make

    def __call__(self, node: ast.AST, tree: ast.Module) -> None:
        new = self._make(node)
        for parent in ast.walk(tree):
            for field, value in ast.iter_fields(parent):
                if value is node:
                    setattr(parent, field, new)
                elif isinstance(value, list) and any(item is node for item in value):
                    setattr(parent, field, [new if item is node else item for item in value])


def _boolean(node: ast.BoolOp, _: ast.Module) -> None:
    node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()


def _count(node: ast.BinOp, _: ast.Module) -> None:
    node.op = _COUNTED[type(node.op)]()


class _Swapped(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from other source than its file's."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name, self._path, self._source = name, path, source

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._source, str(self._path), "exec"), module.__dict__)  # noqa: S102 - our own source, changed


def passes(mutants: Sequence[Mutant], tests: Sequence[str]) -> bool:
    """Run the tests in a fork of this process, with the mutants in the place of their modules; True if all pass."""
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            status = _child(mutants, tests)
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _child(mutants: Sequence[Mutant], tests: Sequence[str]) -> int:
    import pytest

    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    # CPU time, because a crowded machine must not make a mutant look as if it had been noticed.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, _LONGEST)
    for mutant in mutants:
        name = f"{PACKAGE}.{mutant.module}"
        sys.meta_path.insert(0, _Swapped(name, _file(mutant.module), mutant.source))
    done = _tables({mutant.module for mutant in mutants})
    left_out = [f"--deselect={path}" for path in done]
    # Nobody reads which part of an assertion did not hold, and rewriting assertions takes longer than most tests.
    return int(pytest.main(["-x", "-q", "--no-header", "--assert=plain", "-p", "no:randomly", *left_out, *tests]))


def _tests() -> list[str]:
    """Every file of tests, the sweeps last."""
    found = sorted((ROOT / TESTS).glob("test_*.py"), key=lambda path: (path.name in _SWEEPS, path.name))
    return [str(path.relative_to(ROOT)) for path in found]


def _tables(modules: Set[str]) -> tuple[str, ...]:
    """Go through the tables of cases without pytest, which takes longer to begin than most mutants live.

    The cases of the modules' own codes come first, as the likeliest to notice. AssertionError where one does; else
    the tests that need not be run again. All others still follow, so that this saves time and decides nothing.
    """
    warnings.simplefilter("error")
    codes, golden = importlib.import_module("test_check_codes"), importlib.import_module("test_golden_verdicts")
    functions = importlib.import_module(f"{PACKAGE}.evaluate").check_functions()
    own = {code for code, function in functions.items() if function.__module__.rpartition(".")[2] in modules}
    for case in sorted(codes.CASES, key=lambda case: case.code not in own):
        codes.test_code(case)
    for name in golden.RECORDED:
        golden.test_recorded_host(name)
    return tuple(f"{TESTS}/{test}[" for test in _IN_TABLES)


def _unchanged(module: str) -> Mutant:
    """A module as a mutant is made of it, but with nothing changed: what fails then is the method, not a mutant."""
    return Mutant(module, "", 0, "nothing", ast.unparse(ast.parse(_file(module).read_text(encoding="utf-8"))))


def _file(module: str) -> Path:
    return ROOT / "src" / PACKAGE.replace(".", "/") / f"{module}.py"


def _warm_up() -> None:
    """Import everything that the tests need and no mutant is in."""
    import hypothesis  # noqa: F401
    import pytest  # noqa: F401
    import yaml

    import metis_provision.desired.state
    import metis_provision.report.terminal
    import metis_provision.survey.parser  # noqa: F401

    # No mutant changes the table of codes, and reading it takes as long as all the rest of a mutant's start.
    yaml.safe_load = functools.cache(yaml.safe_load)  # type: ignore[assignment]
    yaml.safe_load((ROOT / "src/metis_provision/catalog/checks.yml").read_text(encoding="utf-8"))

    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / TESTS)]
    loaded = [name for name in sys.modules if name.startswith(PACKAGE)]
    if loaded:
        raise SystemExit(f"mutants: {loaded[0]} is in memory already, so that no mutant would be looked at")


def explained() -> set[str]:
    """Names of survivors that docs/mutants.md gives a reason for."""
    if not EQUIVALENT.is_file():
        return set()
    lines = EQUIVALENT.read_text(encoding="utf-8").splitlines()
    return {line.removeprefix("* **").partition("**")[0] for line in lines if line.startswith("* **")}


def main(arguments: list[str]) -> int:
    """Run every mutant; the status is 1 if too many of a module survive or one of them is not explained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--module", action="append", help="only this module of checks/; may be given more than once")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="forks at once")
    given = parser.parse_args(arguments)
    os.chdir(ROOT)
    _warm_up()
    modules = given.module or sorted(path.stem for path in _file("x").parent.glob("*.py") if path.stem not in LEFT_OUT)
    made = {module: list(mutants(module, _file(module).read_text(encoding="utf-8"))) for module in modules}
    tests = _tests()
    if not passes([_unchanged(module) for module in modules], tests):
        print("mutants: the tests fail without any mutant: mend them first", file=sys.stderr)
        return 1
    number = sum(map(len, made.values()))
    print(f"{number} mutants of {len(modules)} modules", flush=True)
    survivors, low = [], []
    with ThreadPoolExecutor(given.jobs) as pool:
        for module, those in made.items():
            answers = pool.map(functools.partial(_survives, tests), those)
            survived = [mutant for mutant, survives in zip(those, answers, strict=True) if survives]
            killed = len(those) - len(survived)
            print(f"{module}: {killed} of {len(those)} killed ({killed / max(1, len(those)):.1%})", flush=True)
            survivors += survived
            if killed < FLOOR * len(those):
                low.append(module)
    known = explained()
    unexplained = [mutant for mutant in survivors if mutant.name not in known]
    if low:
        print(f"below {FLOOR:.0%}: {', '.join(low)}")
    print(f"{number - len(survivors)} of {number} killed; {len(unexplained)} survivors without a reason")
    return 1 if unexplained or low else 0


def _survives(tests: Sequence[str], mutant: Mutant) -> bool:
    survives = passes([mutant], tests)
    if survives:
        print(f"survived: {mutant.name} (line {mutant.line})", flush=True)
    return survives


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
