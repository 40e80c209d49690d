"""Large sweeps from one small trial: records that differ as trials do, and trials that do nothing."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from rich.console import Console

from benchmarks.scale import SWEEP
from driver.plan.make_plan import make_plan
from driver.plan.plan import Plan, Queue
from driver.ray import run as driver_run
from driver.ray.cluster import TrialResources, connect
from driver.upkeep.stop import Stop
from driver.view.log import SweepLog
from driver.view.progress import Progress
from records import SweepRecords, columns, open_storage
from records.store import Record
from search_spaces import SPACES, Space
from search_spaces.space import factorial
from search_spaces.strengths import ONE_STRENGTH
from trainables import Recorder, TrialTrainable
from trainables.tune.training import REPORTED

SEVERITIES = (0.0, 0.5, 0.8, 0.9, 1.0)
SMALL: dict[str, Any] = {"n_train": 32, "n_valid": 32, "n_test": 32, "epochs": 2, "batch_size": 8}
SMALL |= {"attribution_images": 8}
SPREAD = 0.1
"""Standard deviation of what is added to each score."""


def planned(trials: int) -> Plan:
    """Seven methods x five severities x as many seeds as make `trials`."""
    seeds = range(-(-trials // (len(ONE_STRENGTH) * len(SEVERITIES))))
    levels: dict[str, Any] = {name: (value,) for name, value in SMALL.items()}
    settings = list(factorial(seeds, ("synthetic",), SEVERITIES, ONE_STRENGTH, **levels))[:trials]
    with patch.dict(SPACES, {SWEEP: lambda: Space(SWEEP, "copies of one small trial", settings)}):
        return make_plan(SWEEP, None, {}, None)


def real_trial(folder: Path) -> SweepRecords:
    """A sweep in `folder` with the record and artifacts of one small trial, run here."""
    # As Tune's actor holds it, without an actor.
    trial = TrialTrainable.__new__(TrialTrainable)
    trial.setup({**SMALL, "method": "baseline"}, recorder=Recorder(str(folder), SWEEP))
    while not trial.step().get("done"):
        pass
    return SweepRecords(open_storage(folder), SWEEP)


def varied(record: Record, settings: Iterable[Mapping[str, Any]]) -> Iterator[Record]:
    """For each trial's settings, as `TrialConfig.columns` gives them, `record` with these and with other scores.

    Scores that lie in [0, 1] stay there, and losses stay above 0.
    """
    rng = np.random.default_rng(0)
    scores = {name: v for name, v in record.items() if name.split(".")[0] in columns.SPLITS and isinstance(v, float)}
    values = np.array(list(scores.values()))
    for trial in settings:
        drawn = values + SPREAD * rng.normal(size=len(values))
        drawn = np.where(values <= 1, drawn.clip(0, 1), drawn.clip(0))
        yield Record({**record, **trial, **dict(zip(scores, drawn.tolist(), strict=True))})


def copies(records: SweepRecords, number: int) -> list[Record]:
    """So many copies of the only record, whose artifacts are copied too. The records are not written."""
    (real,) = records.load().records
    made = list(varied(real, ({"trial_key": f"{n:016x}"} for n in range(number))))
    for name in records.artifacts(real["trial_key"]):
        data = records.read_artifact(real["trial_key"], name) or b""
        for copy in made:
            records.write_artifact(copy["trial_key"], name, data)
    return made


class StubTrial(TrialTrainable):
    """Trains nothing, and reports its records as written, since they exist already."""

    def step(self) -> dict[str, Any]:
        scores = {"status": "completed", "error": None, "train_seconds": 0.0, "host": "stub"}
        rows = [{**trial.columns(), **scores} for trial in self.training.trials]
        return {"finished": [[{name: row.get(name) for name in REPORTED} for row in rows]], "done": True}


def hand_out(plan: Plan, records: SweepRecords, started: Callable[[], None]) -> None:
    """Run all trials of the plan, which have records, as stubs, two at a time, by the driver's code and Ray Tune.

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
