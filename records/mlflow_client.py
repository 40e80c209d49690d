"""MLflow's client for the mirror: quick to give up, with errors of one line; and the deletion of an experiment."""

import gc
import logging
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from records.database import DatabaseError, HalfMadeError, check_database, database_file, prepare_database
from records.fence import Check, fenced
from records.folder_storage import sync
from records.secrets import printable, scrub
from records.storage import Storage, StorageError
from records.storage_interface import IDENTITY
from records.store import SweepRecords

PAGE = 1000
"""Runs per request."""
SUFFIX = " (deleted "
"""Precedes the time in the name of a deleted experiment."""
STORAGE, LOCATION = "storage", "storage.location"
"""Tags of an experiment: the identity of the storage whose sweep it mirrors, and where that was last, for people."""


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
    # Otherwise creating and migrating a database is logged, and its errors, which are raised too, with a traceback.
    for logger, level in (("mlflow", "WARNING"), ("mlflow.store.db.utils", "CRITICAL"), ("alembic", "WARNING")):
        logging.getLogger(logger).setLevel(level)


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


def search_runs(client: Any, experiment_id: str, condition: str = "", **options: Any) -> Iterator[Any]:
    """All runs of an experiment that satisfy the condition, oldest first; `options` are those of MLflow's client."""
    return chain.from_iterable(pages_of_runs(client, experiment_id, condition, **options))


def pages_of_runs(client: Any, experiment_id: str, condition: str = "", **options: Any) -> Iterator[Sequence[Any]]:
    """The same, up to `PAGE` runs at a time."""
    # In a fixed order, paging neither repeats nor skips a run.
    order = ["start_time ASC", "run_id ASC"]
    token: str | None = None
    while token != "":
        with _without_garbage_collection():
            page = client.search_runs(
                [experiment_id], condition, max_results=PAGE, order_by=order, page_token=token, **options
            )
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


def owner_tags(storage: Storage) -> dict[str, str]:
    """The tags of an experiment that mirrors a sweep of `storage`, which gets an identity if it has none."""
    return {LOCATION: _described(storage), STORAGE: storage.identity()}


def check_owner(experiment: Any, storage: Storage) -> None:
    """Raise StorageError if the experiment mirrors another storage's sweep.

    Experiments of earlier versions have no tag, and one that was deleted in MLflow is free for any storage.
    """
    owner = experiment.tags.get(STORAGE)
    if owner not in (None, storage.identity(make=False)) and experiment.lifecycle_stage == "active":
        raise StorageError(
            f"MLflow's experiment {experiment.name!r} belongs to the storage {experiment.tags.get(LOCATION)}, and this "
            f"one is {_described(storage)}: give another --name or --tracking-uri. If that storage was moved here, "
            f"move its file {IDENTITY} too; if it is gone, rename or delete the experiment in MLflow"
        )


def _described(storage: Storage) -> str:
    """The location of a storage without credentials; of a folder also the machine."""
    location = printable(scrub(storage.location))
    return location if "://" in location else f"{location} on {platform.node()}"


@dataclass(frozen=True)
class MlflowExperiment:
    """An experiment that mirrors a sweep of this name."""

    tracking_uri: str
    experiment_id: str
    name: str
    runs: int
    folder: Path | None
    """Artifacts of the runs, if they are on this machine."""
    own: bool
    """Whether it mirrors the sweep of this storage."""
    location: str | None
    """The storage that wrote to it last, if it is another or has another place now."""


def find_experiments(tracking_uri: str, records: SweepRecords) -> list[MlflowExperiment]:
    """The experiments that have a sweep's name, or had it until their deletion was interrupted. Raises MirrorError."""
    database = database_file(tracking_uri)
    if database is not None and not database.is_file():
        return []
    found = []
    try:
        with connected(tracking_uri) as client:
            # LIKE takes an underscore for any character.
            for experiment in client.search_experiments(filter_string=f"name LIKE '{records.name}%'"):
                named = experiment.name == records.name or experiment.name.startswith(records.name + SUFFIX)
                # An experiment without a sweep's run has the same name by accident.
                if named and any(search_runs(client, experiment.experiment_id, "tags.kind = 'sweep'")):
                    found.append(_found(client, tracking_uri, experiment, records))
    except MirrorError as error:
        if isinstance(error.__cause__, HalfMadeError):
            return []
        raise
    return found


def _found(client: Any, tracking_uri: str, experiment: Any, records: SweepRecords) -> MlflowExperiment:
    runs = {run.info.run_id for run in search_runs(client, experiment.experiment_id)}
    owner, location = experiment.tags.get(STORAGE), experiment.tags.get(LOCATION)
    if owner is None:
        own = any(record.get("mlflow_run_id") in runs for record in records.each({}))
    else:
        own = owner == records.storage.identity(make=False)
    artifacts = urlsplit(experiment.artifact_location)
    is_here = database_file(tracking_uri) is not None and artifacts.scheme == "file"
    folder = Path(unquote(artifacts.path)) if is_here else None
    other = None if location == _described(records.storage) else location
    return MlflowExperiment(tracking_uri, experiment.experiment_id, experiment.name, len(runs), folder, own, other)


def delete_experiment(experiment: MlflowExperiment, check: Check) -> None:
    """Delete an experiment with its runs and those of their artifacts that are on this machine. Raises MirrorError.

    An interrupted deletion can be repeated: the artifacts go first, while the experiment is still found.
    """
    with connected(experiment.tracking_uri, check=check) as client:
        from mlflow.entities import ViewType

        if (folder := experiment.folder) is not None and folder.is_dir():
            # Each run's alone: a renamed experiment may share the folder with a new one.
            for run in search_runs(client, experiment.experiment_id, run_view_type=ViewType.ALL):
                check()
                with suppress(FileNotFoundError):
                    shutil.rmtree(folder / run.info.run_id)
            sync(folder)
            # It is not empty if it is shared.
            with suppress(OSError):
                folder.rmdir()
                sync(folder.parent)
        # MLflow keeps the name taken, and restoring the experiment would restore its runs.
        if SUFFIX not in experiment.name:
            moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
            client.rename_experiment(experiment.experiment_id, f"{experiment.name}{SUFFIX}{moment})")
        client.delete_experiment(experiment.experiment_id)
