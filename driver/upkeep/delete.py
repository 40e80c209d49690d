"""Deletes a sweep: MLflow runs, artifacts, records. Refused while a driver works on it; repeatable if interrupted."""

import difflib
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from rich.console import Console

from analysis.numbers import count
from driver import UserError, user_errors
from driver.terminal import say
from driver.upkeep.lease import Lease
from driver.upkeep.tracking import NONE, check_tracking_uri
from records import StorageError, SweepRecords, open_storage
from records.database import HalfMadeError, check_database, database_file
from records.secrets import scrub

DELETED = "deleted"
"""Entry of sweep.json: since when the sweep is being deleted."""
PAGE = 1000
"""Runs of a request."""
SUFFIX = " (deleted "
"""In the name of a deleted experiment, before the moment."""
LAST = ("trials.parquet", "records/", "sweep.json")
"""What is deleted last, in this order: until then the sweep is listed, and refused to all but a deletion."""


@dataclass(frozen=True)
class MlflowExperiment:
    """The experiment that mirrors a sweep."""

    tracking_uri: str
    experiment_id: str
    name: str
    runs: int
    folder: Path | None
    """With the runs' artifacts, where they are on this machine."""


@user_errors(StorageError)
def delete_sweep(storage: str, name: str, tracking_uri: str | None, yes: bool, console: Console) -> None:
    """Say what a sweep consists of, ask, and delete it.

    A note in sweep.json comes first, so that a deletion that is interrupted can only be finished, never continued as a
    sweep. MLflow keeps deleted runs until `mlflow gc`; artifacts on this machine are removed.

    Args:
        storage: a folder or s3://bucket/prefix.
        name: the sweep.
        tracking_uri: of its mirror; None for the default, none leaves MLflow alone.
        yes: do not ask.
        console: for what goes, and the question.

    Raises:
        UserError: there is no such sweep, a driver works on it, MLflow cannot be reached, or nobody answers.
    """
    tracking = check_tracking_uri(tracking_uri)
    opened = open_storage(storage)
    opened.check()
    records = SweepRecords(opened, name)
    _check_exists(records)
    with Lease(records, dict, lambda problem: None):
        opened.clear_partial(f"{name}/")
        experiment = find_experiment(tracking, name)
        for line in _what_goes(records, experiment, tracking):
            say(console, line)
        if not (yes or _confirmed(console)):
            console.print("Nothing was deleted.")
            return
        with console.status("Deleting"):
            _note(records)
            if experiment is not None:
                delete_experiment(experiment, name)
            opened.delete_many(_in_order(records))
    # The folder, which is empty once the lease is gone.
    opened.delete_many([f"{name}/sweep.json"])
    say(console, f"Deleted sweep {name}.")


def check_not_deleted(records: SweepRecords) -> None:
    """Raise UserError for a sweep whose deletion was interrupted."""
    with user_errors(ValueError):
        manifest = records.manifest() or {}
    if DELETED in manifest:
        raise UserError(
            f"the deletion of sweep {records.name!r} was interrupted; finish it with --delete {records.name}, or start "
            "another sweep with --name or --fresh"
        )


def find_experiment(tracking_uri: str, sweep: str) -> MlflowExperiment | None:
    """The experiment of a sweep in MLflow, if there is one.

    Raises:
        UserError: MLflow cannot be reached.
    """
    database = database_file(tracking_uri)
    if tracking_uri == NONE or (database is not None and not database.is_file()):
        return None
    with _explained(tracking_uri):
        try:
            check_database(tracking_uri)
        except HalfMadeError:
            return None
        client = _client(tracking_uri)
        # Renamed where an earlier deletion was interrupted.
        names = f"name = '{sweep}'", f"name LIKE '{sweep}{SUFFIX}%'"
        found = next((e for name in names for e in client.search_experiments(filter_string=name)), None)
        if found is None:
            return None
        if not client.search_runs([found.experiment_id], "tags.kind = 'sweep'", max_results=1):
            # Somebody else's, of the same name.
            return None
        runs = 0
        token: str | None = ""
        while token is not None:
            page = client.search_runs([found.experiment_id], max_results=PAGE, page_token=token or None)
            runs, token = runs + len(page), page.token or None
        place = urlsplit(found.artifact_location)
        folder = Path(unquote(place.path)) if database is not None and place.scheme == "file" else None
        return MlflowExperiment(tracking_uri, found.experiment_id, found.name, runs, folder)


def delete_experiment(experiment: MlflowExperiment, sweep: str) -> None:
    """Delete an experiment with its runs, and their artifacts where they are on this machine.

    Raises:
        UserError: MLflow cannot be reached.
    """
    with _explained(experiment.tracking_uri):
        client = _client(experiment.tracking_uri)
        # MLflow keeps the name taken, and restoring the experiment would restore its runs.
        if experiment.name == sweep:
            moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
            client.rename_experiment(experiment.experiment_id, f"{sweep}{SUFFIX}{moment})")
        client.delete_experiment(experiment.experiment_id)
    if experiment.folder is not None:
        shutil.rmtree(experiment.folder, ignore_errors=True)


def _check_exists(records: SweepRecords) -> None:
    storage = records.storage
    if storage.names(f"{records.name}/"):
        return
    sweeps = sorted({name.split("/")[0] for name in storage.names("") if "/" in name})
    close = difflib.get_close_matches(records.name, sweeps, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UserError(f"there is no sweep at {records.location}; {hint}--list-sweeps names all")


def _what_goes(records: SweepRecords, experiment: MlflowExperiment | None, tracking: str) -> list[str]:
    files = records.storage.files(f"{records.name}/")
    parts = [
        count(sum(name.startswith(f"{records.name}/{folder}/") for name in files), *words)
        for folder, *words in (
            ("records", "record"),
            ("artifacts", "artifact"),
            ("report", "file of the report", "files of the report"),
        )
    ]
    lines = [
        f"Sweep {records.name} in {records.storage.location}",
        f"  {', '.join(parts)}; {size(sum(file.size for file in files.values()))} in all",
    ]
    if experiment is None:
        lines.append(f"  no runs in MLflow at {scrub(tracking)}" if tracking != NONE else "  MLflow is left alone")
        return lines
    lines.append(f"  {count(experiment.runs, 'run')} in MLflow at {scrub(tracking)}")
    if experiment.folder is not None:
        lines.append(f"  their artifacts in {experiment.folder}")
    return lines


def _confirmed(console: Console) -> bool:
    try:
        return console.input("Delete all of it, for good? [y/N] ", markup=False).strip().lower() in ("y", "yes")
    except EOFError:
        raise UserError("nothing was deleted: nobody answers; give --yes to delete without a question") from None


def _note(records: SweepRecords) -> None:
    try:
        manifest = records.manifest() or {}
    except ValueError:
        # Broken, and about to go.
        manifest = {}
    records.write_manifest({**manifest, DELETED: datetime.now(UTC).isoformat(timespec="seconds")})


def _in_order(records: SweepRecords) -> list[str]:
    """All names of the sweep but its lease, in the order in which they may go."""

    def place(name: str) -> int:
        return next((i for i, last in enumerate(LAST, 1) if name.startswith(f"{records.name}/{last}")), 0)

    names = [name for name in records.storage.names(f"{records.name}/") if not name.endswith("/lease.json")]
    return sorted(names, key=place)


def size(n: int) -> str:
    """Bytes as "812 B", "4.1 kB", "36.0 MB"."""
    amount, units = float(n), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.0f} {units[0]}" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def _client(tracking_uri: str) -> Any:
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    for logger in ("mlflow", "alembic"):
        logging.getLogger(logger).setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri)


@contextmanager
def _explained(tracking_uri: str) -> Iterator[None]:
    """Turn any error of MLflow into a UserError: not all errors of its parts are its own."""
    try:
        yield
    except Exception as error:
        reason = scrub((str(error).strip().splitlines() or [type(error).__name__])[0])
        raise UserError(
            f"MLflow at {scrub(tracking_uri)}: {reason}; no record was deleted. Start it, or give --tracking-uri none "
            "to delete all but the runs"
        ) from error
