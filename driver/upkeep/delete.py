"""Deletes a sweep: its MLflow runs, artifacts and records. An interrupted deletion can be repeated."""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from rich.console import Console
from rich.filesize import decimal

from analysis.numbers import count
from driver import UserError, user_errors
from driver.terminal import say
from driver.upkeep.lease import Lease
from driver.upkeep.tracking import NONE, check_tracking_uri
from records import Manifest, StorageError, SweepRecords, open_storage
from records.mirror_deletion import MlflowExperiment, delete_experiment, find_experiment
from records.mlflow_client import MirrorError
from records.secrets import scrub

LAST = ("trials.parquet", "records/", "sweep.json")
"""What is deleted last, in this order: until then the sweep is listed, and refused to all but a deletion."""


@user_errors(StorageError)
def delete_sweep(storage: str, name: str, tracking_uri: str | None, yes: bool, console: Console) -> None:
    """Print what a sweep consists of, ask for confirmation unless `yes`, and delete the sweep.

    sweep.json is marked first, so that an interrupted deletion can only be finished. MLflow keeps deleted runs until
    `mlflow gc`; artifacts on this machine are removed.

    Raises:
        UserError: there is no such sweep, a driver works on it, MLflow cannot be reached, or there is no answer.
    """
    tracking = check_tracking_uri(tracking_uri)
    opened = open_storage(storage)
    opened.check()
    records = SweepRecords(opened, name)
    if not opened.names(f"{name}/"):
        raise no_sweep(records)
    with Lease(records, dict, lambda problem: None):
        opened.clear_partial(f"{name}/")
        with _explained():
            experiment = None if tracking == NONE else find_experiment(tracking, name)
        for line in _what_goes(records, experiment, tracking):
            say(console, line)
        if not (yes or _confirmed(console)):
            console.print("Nothing was deleted.")
            return
        with console.status("Deleting"):
            _note(records)
            if experiment is not None:
                with _explained():
                    delete_experiment(experiment, name)
            opened.delete_many(_in_order(records))
    # The folder, which is empty once the lease is gone.
    opened.delete_many([f"{name}/sweep.json"])
    say(console, f"Deleted sweep {name}.")


def check_not_deleted(records: SweepRecords) -> None:
    """Raise UserError for a sweep whose deletion was interrupted."""
    with user_errors(ValueError):
        manifest = records.manifest()
    if manifest is not None and manifest.deleted:
        raise UserError(
            f"the deletion of sweep {records.name!r} was interrupted; finish it with --delete {records.name}, or start "
            "another sweep with --name or --fresh"
        )


def no_sweep(records: SweepRecords) -> UserError:
    """The error for a missing sweep."""
    sweeps = sorted({name.split("/")[0] for name in records.storage.names("") if "/" in name})
    close = difflib.get_close_matches(records.name, sweeps, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return UserError(
        f"there is no sweep at {records.location}: no command has planned its trials yet; "
        f"{hint}--list-sweeps names all of this --storage"
    )


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
        f"  {', '.join(parts)}; {decimal(sum(file.size for file in files.values()))} in all",
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
        raise UserError("nothing was deleted: no answer on stdin; pass --yes") from None


def _note(records: SweepRecords) -> None:
    try:
        manifest = records.manifest() or Manifest()
    except ValueError:
        # Broken, and about to go.
        manifest = Manifest()
    records.write_manifest(replace(manifest, deleted=datetime.now(UTC).isoformat(timespec="seconds")))


def _in_order(records: SweepRecords) -> list[str]:
    """All names of the sweep but its lease, in the order in which they may go."""

    def place(name: str) -> int:
        return next((i for i, last in enumerate(LAST, 1) if name.startswith(f"{records.name}/{last}")), 0)

    names = [name for name in records.storage.names(f"{records.name}/") if not name.endswith("/lease.json")]
    return sorted(names, key=place)


@contextmanager
def _explained() -> Iterator[None]:
    """Add to an error of MLflow how to delete the rest."""
    try:
        yield
    except MirrorError as error:
        raise UserError(
            f"{error}; no record was deleted. Start it, or give --tracking-uri none to delete all but the runs"
        ) from error
