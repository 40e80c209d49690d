"""Mutation testing: which changes of the code do the quick tests notice?

Run `python -m benchmarks.mutation --out mutation.jsonl`, with `--root TREE` to measure another checkout. A fixed sample
of mutants is drawn from the functions of PACKAGES, and the tests of TESTS are collected once. For each mutant, a fork
of that process replaces the code of one function and runs the tests that execute the mutated statement, shortest
first, up to the first failure. The results are appended to `--out`, and the statements that each test executes are
kept beside it, so that the same command continues. mutmut and cosmic-ray would collect the tests again for each mutant,
which takes longer here than the tests themselves.
"""

import ast
import builtins
import gc
import importlib
import json
import os
import pickle
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Annotated, Any

import pytest
import typer
from _pytest.runner import runtestprotocol

PACKAGES = ("analysis/stats", "analysis/answer", "records", "trainables/trial")
TESTS = ("tests/analysis/stats", "tests/analysis/answer", "tests/records", "tests/trainables/trial")
"""The tests of these packages; other tests kill some of the mutants too, but take far longer."""
WARM = "captum.attr matplotlib.pyplot mlflow mlxtend.data pandas scipy.stats sklearn.metrics torch"
"""Imported before the first fork."""
WAIT = 900
"""Seconds after which a child process is stopped, whatever it waits for."""
SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
HIDING = (ast.AnnAssign, ast.FunctionDef, ast.Lambda)
"""Nodes with annotations and defaults, which are not mutated."""
NAMES = {"min": "max", "any": "all", "minimum": "maximum", "floor": "ceil", "nanmin": "nanmax", "argmin": "argmax"}
NAMES |= {new: old for old, new in NAMES.items()}


@dataclass(frozen=True)
class Mutant:
    """One change of one function."""

    file: str
    function: str
    line: int
    statement: int
    """First line of the innermost statement around the change."""
    change: str
    position: int
    """Of the changed node in `ast.walk` of the file."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.function}: {self.change} #{self.position}"


def changes(node: ast.AST) -> Iterator[tuple[str, Callable[[], ast.AST]]]:
    """The changes of a node: a name, and what returns the node that replaces it."""

    def altered(**fields: Any) -> Callable[[], ast.AST]:
        return lambda: ast.copy_location(type(node)(**{**dict(ast.iter_fields(node)), **fields}), node)

    match node:
        case ast.Compare(ops=[op, *rest]) if type(op) in SWAPS:
            yield f"{type(op).__name__} swapped", altered(ops=[SWAPS[type(op)](), *rest])
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op) if type(op) in SWAPS:
            yield f"{type(op).__name__} swapped", altered(op=SWAPS[type(op)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield f"{type(node.op).__name__} removed", lambda: operand
        case ast.Constant(value=bool(value)):
            yield f"{value} negated", altered(value=not value)
        case ast.Constant(value=int(value) | float(value)):
            yield f"{value} + 1", altered(value=value + 1)
            yield f"{value} - 1", altered(value=value - 1)
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            yield "condition negated", altered(test=ast.UnaryOp(ast.Not(), test))
        case ast.comprehension(ifs=[test, *rest]):
            yield "condition negated", altered(ifs=[ast.UnaryOp(ast.Not(), test), *rest])
        case ast.Name(id=name) if name in NAMES:
            yield f"{name} swapped", altered(id=NAMES[name])
        case ast.Attribute(attr=name) if name in NAMES:
            yield f"{name} swapped", altered(attr=NAMES[name])
        # Code that no longer needs its class, for super(), could not be exchanged.
        case ast.Return(value=ast.expr() as value) if not re.search(r"super\(|^None$", ast.unparse(value)):
            yield "value not returned", altered(value=ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.Raise() if "super(" not in ast.unparse(node):
            yield "statement removed", lambda: ast.copy_location(ast.Pass(), node)
        case ast.Continue() | ast.Break():
            swapped = ast.Break if isinstance(node, ast.Continue) else ast.Continue
            yield f"{type(node).__name__} swapped", lambda: ast.copy_location(swapped(), node)


def body_nodes(node: ast.AST, statement: int) -> Iterator[tuple[ast.AST, int]]:
    """The nodes that a function runs, each with the line of its statement, without annotations and error messages."""
    if isinstance(node, ast.stmt):
        statement = node.lineno
    yield node, statement
    hidden = {"annotation", "args", "returns", "decorator_list"} if isinstance(node, HIDING) else set()
    if not isinstance(node, ast.Raise | ast.JoinedStr):
        for field, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and field not in hidden:
                    yield from body_nodes(child, statement)


def functions(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """The functions and methods of a file by qualified name; names that are defined twice are left out."""
    named = [(f.name, f) for f in tree.body if isinstance(f, ast.FunctionDef)]
    for owner in (c for c in tree.body if isinstance(c, ast.ClassDef)):
        named += [(f"{owner.name}.{f.name}", f) for f in owner.body if isinstance(f, ast.FunctionDef)]
    counts = Counter(name for name, _ in named)
    return {name: function for name, function in named if counts[name] == 1}


def mutants_of(root: Path, file: Path) -> list[Mutant]:
    tree = ast.parse(file.read_text())
    positions = {id(node): position for position, node in enumerate(ast.walk(tree))}
    path = str(file.relative_to(root))
    return [
        Mutant(path, name, getattr(node, "lineno", statement), statement, change, positions[id(node)])
        for name, function in functions(tree).items()
        for body in function.body
        for node, statement in body_nodes(body, function.lineno)
        for change, _ in changes(node)
    ]


def sample(root: Path, n: int) -> list[Mutant]:
    """At least `n` mutants, from each package in proportion to all that it has."""
    every = {p: [m for f in sorted((root / p).rglob("*.py")) for m in mutants_of(root, f)] for p in PACKAGES}
    total = sum(map(len, every.values()))
    return [m for p, mutants in every.items() for m in random.Random(p).sample(mutants, -(-n * len(mutants) // total))]  # noqa: S311


class Replace(ast.NodeTransformer):
    """Replaces one node."""

    def __init__(self, node: ast.AST, replacement: ast.AST):
        self.node, self.replacement = node, replacement

    def visit(self, node: ast.AST) -> ast.AST:
        return self.replacement if node is self.node else self.generic_visit(node)


def mutated(root: Path, mutant: Mutant) -> ast.Module:
    tree = ast.parse((root / mutant.file).read_text())
    node = next(node for position, node in enumerate(ast.walk(tree)) if position == mutant.position)
    Replace(node, dict(changes(node))[mutant.change]()).visit(tree)
    return tree


def recording(file: Path, name: str) -> ast.Module:
    """The file with a note before each statement of a function that it was executed."""
    tree = ast.parse(file.read_text())
    for node in [n for function in functions(tree).values() for n in ast.walk(function)]:
        for field in ("body", "orelse", "finalbody"):
            if isinstance(statements := getattr(node, field, None), list):
                notes = [ast.parse(f"__executed__.add(({name!r}, {s.lineno}))").body[0] for s in statements]
                setattr(node, field, [s for pair in zip(notes, statements, strict=True) for s in pair])
    return tree


def exchange(file: Path, tree: ast.Module) -> None:
    """Give the functions of a file, already imported, the code of its changed tree."""
    new: dict[str, CodeType] = {}
    stack = [compile(ast.fix_missing_locations(tree), str(file), "exec")]
    while stack:
        code = stack.pop()
        new[code.co_qualname] = code
        stack += [const for const in code.co_consts if isinstance(const, CodeType)]
    names = set(functions(tree))
    # Not isinstance: it would ask lazily loaded modules for their class.
    for function in [f for f in gc.get_objects() if type(f) is FunctionType]:
        if function.__code__.co_filename == str(file) and function.__code__.co_qualname in names:
            function.__code__ = new[function.__code__.co_qualname]


def in_fork(work: Callable[[], Any], processor_seconds: float, folder: str) -> Any:
    """The result of `work` in a child process, or None if the child was stopped. `folder` holds its temporary files."""
    result = Path(folder) / "result"
    if not (pid := os.fork()):
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (int(processor_seconds), int(processor_seconds) + 1))
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        try:
            result.write_bytes(pickle.dumps(work()))
        except BaseException:
            result.write_bytes(pickle.dumps(RuntimeError(traceback.format_exc())))
        os._exit(0)
    end = time.monotonic() + WAIT
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        time.sleep(0.01)
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    value = pickle.loads(result.read_bytes()) if result.exists() else None  # noqa: S301
    for path in Path(folder).iterdir():
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
    if isinstance(value, RuntimeError):
        raise value
    return value


class Runner:
    """A pytest plugin that takes the place of the loop over the collected tests."""

    def __init__(self, root: Path, out: Path, mutants: int, budget: float):
        self.root, self.out, self.n, self.budget = root, out, mutants, budget
        self.shared: dict[str, set[tuple[str, int]]] = defaultdict(set)
        self.executed: set[tuple[str, int]] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        """Count what a shared fixture executes for each test that uses it."""
        if fixturedef.scope == "function":
            return (yield)
        before = self.executed.copy()
        self.executed.clear()
        result = yield
        self.shared[fixturedef.argname] |= self.executed
        self.executed |= before
        return result

    def record(self, items: list[pytest.Item]) -> dict[str, tuple[float, list[tuple[str, int]]]]:
        """Processor seconds of each test that passes, and the statements that it executes."""
        vars(builtins)["__executed__"] = self.executed
        for package in PACKAGES:
            for file in (self.root / package).rglob("*.py"):
                exchange(file, recording(file, str(file.relative_to(self.root))))
        measured = {}
        for item, following in zip(items, [*items[1:], None], strict=True):
            start = sum(os.times()[:4])
            self.executed.clear()
            reports = runtestprotocol(item, log=False, nextitem=following)
            executed = self.executed.union(*(self.shared[name] for name in getattr(item, "fixturenames", ())))
            if all(report.passed for report in reports):
                measured[item.nodeid] = (sum(os.times()[:4]) - start, sorted(executed))
        return measured

    def killer(self, mutant: Mutant, items: list[pytest.Item]) -> str:
        """The first test that fails, or an empty text."""
        exchange(self.root / mutant.file, mutated(self.root, mutant))
        for item, following in zip(items, [*items[1:], None], strict=True):
            try:
                reports = runtestprotocol(item, log=False, nextitem=following)
            except BaseException:
                return item.nodeid
            if any(report.failed for report in reports):
                return item.nodeid
        return ""

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        with warnings.catch_warnings(action="ignore"):
            for name in WARM.split():
                importlib.import_module(name)
        items = {item.nodeid: item for item in session.items}
        files = defaultdict(list)
        for item in session.items:
            files[item.path.relative_to(self.root).as_posix()].append(item)
        measured, tests = Results(self.out.with_suffix(".tests.jsonl")), defaultdict(list)
        with tempfile.TemporaryDirectory() as folder:
            os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
            for file, members in files.items():
                if file not in measured:
                    measured[file] = in_fork(partial(self.record, members), WAIT, folder) or {}
                    print(f"{file}: {len(measured[file])} of {len(members)} tests", flush=True)
                for test, (seconds, executed) in measured[file].items():
                    for name, line in executed:
                        tests[name, line].append((seconds, test))
            results, chosen = Results(self.out), sample(self.root, self.n)
            for position, mutant in enumerate(chosen, 1):
                if str(mutant) not in results:
                    seconds, selected = 0.0, list[pytest.Item]()
                    for taken, test in sorted(tests[mutant.file, mutant.statement]):
                        if test in items and (not selected or seconds + taken <= self.budget):
                            seconds += taken
                            selected.append(items[test])
                    result, killer = "without tests", ""
                    if selected:
                        killer = in_fork(partial(self.killer, mutant, selected), 20 + 5 * seconds, folder)
                        result = "survived" if killer == "" else "killed"
                    results[str(mutant)] = result
                    print(f"{position} of {len(chosen)}: {result}  {mutant}  {killer or ''}", flush=True)
        summarise({mutant: results[str(mutant)] for mutant in chosen})
        return True


class Results(dict[str, Any]):
    """A dictionary whose entries are also appended to a file, and read from it at the start."""

    def __init__(self, file: Path):
        super().__init__(map(json.loads, file.read_text().splitlines()) if file.exists() else ())
        self.file = file

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        with self.file.open("a") as lines:
            lines.write(json.dumps([key, value]) + "\n")


def summarise(results: dict[Mutant, str]) -> None:
    print("\n| package | mutants | killed | survived | without tests | kill rate |\n|---|---|---|---|---|---|")
    for package in (*PACKAGES, ""):
        counts = Counter(result for mutant, result in results.items() if mutant.file.startswith(package))
        n, killed = counts.total(), counts["killed"]
        row = (package or "all", n, killed, counts["survived"], counts["without tests"], f"{killed / n:.1%}")
        print(f"| {' | '.join(map(str, row))} |")
    print("\nNot killed:")
    for mutant, result in results.items():
        if result != "killed":
            print(f"{result}: {mutant}")


def main(
    out: Annotated[Path, typer.Option(help="Where the results are appended.")],
    root: Annotated[Path, typer.Option(help="The checkout to measure.")] = Path.cwd(),  # noqa: B008
    mutants: Annotated[int, typer.Option(min=1, help="Size of the sample.")] = 320,
    budget: Annotated[float, typer.Option(help="Processor seconds of tests for a mutant.")] = 4.0,
) -> None:
    """Measure which mutants the quick tests kill."""
    out, root = out.resolve(), root.resolve()
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != Path.cwd()]
    # Tests of the tree import its benchmarks, not those of this script.
    sys.modules.pop("benchmarks", None)
    os.environ["PYTHONPATH"] = str(root)
    os.chdir(root)
    options = ["-q", "-s", "-p", "no:cacheprovider", "--rootdir", str(root), "-m", "not slow and not cluster"]
    pytest.main([*options, *TESTS], plugins=[Runner(root, out, mutants, budget)])


if __name__ == "__main__":
    typer.run(main)
