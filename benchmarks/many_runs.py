"""How fast the driver's mirror fills MLflow: trials a second on SQLite, and on a server with PostgreSQL and S3.

Run `python -m benchmarks.many_runs`. Records and artifacts are copies of one small trial's. The mirror gets 16 at a
time, as if 16 slots finished together, faster than it can write them. Server, database, S3 and mirror share the
machine.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import pandas as pd
import sqlalchemy as sa
import typer
from rich.console import Console

from benchmarks.copies import copies, real_trial
from benchmarks.timing import ROOT, in_turn
from driver.upkeep.mirror import Mirror
from driver.upkeep.tracking import open_tracking
from records import SweepRecords

SLOTS = 16
AT_ONCE = 10_000
"""Runs copied in one transaction."""


def copy_run(uri: str, run_id: str, copies: int) -> None:
    """`copies` more runs like the run `run_id`, each with a trial key of its own, in the database at `uri`."""
    engine = sa.create_engine(uri)
    for start in range(0, copies, AT_ONCE):
        new = pd.DataFrame({"run_uuid": [uuid4().hex for _ in range(min(AT_ONCE, copies - start))]})
        with engine.begin() as connection:
            for table in ("runs", "tags", "params", "metrics", "latest_metrics"):
                query = sa.text(f"SELECT * FROM {table} WHERE run_uuid = :run_id")  # noqa: S608 -- our own names
                rows = pd.read_sql(query, connection, params={"run_id": run_id})
                rows = rows.drop(columns="run_uuid").merge(new, how="cross")
                if table == "tags":
                    rows["value"] = rows["value"].mask(rows["key"] == "trial_key", rows["run_uuid"].str[:16])
                rows.to_sql(table, connection, if_exists="append", index=False)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # Databases count rows to choose how to look for them; a server does this by itself now and then.
        connection.execute(sa.text("ANALYZE"))
    engine.dispose()


@contextmanager
def postgres(mlflow: bool = False) -> Iterator[str]:
    """The URI of a new PostgreSQL database, or of an MLflow server on it and S3, with its login in the environment."""
    sys.path.append(str(ROOT / "tests"))
    from support import services

    with ExitStack() as stack:
        database = stack.enter_context(services.PostgresServer())
        if mlflow:
            s3 = stack.enter_context(services.S3Server())
            server = stack.enter_context(services.MlflowServer(s3, database))
            os.environ.update(server.variables())
        yield server.uri if mlflow else database.make_database("many")


def rate(records: SweepRecords, uri: str) -> tuple[float, float]:
    """Trials a second that the mirror brings to MLflow, and its processor seconds a trial."""
    loaded = records.load().records
    with Mirror(lambda console: open_tracking(uri, records.name, console), records, [], Console(quiet=True)) as mirror:
        # The first one loads MLflow.
        mirror.add(loaded[0]["trial_key"])
        while not mirror.changed:
            time.sleep(0.01)
        start, processor = time.perf_counter(), time.process_time()
        for number, record in enumerate(loaded[1:], 1):
            mirror.add(record["trial_key"])
            if number % SLOTS == 0:
                time.sleep(0.1)
        mirror.finish(loaded, patience=60.0)
        trials = len(loaded) - 1
        if not all(record["mlflow_run_id"] for record in loaded):
            raise SystemExit("some trials have no run")
        return trials / (time.perf_counter() - start), (time.process_time() - processor) / trials


def main(
    trials: Annotated[int, typer.Option(help="Trials to mirror.")] = 400,
    rounds: Annotated[int, typer.Option(help="Rounds; the two take turns.")] = 3,
) -> None:
    """Print trials a second for each round."""

    def measure(name: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            sqlite = nullcontext(f"sqlite:///{folder}/mlflow.db")
            records = real_trial(Path(folder))
            for copy in copies(records, trials - 1):
                records.write(copy)
            with sqlite if name == "SQLite" else postgres(mlflow=True) as uri:
                a_second, processor = rate(records, uri)
        print(f"{name:20} {a_second:6.1f} trials a second, {processor:.3f} s of processor a trial", flush=True)

    in_turn({name: partial(measure, name) for name in ("SQLite", "server, PostgreSQL")}, rounds)


if __name__ == "__main__":
    typer.run(main)
