"""Mutation testing: which changes of the code do the quick tests notice?

Run `python -m benchmarks.mutation --out mutation.jsonl`, with `--root TREE` to measure another checkout. The tests are
collected once. For each mutant of a fixed sample, a fork of that process replaces the code of one function and runs the
tests that execute the mutated statement, shortest first, up to the first failure. The results are appended to `--out`,
and the statements that each test executes to a file beside it, so that the same command continues. mutmut and
cosmic-ray collect the tests again for each mutant, which takes longer here than the tests.
"""

import builtins
import importlib
import multiprocessing
import os
import pickle
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import pandas as pd
import pytest
import typer
from _pytest.runner import runtestprotocol

from benchmarks.mutants import PACKAGES, Mutant, exchange, mutated, recording, sample
from benchmarks.timing import Results, print_table

TESTS = ("tests/analysis/stats", "tests/analysis/answer", "tests/records", "tests/trainables/trial")
"""The tests of these packages; other tests kill some of the mutants too, but take far longer."""
WARM = "captum.attr matplotlib.pyplot mlflow mlxtend.data pandas scipy.stats sklearn.metrics torch"
"""Imported before the first fork."""
WAIT = 900
"""Seconds after which a child process is stopped, whatever it waits for."""


def in_fork(work: Callable[[], Any], processor_seconds: float, folder: str) -> Any:
    """The result of `work` in a child process, or None if the child was stopped. `folder` holds its temporary files."""
    result = Path(folder) / "result"
    result.parent.mkdir(exist_ok=True)

    def child() -> None:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (int(processor_seconds), int(processor_seconds) + 1))
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        try:
            result.write_bytes(pickle.dumps(work()))
        except BaseException:
            result.write_bytes(pickle.dumps(RuntimeError(traceback.format_exc())))
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(WAIT)
    with suppress(ProcessLookupError):
        os.killpg(cast("int", process.pid), signal.SIGKILL)
    process.join()
    value = pickle.loads(result.read_bytes()) if result.exists() else None  # noqa: S301
    shutil.rmtree(folder, ignore_errors=True)
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

    def reports(self, items: list[pytest.Item]) -> Iterator[tuple[pytest.Item, list[pytest.TestReport]]]:
        """Run the tests one after the other."""
        for item, following in zip(items, [*items[1:], None], strict=True):
            yield item, runtestprotocol(item, log=False, nextitem=following)

    def record(self, items: list[pytest.Item]) -> dict[str, tuple[float, list[tuple[str, int]]]]:
        """Processor seconds of each test that passes, and the statements that it executes."""
        vars(builtins)["__executed__"] = self.executed
        for file in (file for package in PACKAGES for file in (self.root / package).rglob("*.py")):
            exchange(file, recording(file, str(file.relative_to(self.root))))
        measured, start = {}, sum(os.times()[:4])
        for item, reports in self.reports(items):
            executed = self.executed.union(*(self.shared[name] for name in getattr(item, "fixturenames", ())))
            end = sum(os.times()[:4])
            if all(report.passed for report in reports):
                measured[item.nodeid] = (end - start, sorted(executed))
            self.executed.clear()
            start = end
        return measured

    def killer(self, mutant: Mutant, items: list[pytest.Item]) -> str:
        """The first test that fails, or an empty text."""
        exchange(self.root / mutant.file, mutated(self.root, mutant))
        try:
            failed = (item for item, reports in self.reports(items) if any(report.failed for report in reports))
            return getattr(next(failed, None), "nodeid", "")
        except BaseException as error:
            return f"stopped by {error!r}"

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        with warnings.catch_warnings(action="ignore"):
            for name in WARM.split():
                importlib.import_module(name)
        items = {item.nodeid: item for item in session.items}
        files = defaultdict(list)
        for item in session.items:
            files[item.path.relative_to(self.root).as_posix()].append(item)
        measured, tests = Results(self.out.with_suffix(".tests.jsonl")), defaultdict(list)
        results, mutants = Results(self.out), sample(self.root, self.n)
        with tempfile.TemporaryDirectory() as folder:
            os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
            for file, members in files.items():
                if file not in measured:
                    measured[file] = in_fork(partial(self.record, members), WAIT, folder) or {}
                    print(f"{file}: {len(measured[file])} of {len(members)} tests", flush=True)
                for test, (seconds, executed) in measured[file].items():
                    for name, line in executed:
                        tests[name, line].append((seconds, test))
            for position, mutant in enumerate(mutants, 1):
                if str(mutant) in results:
                    continue
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
                print(f"{position} of {len(mutants)}: {result}  {mutant}  {killer or ''}", flush=True)
        summarise({mutant: results[str(mutant)] for mutant in mutants})
        return True


def summarise(results: dict[Mutant, str]) -> None:
    packages = [next(package for package in PACKAGES if mutant.file.startswith(package)) for mutant in results]
    counts = pd.crosstab(pd.Series(packages, name="package"), pd.Series(results.values(), name=""), margins=True)
    print_table(counts.assign(**{"kill rate": counts.get("killed", 0) / counts["All"]}), digits=3)
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
