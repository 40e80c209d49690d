"""Mutation testing: which changes of the code do the quick tests notice?

`make mutation` runs `python tests/support/mutation.py --out build/mutation`; `--root TREE` measures another checkout.
cosmic-ray makes each mutant of a fixed sample in a copy of the checkout, and testmon chooses the tests that execute the
changed function, which run up to the first failure. The same command continues where it was stopped.
"""

import os
import random
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
import typer

if TYPE_CHECKING:
    from cosmic_ray.work_db import WorkDB
    from cosmic_ray.work_item import WorkItem

PACKAGES = ("analysis/stats", "analysis/answer", "records", "trainables/trial")
TESTS = ("tests/analysis/stats", "tests/analysis/answer", "tests/records", "tests/trainables/trial")
"""The tests of these packages; other tests kill some of the mutants too, but take far longer."""
AT_IMPORT = ("core/ReplaceBinaryOperator_BitOr", "core/RemoveDecorator")
"""Operators whose mutants mostly fail when a file is imported: a type `A | B` becomes `A + B`, a dataclass none."""
NOT_COPIED = (".*", "build", "sweeps", "mlartifacts", "__pycache__")
PYTEST = [sys.executable, *shlex.split("-m pytest -q -p no:cacheprovider --testmon"), *TESTS]
QUICK = ["-m", "not slow and not cluster"]
SELECTED = ["-x", "--testmon-nocollect", "--testmon-forceselect"]
SECONDS = 300.0
"""For the tests of one mutant."""


def package_of(item: "WorkItem") -> str:
    return next(package for package in PACKAGES if item.mutations[0].module_path.is_relative_to(package))


def keep_sample(session: "WorkDB", n: int) -> None:
    """Keep at least `n` mutants: from each package in proportion to all that it has, the same ones in every session."""
    every: dict[str, list[WorkItem]] = defaultdict(list)
    for item in session.work_items:
        if not item.mutations[0].operator_name.startswith(AT_IMPORT):
            every[package_of(item)].append(item)
    total = sum(map(len, every.values()))
    session.clear()
    for package, items in every.items():
        items.sort(key=lambda item: str(item.mutations))
        session.add_work_items(random.Random(package).sample(items, -(-n * len(items) // total)))  # noqa: S311


def summarise(session: "WorkDB") -> None:
    results = session.completed_work_items
    packages = pd.Series([package_of(item) for item, _ in results], name="package")
    counts = pd.crosstab(packages, pd.Series([result.is_killed for _, result in results], name="killed"), margins=True)
    rates = counts.assign(**{"kill rate": counts.get(True, 0) / counts["All"]})
    print(rates.to_string(float_format="{:.3f}".format))
    print("\nNot killed:", *(result.diff for _, result in results if not result.is_killed), sep="\n\n")


def main(
    out: Annotated[Path, typer.Option(help="Folder of the copy and the results.")],
    root: Annotated[Path, typer.Option(help="The checkout to measure.")] = Path(),
    mutants: Annotated[int, typer.Option(min=1, help="Size of the sample.")] = 320,
) -> None:
    """Measure which mutants the quick tests kill."""
    # Installed by the extra `mutation` alone.
    from cosmic_ray.commands import execute, init
    from cosmic_ray.config import ConfigDict
    from cosmic_ray.modules import find_modules
    from cosmic_ray.work_db import use_db

    tree = out.resolve() / "tree"
    # Also where it exists: a process that was stopped may have left a mutant.
    shutil.copytree(root, tree, ignore=shutil.ignore_patterns(*NOT_COPIED), dirs_exist_ok=True)
    # There cosmic-ray changes the files.
    os.chdir(tree)
    os.environ["PYTHONPATH"] = str(tree)
    with use_db(f"{tree}.sqlite") as session:
        if not session.num_work_items:
            subprocess.run([*PYTEST, *QUICK], check=True)
            init(find_modules(map(Path, PACKAGES)), session, {})
            keep_sample(session, mutants)
        # Without a test that executes the changed code, pytest ends with 5, and the mutant survives.
        command = f"{shlex.join([*PYTEST, *QUICK, *SELECTED])}; test $? -eq 0 -o $? -eq 5"
        config = {
            "test-command": shlex.join(["sh", "-c", command]),
            "timeout": SECONDS,
            "distributor": {"name": "local"},
        }
        execute(session, ConfigDict(config))
        summarise(session)


if __name__ == "__main__":
    typer.run(main)
