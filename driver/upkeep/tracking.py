"""The MLflow that mirrors a sweep: its URI checked, and its experiment opened."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from rich.console import Console

from driver import UserError
from driver.terminal import say
from records.database import SQLITE, database_file
from records.fence import Check
from records.mirror import SCORES, Experiment, MirrorError, experiments, open_experiment
from records.mirror_names import KEY
from records.mlflow_client import check_owner, connected
from records.secrets import scrub
from records.storage import Storage

DEFAULT, NONE = "sqlite:///mlflow.db", "none"
"""Without a mirror (none), a later run or --sync with a URI also mirrors the records of this run."""
SCHEMES = ("sqlite:///", "postgresql", "mysql", "http://", "https://", "databricks")


def check_tracking_uri(tracking_uri: str | None) -> str:
    """The argument, MLFLOW_TRACKING_URI or sqlite:///mlflow.db with an absolute path; or none."""
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT
    if uri == NONE:
        return uri
    if not uri.startswith(SCHEMES):
        raise UserError(
            f"bad --tracking-uri {scrub(uri)!r}; give sqlite:///FILE.db, postgresql://…, a server's "
            "http(s)://HOST:PORT, or none"
        )
    if (database := database_file(uri)) is None:
        return uri
    path = database.absolute()
    if not path.parent.is_dir():
        raise UserError(f"--tracking-uri {uri!r}: there is no folder {str(path.parent)!r}; create it first")
    return f"{SQLITE}{path}"


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


def check_tracking(tracking_uri: str, sweep: str, storage: Storage) -> None:
    """Raise StorageError if the sweep's experiment belongs to another storage. An unreachable MLflow is tried later."""
    if tracking_uri != NONE and not missing_database(tracking_uri):
        with suppress(MirrorError), connected(tracking_uri) as client:
            if experiment := client.get_experiment_by_name(sweep):
                check_owner(experiment, storage)


def open_tracking(
    tracking_uri: str,
    sweep: str,
    console: Console,
    scores: Sequence[str] = SCORES,
    named_by: tuple[str, ...] = (KEY,),
    check: Check | None = None,
    storage: Storage | None = None,
) -> Experiment | None:
    """Open the sweep's experiment; print a warning and return None if MLflow cannot be reached or used.

    The view of the trials shows the columns `scores`; `named_by` are the columns in the names of their runs. `check` is
    called before each write. Raises StorageError if the experiment belongs to a storage other than `storage`.
    """
    database = database_file(tracking_uri)
    artifacts = (database.parent / "mlartifacts" / sweep).as_uri() if database else None
    warn = partial(say, console, style="yellow")
    try:
        experiment = open_experiment(tracking_uri, sweep, artifacts, scores, warn, check, storage)
    except MirrorError as error:
        warn(f"{error}; trials continue, and MLflow is brought up to date later")
        return None
    return replace(experiment, named_by=named_by)
