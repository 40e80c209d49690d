"""Trials from an MLflow tracking server, to which a sweep mirrors its records."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.trials.exclusions import trials_from_table
from analysis.trials.load import load_file
from analysis.trials.trials import Trials
from records import columns
from records.database import DatabaseError, check_database
from records.mirror_names import PLACES, UNPLOTTED, column_of_metric, unpack
from records.mlflow_client import configure, pages_of_runs
from records.secrets import scrub
from records.store import MANIFEST, TABLE

TAGS = ("trial_key", "sweep", "status", columns.COLLAPSED, *PLACES)
"""Tags that are columns of a record; they come before parameters of their name."""


def load_mlflow(tracking_uri: str, sweep: str, *, progress: Callable[[int], None] | None = None) -> Trials:
    """The trials of the experiment `sweep`, without maps.

    They come from the table and the sweep.json that the sweep's run holds once the sweep has ended. Without them, or
    while the sweep runs, they come from the runs with the tag kind = trial: parameters become columns of the
    configuration, metrics the scores, and `TAGS` the columns of the same name; the primary is then the default one.

    `progress` is called with the number of runs read so far.

    Raises:
        AnalysisError: the server or database cannot be read, has no such experiment, or the experiment has no trial.
    """
    shown = scrub(tracking_uri)
    try:
        check_database(tracking_uri)
    except DatabaseError as error:
        raise AnalysisError(f"cannot read {shown!r}: {error}; check --tracking-uri") from error
    configure()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    source = f"experiment {sweep!r} at {shown}"
    try:
        client = MlflowClient(tracking_uri=tracking_uri)
        experiment = client.get_experiment_by_name(sweep)
        if experiment is None:
            names = sorted(e.name for e in client.search_experiments())
            raise AnalysisError(
                f"no experiment {sweep!r} at {shown}: it has {', '.join(names) or 'none'}; check --sweep"
            )
        with tempfile.TemporaryDirectory() as folder:
            if _downloaded(client, experiment.experiment_id, folder):
                return replace(load_file(Path(folder, TABLE)), sweep=sweep, source=source)
        rows = _rows(client, experiment.experiment_id, progress)
    except MlflowException as error:
        reason = scrub(str(error).splitlines()[0])[:200]
        raise AnalysisError(f"cannot read {shown!r}: {reason}; check --tracking-uri") from error
    if not rows:
        raise AnalysisError(f"{source} has no run with the tag kind = trial; check --sweep")
    return trials_from_table(pd.DataFrame(rows), sweep=sweep, source=source, free_primary=False)


def _downloaded(client: Any, experiment_id: str, folder: str) -> bool:
    """Download the table of a sweep that has ended, and its sweep.json; return whether there is a table."""
    sweeps = client.search_runs([experiment_id], "tags.kind = 'sweep'", max_results=2)
    if len(sweeps) != 1 or sweeps[0].info.status == "RUNNING":
        return False
    run_id = sweeps[0].info.run_id
    files = {artifact.path for artifact in client.list_artifacts(run_id)} & {TABLE, MANIFEST}
    for file in files:
        client.download_artifacts(run_id, file, folder)
    return TABLE in files


def _rows(client: Any, experiment_id: str, progress: Callable[[int], None] | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for page in pages_of_runs(client, experiment_id, "tags.kind = 'trial'"):
        rows += map(_row, page)
        if progress is not None:
            progress(len(rows))
    return rows


def _row(run: Any) -> dict[str, Any]:
    # Metrics had their column's own name once; a run that was mirrored again has both, and the present one is right.
    metrics = sorted(run.data.metrics.items(), key=lambda item: "/" in item[0])
    try:
        unplotted = unpack(run.data.tags)
    except ValueError:
        raise AnalysisError(
            f"MLflow run {run.info.run_id} has a damaged tag {UNPLOTTED!r}; delete the run in MLflow, and "
            "sweep.py --sync makes it again from its record"
        ) from None
    numbers = {column_of_metric(name): value for name, value in metrics} | unplotted
    params = {name: _value(name, text) for name, text in run.data.params.items()}
    tags = {name: run.data.tags[name] for name in TAGS if name in run.data.tags}
    return {**numbers, **params, **tags, "mlflow_run_id": run.info.run_id}


def _value(name: str, text: str) -> float | str | None:
    """A parameter as a number or None if its text is one, except in columns of text."""
    if columns.column_of(name).kind == "text":
        return text
    if text in ("", "None", "null", "nan", "NaN"):
        return None
    try:
        return float(text)
    except ValueError:
        return text
