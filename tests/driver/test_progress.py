"""What is counted while trainings run, some of them for several trials."""

import io

from rich.console import Console

from driver.view.progress import Progress
from trainables import resolve
from trainables.trial.select import SELECTIONS


def record(status, error=None):
    return {"status": status, "error": error, "method": "baseline", "dataset": "synthetic"}


def test_trials_are_counted_and_not_trainings():
    out = io.StringIO()
    progress = Progress(Console(file=out, width=200), total=9)
    progress.skip(2)
    alike = tuple(resolve({"selection": selection}) for selection in SELECTIONS)
    progress.started("a", alike)
    progress.started("b", (resolve({"seed": 1}),))
    progress.epoch("a", 3)
    assert (progress.done, progress.running) == (2, 4)
    progress.finished("a", [record("completed"), record("completed"), record("failed", "ValueError: no\ntail")])
    assert (progress.done, progress.running, progress.bad) == (5, 1, 1)
    facts = progress.facts()
    assert (facts["done"], facts["total"], facts["running"]) == (5, 9, 1)
    assert "failed: baseline on synthetic: ValueError: no" in out.getvalue()
    assert "5/9 trials done, 1 running, 1 failed" in out.getvalue()
