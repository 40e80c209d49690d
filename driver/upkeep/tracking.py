"""The MLflow that mirrors a sweep: checked, opened, and brought up to date with the records."""

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from driver import UserError
from records import SweepRecords
from records.mirror import (
    Experiment,
    MirrorError,
    mirror_trial,
    mirrored_runs,
    open_experiment,
    sweep_is_mirrored,
)
from records.secrets import scrub
from records.store import Record

DEFAULT = "sqlite:///mlflow.db"
NONE = "none"
"""Instead of a URI: no mirror for now. A later run or --sync with a URI mirrors the records of this one too."""
SCHEMES = ("sqlite:///", "postgresql", "mysql", "http://", "https://", "databricks")
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
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///")).absolute()
        if not path.parent.is_dir():
            raise UserError(f"--tracking-uri {uri!r}: there is no folder {str(path.parent)!r}; create it first")
        uri = f"sqlite:///{path}"
    return uri


def open_tracking(tracking_uri: str, sweep: str, console: Console) -> Experiment | None:
    """The sweep's experiment; None where the URI is none and, with a warning, where MLflow cannot be reached."""
    if tracking_uri == NONE:
        return None
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    artifacts = None
    if tracking_uri.startswith("sqlite:///"):
        database = Path(tracking_uri.removeprefix("sqlite:///"))
        artifacts = (database.parent / "mlartifacts" / sweep).as_uri()
    try:
        return open_experiment(tracking_uri, sweep, artifacts)
    except MirrorError as error:
        warn(console, f"{error}; trials continue, and the next run brings MLflow up to date")
        return None


def catch_up(records: SweepRecords, existing: Sequence[Record], experiment: Experiment, console: Console) -> bool:
    """Mirror every record without an MLflow run and note the run in it; whether MLflow was behind.

    Warns where MLflow cannot be reached.

    Args:
        records: the sweep's.
        existing: all of them; `mlflow_run_id` is filled in here too.
        experiment: the mirror.
        console: for progress.
    """
    missing = [record for record in existing if not record.get("mlflow_run_id")]
    try:
        if not missing:
            return not sweep_is_mirrored(experiment)
        runs = mirrored_runs(experiment) if len(missing) >= MANY else None
        for record in track(missing, "Bringing MLflow up to date", console=console, transient=True):
            record["mlflow_run_id"] = mirror_trial(experiment, records, record, runs)
    except MirrorError as error:
        warn(console, f"{error}; the next run or --sync brings MLflow up to date")
    return True


def ui_command(tracking_uri: str) -> str:
    """The command or address that shows the runs."""
    if tracking_uri.startswith(("http://", "https://")):
        return tracking_uri.rsplit("@", 1)[-1]
    if tracking_uri == NONE:
        return "not mirrored; --sync --tracking-uri sqlite:///mlflow.db mirrors the records"
    if tracking_uri.startswith("sqlite:"):
        return f"mlflow ui --backend-store-uri {tracking_uri}   (for the database here: make ui)"
    return "mlflow ui --backend-store-uri with the database of --tracking-uri"


def warn(console: Console, message: str) -> None:
    console.print(message, style="yellow", markup=False, soft_wrap=True)
