"""Deletes a sweep: its MLflow runs, artifacts and records. An interrupted deletion can be repeated."""

import difflib
from collections import Counter
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
from records.mlflow_client import MirrorError, MlflowExperiment, delete_experiment, find_experiment
from records.secrets import scrub

LAST = ("trials.parquet", "records/", "sweep.json")
"""Deleted last, in this order: until then the sweep is listed, and every command but a deletion refuses it."""


@user_errors(StorageError)
def delete_sweep(storage: str, name: str, tracking_uri: str | None, yes: bool, console: Console) -> None:
    """Print the parts of a sweep, ask for confirmation unless `yes`, and delete it.

    sweep.json is marked first, so that an interrupted deletion can only be finished. MLflow keeps deleted runs until
    `mlflow gc`.
    """
    tracking = check_tracking_uri(tracking_uri)
    opened = open_storage(storage)
    opened.check()
    records = SweepRecords(opened, name)
    if not opened.names(f"{name}/"):
        raise no_sweep(records)
    with Lease(records, dict, lambda problem: None) as lease:
        records = lease.fence()
        records.storage.clear_partial(f"{name}/")
        with _explained():
            experiment = None if tracking == NONE else find_experiment(tracking, name)
        for line in _parts(records, experiment, tracking):
            say(console, line)
        try:
            question = "Delete all of it, for good? [y/N] "
            if not yes and console.input(question, markup=False).strip().lower() not in ("y", "yes"):
                console.print("Nothing was deleted.")
                return
        except EOFError:
            raise UserError("nothing was deleted: no answer on stdin; pass --yes") from None
        with console.status("Deleting"):
            try:
                manifest = records.manifest() or Manifest()
            except ValueError:
                # Broken, and about to be deleted.
                manifest = Manifest()
            records.write_manifest(replace(manifest, deleted=datetime.now(UTC).isoformat(timespec="seconds")))
            if experiment is not None:
                lease.check()
                with _explained():
                    delete_experiment(experiment, name)
            names = [file for file in opened.names(f"{name}/") if not file.endswith("/lease.json")]
            names.sort(key=lambda n: [n.startswith(f"{name}/{last}") for last in LAST[::-1]])
            records.storage.delete_many(names)
    # This removes the empty folder.
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


def _parts(records: SweepRecords, experiment: MlflowExperiment | None, tracking: str) -> Iterator[str]:
    files = records.storage.files(f"{records.name}/")
    folders = Counter(name.split("/")[1] for name in files)
    words = {"records": "record", "artifacts": "artifact", "report": "report file"}
    parts = ", ".join(count(folders[folder], word) for folder, word in words.items())
    yield f"Sweep {records.name} in {records.storage.location}"
    yield f"  {parts}; {decimal(sum(file.size for file in files.values()))} in all"
    if experiment is None:
        yield f"  no runs in MLflow at {scrub(tracking)}" if tracking != NONE else "  MLflow is left alone"
        return
    yield f"  {count(experiment.runs, 'run')} in MLflow at {scrub(tracking)}"
    if experiment.folder is not None:
        yield f"  their artifacts in {experiment.folder}"


@contextmanager
def _explained() -> Iterator[None]:
    """Add to an error of MLflow how to delete the rest."""
    try:
        yield
    except MirrorError as error:
        raise UserError(
            f"{error}; no record was deleted. Start it, or give --tracking-uri none to delete all but the runs"
        ) from error
