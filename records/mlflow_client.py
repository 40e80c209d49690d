"""MLflow's client for the mirror: quick to give up, with errors of one line; and the deletion of an experiment."""

import gc
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from records.database import DatabaseError, HalfMadeError, check_database, database_file, prepare_database
from records.fence import Check, fenced
from records.secrets import scrub
from records.storage import StorageError

PAGE = 1000
"""Runs per request."""
SUFFIX = " (deleted "
"""Precedes the time in the name of a deleted experiment."""


class MirrorError(Exception):
    """MLflow could not be brought up to date. Nothing is lost: the records are the truth."""


class RefusedError(MirrorError):
    """MLflow refuses what it was sent; it may accept other trials."""


def configure() -> None:
    """Set what MLflow reads from the environment."""
    # In a process started inside an MLflow run, this variable would override every run id of the mirror.
    os.environ.pop("MLFLOW_RUN_ID", None)
    # An unreachable server gets one more try of ten seconds; MLflow would try for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    # Otherwise each closed run prints a line, and each transfer a bar, into the progress view.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # Otherwise creating and migrating a database is logged.
    for logger in ("mlflow", "alembic"):
        logging.getLogger(logger).setLevel(logging.WARNING)


@contextmanager
def connected(tracking_uri: str, say: Callable[[str], None] | None = None, check: Check | None = None) -> Iterator[Any]:
    """A client of the server or database at `tracking_uri`.

    A missing SQLite database is created if `say` is given, which takes the message that a half-made one was replaced.
    `check` is called before each request that may write.
    Any error but a storage's becomes a MirrorError of one line: not all errors of MLflow's parts are its own.
    """
    configure()
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        # MLflow would create a missing database in place and use a half-made one.
        if say is None:
            check_database(tracking_uri)
        else:
            prepare_database(tracking_uri, say)
        client = MlflowClient(tracking_uri)
        yield client if check is None else fenced(client, check)
    except StorageError:
        raise
    except Exception as error:
        refused = isinstance(error, MlflowException) and error.get_http_status_code() == HTTPStatus.BAD_REQUEST
        kind, (text, *_) = type(error).__name__, str(error).strip().splitlines() or [""]
        explains_itself = text and isinstance(error, MlflowException | DatabaseError | OSError)
        reason = scrub(text if explains_itself else f"{kind}: {text}")
        if "error code 401" in reason or "error code 403" in reason:
            reason = "it refuses the login; check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        raise (RefusedError if refused else MirrorError)(f"MLflow at {scrub(tracking_uri)}: {reason}") from error


def search_runs(client: Any, experiment_id: str, condition: str = "") -> Iterator[Any]:
    """All runs of an experiment that satisfy the condition, oldest first."""
    return chain.from_iterable(pages_of_runs(client, experiment_id, condition))


def pages_of_runs(client: Any, experiment_id: str, condition: str = "") -> Iterator[Sequence[Any]]:
    """The same, up to `PAGE` runs at a time."""
    # In a fixed order, paging neither repeats nor skips a run.
    order = ["start_time ASC", "run_id ASC"]
    token: str | None = None
    while token != "":
        with _without_garbage_collection():
            page = client.search_runs([experiment_id], condition, max_results=PAGE, order_by=order, page_token=token)
        yield page
        token = page.token or ""


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """With the collector scanning the 100,000 SQLAlchemy objects of a page, reading takes three times as long."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass(frozen=True)
class MlflowExperiment:
    """The experiment that mirrors a sweep."""

    tracking_uri: str
    experiment_id: str
    name: str
    runs: int
    folder: Path | None
    """Artifacts of the runs, if they are on this machine."""


def find_experiment(tracking_uri: str, sweep: str) -> MlflowExperiment | None:
    """The experiment of a sweep, if there is one. Raises MirrorError."""
    database = database_file(tracking_uri)
    if database is not None and not database.is_file():
        return None
    try:
        with connected(tracking_uri) as client:
            # An interrupted deletion has renamed it. LIKE takes an underscore for any character.
            similar = sorted(client.search_experiments(filter_string=f"name LIKE '{sweep}%'"), key=lambda e: e.name)
            experiment = next((e for e in similar if e.name == sweep or e.name.startswith(sweep + SUFFIX)), None)
            # An experiment without a sweep's run has the same name by accident.
            if experiment is None or not any(search_runs(client, experiment.experiment_id, "tags.kind = 'sweep'")):
                return None
            runs = sum(1 for _ in search_runs(client, experiment.experiment_id))
    except MirrorError as error:
        if isinstance(error.__cause__, HalfMadeError):
            return None
        raise
    artifacts = urlsplit(experiment.artifact_location)
    folder = Path(unquote(artifacts.path)) if database is not None and artifacts.scheme == "file" else None
    return MlflowExperiment(tracking_uri, experiment.experiment_id, experiment.name, runs, folder)


def delete_experiment(experiment: MlflowExperiment, sweep: str) -> None:
    """Delete an experiment with its runs and those of their artifacts that are on this machine. Raises MirrorError."""
    with connected(experiment.tracking_uri) as client:
        # MLflow keeps the name taken, and restoring the experiment would restore its runs.
        if experiment.name == sweep:
            moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
            client.rename_experiment(experiment.experiment_id, f"{sweep}{SUFFIX}{moment})")
        client.delete_experiment(experiment.experiment_id)
    if experiment.folder is not None:
        shutil.rmtree(experiment.folder, ignore_errors=True)
