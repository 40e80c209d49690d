"""Trials that do nothing, run through Ray Tune by the driver's own code: what is left is the driver's own work."""

from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

from rich.console import Console

from driver.plan.plan import Plan, Queue
from driver.ray import run as driver_run
from driver.ray.cluster import TrialResources, connect
from driver.upkeep.stop import Stop
from driver.view.log import SweepLog
from driver.view.progress import Progress
from records import SweepRecords
from trainables import Recorder, TrialTrainable
from trainables.tune.training import REPORTED


class StubTrial(TrialTrainable):
    """Trains nothing, and reports its records as written: they are there already."""

    def step(self) -> dict[str, Any]:
        told = {"status": "completed", "error": None, "train_seconds": 0.0, "host": "stub"}
        rows = [{**trial.columns(), **told} for trial in self.training.trials]
        return {"finished": [[{name: row.get(name) for name in REPORTED} for row in rows]], "done": True}


class Counting(Progress):
    """Says when the first trial has come back."""

    def __init__(self, console: Console, total: int, began: Callable[[], None]):
        super().__init__(console, total)
        self.began = began

    def finished(self, records: Sequence[dict[str, Any]]) -> None:
        if not self.counts:
            self.began()
        super().finished(records)


def hand_out(plan: Plan, records: SweepRecords, began: Callable[[], None]) -> None:
    """Run all trials of the plan as stubs, two at a time.

    Args:
        plan: its trials.
        records: hold a record of each.
        began: called once the first trial has come back: Ray and the trials' processes have started by then.
    """
    console, resources = Console(quiet=True), TrialResources()
    slots = connect("local", 2, resources, console)
    recorder, progress = Recorder(records.storage.location, records.name), Counting(console, plan.planned, began)
    queue = Queue(plan.trials.values())
    with Stop() as stop, patch.object(driver_run, "TrialTrainable", StubTrial):
        driver_run.run_trials(
            queue,
            recorder=recorder,
            slots=slots,
            resources=resources,
            progress=progress,
            log=SweepLog(records),
            stop=stop,
        )
        stop.check()
    if progress.done != plan.planned:
        raise RuntimeError(f"{progress.done} of {plan.planned} stub trials came back")
