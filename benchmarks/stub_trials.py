"""Trials that do nothing, run through Ray Tune by the driver's own code, to measure the driver's own work."""

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
    """Trains nothing, and reports its records as written, since they exist already."""

    def step(self) -> dict[str, Any]:
        scores = {"status": "completed", "error": None, "train_seconds": 0.0, "host": "stub"}
        rows = [{**trial.columns(), **scores} for trial in self.training.trials]
        return {"finished": [[{name: row.get(name) for name in REPORTED} for row in rows]], "done": True}


def hand_out(plan: Plan, records: SweepRecords, started: Callable[[], None]) -> None:
    """Run all trials of the plan, which have records, as stubs, two at a time.

    `started` is called when the first trial has ended, since Ray and the trials' processes have started by then.
    """

    class Counting(Progress):
        def finished(self, records: Sequence[dict[str, Any]]) -> None:
            if not self.counts:
                started()
            super().finished(records)

    console, resources = Console(quiet=True), TrialResources()
    slots = connect("local", 2, resources, console)
    progress = Counting(console, plan.planned)
    with Stop() as stop, patch.object(driver_run, "TrialTrainable", StubTrial):
        recorder = Recorder(records.storage.location, records.name)
        settings: dict[str, Any] = {"slots": slots, "resources": resources, "progress": progress, "stop": stop}
        driver_run.run_trials(Queue(plan.trials.values()), recorder=recorder, log=SweepLog(records), **settings)
        stop.check()
    if progress.done != plan.planned:
        raise RuntimeError(f"{progress.done} of {plan.planned} stub trials came back")
