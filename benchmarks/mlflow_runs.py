"""Time of reading a sweep of 10,000 runs back from MLflow, on SQLite and on PostgreSQL.

Run `python -m benchmarks.mlflow_runs` (writing the runs takes half an hour, reading them is what is timed). Each run
has the parameters, metrics and tags of a real trial with 5 attributions x 5 metrics on two splits.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import typer
from rich.progress import track

import analysis
from benchmarks.analysis import ATTRIBUTIONS, METRICS
from records import columns
from records.mirror_names import metric

SETTINGS = {f"hp.setting_{i}": str(i) for i in range(20)}


def scores(value: float) -> dict[str, float]:
    """A trial's metrics: performance on five splits, localisation on two, and the last of six that have epochs."""
    names = [columns.performance(s, m) for s in columns.SPLITS for m in columns.PERFORMANCE]
    names += [columns.localisation(s, m, a) for s in columns.SCORED_SPLITS for m in METRICS for a in ATTRIBUTIONS]
    names += [f"epoch.metric_{i}" for i in range(6)]
    return dict.fromkeys(names, value)


def fill(uri: str, runs: int, artifacts: Path) -> None:
    """An experiment "many" with this many runs."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("many", artifact_location=str(artifacts))
    for number in track(range(runs), description=uri.split(":")[0]):
        seed, cell = divmod(number, 35)
        tags = {"kind": "trial", "trial_key": f"{number:016x}", "sweep": "many", "status": "completed"}
        run = client.create_run(experiment, start_time=number, tags=tags).info.run_id
        settings = {"dataset": "crosses", "severity": cell // 7 / 4, "method": f"method {cell % 7}", "strength": 1.0}
        settings |= {"model": "small_cnn", "seed": seed, "data_seed": seed, **SETTINGS}
        client.log_batch(
            run,
            [Metric(metric(name), value, number, 0) for name, value in scores(number / runs).items()],
            [Param(name, str(value)) for name, value in settings.items()],
        )
        client.set_terminated(run, "FINISHED", number + 1)


@contextmanager
def postgres() -> Iterator[str]:
    """The URI of a new PostgreSQL database."""
    import sys

    sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
    from support.services import PostgresServer

    with PostgresServer() as server:
        yield server.make_database("many")


def main(runs: int = 10_000, folder: Path | None = None) -> None:
    """Fill and read both databases.

    Args:
        runs: in each.
        folder: keeps the SQLite database for the next time.
    """
    with tempfile.TemporaryDirectory() as temporary:
        here = folder or Path(temporary)
        here.mkdir(parents=True, exist_ok=True)
        database = here / f"many_{runs}.db"
        for source in (nullcontext(f"sqlite:///{database}"), postgres()):
            with source as uri:
                if not (uri.startswith("sqlite") and database.exists()):
                    fill(uri, runs, here / "artifacts")
                for turn in ("first", "again"):
                    start = time.perf_counter()
                    trials = analysis.load_mlflow(uri, "many")
                    seconds = time.perf_counter() - start
                    print(f"{uri.split(':')[0]:10} {turn}: {len(trials.table):,} runs in {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    typer.run(main)
