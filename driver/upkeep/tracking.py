"""The MLflow that mirrors a sweep: checked, opened, and brought up to date with the records."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track

from analysis.numbers import count
from driver import UserError
from driver.terminal import say
from records import SweepRecords, columns
from records.database import SQLITE, database_file
from records.mirror import (
    Experiment,
    MirrorError,
    RefusedError,
    experiments,
    has_run,
    mirror_trial,
    mirrored_runs,
    open_experiment,
    sweep_is_mirrored,
)
from records.mirror_names import telling_apart
from records.secrets import scrub
from records.store import Record

if TYPE_CHECKING:  # plans load torch, and the request is checked before that
    from driver.plan.plan import Plan

DEFAULT = "sqlite:///mlflow.db"
NONE = "none"
"""Instead of a URI: no mirror for now. A later run or --sync with a URI mirrors the records of this one too."""
SCHEMES = ("sqlite:///", "postgresql", "mysql", "http://", "https://", "databricks")
ID_AUC = columns.performance("test_id", "auc")
MANY = 1000
"""From this number of trials on, reading all runs once is faster than looking up each trial's run."""


def check_tracking_uri(tracking_uri: str | None) -> str:
    """The tracking URI to use: the argument, MLFLOW_TRACKING_URI or sqlite:///mlflow.db with an absolute path; or none.

    Raises:
        UserError: a URI of another kind, or a database in a missing folder.
    """
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT
    if uri == NONE:
        return uri
    if not uri.startswith(SCHEMES):
        raise UserError(
            f"bad --tracking-uri {scrub(uri)!r}; give sqlite:///FILE.db, postgresql://…, a server's "
            "http(s)://HOST:PORT, or none"
        )
    if (database := database_file(uri)) is not None:
        path = database.absolute()
        if not path.parent.is_dir():
            raise UserError(f"--tracking-uri {uri!r}: there is no folder {str(path.parent)!r}; create it first")
        uri = f"{SQLITE}{path}"
    return uri


def missing_database(tracking_uri: str) -> bool:
    """Whether the URI is of a SQLite database that does not exist."""
    database = database_file(tracking_uri)
    return database is not None and not database.exists()


def experiment_of(tracking_uri: str, sweep: str) -> str | None:
    """The id of the sweep's experiment; None if MLflow has none or cannot be reached."""
    if tracking_uri == NONE or missing_database(tracking_uri):
        return None
    try:
        return experiments(tracking_uri).get(sweep)
    except MirrorError:
        return None


def open_tracking(
    tracking_uri: str, sweep: str, console: Console, plan: "Plan | None" = None, existing: Sequence[Record] = ()
) -> Experiment | None:
    """The sweep's experiment; None where the URI is none and, with a warning, where MLflow cannot be reached or used.

    Args:
        tracking_uri: as `check_tracking_uri` returns it.
        sweep: its name.
        console: for warnings.
        plan: the plan of this run, which says what trials are called and which scores are shown.
        existing: the sweep's records so far.
    """
    if tracking_uri == NONE:
        return None
    database = database_file(tracking_uri)
    artifacts = (database.parent / "mlartifacts" / sweep).as_uri() if database else None

    warn = partial(say, console, style="yellow")
    try:
        if plan is None:
            return open_experiment(tracking_uri, sweep, artifacts, say=warn)
        primary = plan.space.primary
        score = columns.localisation(primary.split, primary.metric, primary.attribution)
        experiment = open_experiment(tracking_uri, sweep, artifacts, (primary.outcome, score, ID_AUC), warn)
    except MirrorError as error:
        warn(f"{error}; trials continue, and MLflow is brought up to date later")
        return None
    trials = chain((config.columns() for config in plan.trials.values()), existing)
    return replace(experiment, named_by=telling_apart(trials, map(columns.setting, plan.tuned())))


def catch_up(
    records: SweepRecords, existing: Sequence[Record], experiment: Experiment, console: Console, every: bool = False
) -> bool:
    """Mirror every record without a run in this MLflow and note the run in it; whether MLflow was behind.

    Records that name runs of another MLflow are known by the oldest. Warns where MLflow cannot be reached, or refuses a
    record.

    Args:
        records: the sweep's.
        existing: all of them; `mlflow_run_id` is filled in here too.
        experiment: the mirror.
        console: for progress.
        every: look for the run of every record, not of the oldest alone.
    """
    refused: list[RefusedError] = []
    try:
        runs = mirrored_runs(experiment) if every or of_another(experiment, existing) else None
        if runs is not None:
            for record in existing:
                if runs.get(record["trial_key"]) != record.get("mlflow_run_id"):
                    record["mlflow_run_id"] = None
        # The oldest last: until all others have their run, it names that of the other MLflow.
        missing = sorted((r for r in existing if not r.get("mlflow_run_id")), key=_started, reverse=True)
        if not missing:
            return not sweep_is_mirrored(experiment)
        if runs is None and len(missing) >= MANY:
            runs = mirrored_runs(experiment)
        for record in track(missing, "Bringing MLflow up to date", console=console, transient=True):
            try:
                record["mlflow_run_id"] = mirror_trial(experiment, records, record, runs)
            except RefusedError as error:
                refused.append(error)
    except MirrorError as error:
        say(console, f"{error}; the next run or --sync brings MLflow up to date", "yellow")
    if refused:
        say(console, f"{count(len(refused), 'trial')} not mirrored: {refused[0]}", "yellow")
    return True


def of_another(experiment: Experiment, existing: Sequence[Record]) -> bool:
    """Whether the oldest record that names a run names one of another MLflow.

    Raises:
        MirrorError: MLflow cannot be reached or refuses.
    """
    named = [record for record in existing if record.get("mlflow_run_id")]
    return bool(named) and not has_run(experiment, min(named, key=_started))


def _started(record: Record) -> str:
    return record.get("started_at") or ""
