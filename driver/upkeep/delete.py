"""Deletes a sweep: its MLflow runs, artifacts and records. An interrupted deletion can be repeated."""

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
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
from records.mlflow_client import MirrorError, MlflowExperiment, delete_experiment, find_experiments
from records.secrets import scrub

LAST = ("trials.parquet", "records/")
"""Deleted after the other files, in this order, and before sweep.json and lease.json."""


@user_errors(StorageError)
def delete_sweep(storage: str, name: str, tracking_uri: str | None, yes: bool, console: Console) -> None:
    """Print the parts of a sweep, ask for confirmation unless `yes`, and delete it.

    sweep.json is marked first and deleted last, so that an interrupted deletion can only be finished. MLflow keeps
    deleted runs until `mlflow gc`.
    """
    tracking = check_tracking_uri(tracking_uri)
    opened = open_storage(storage)
    opened.check()
    records = SweepRecords(opened, name)
    if not opened.names(f"{name}/"):
        _remove_folder(records)
        raise no_sweep(records)
    with Lease(records, dict, lambda problem: None) as lease:
        records = lease.fence()
        records.storage.clear_partial(f"{name}/")
        with _explained():
            experiments = [] if tracking == NONE else find_experiments(tracking, records)
        for line in _parts(records, experiments, tracking):
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
            with _explained():
                for experiment in experiments:
                    if experiment.own:
                        delete_experiment(experiment, lease.check)
            marked = f"{name}/sweep.json"
            names = [file for file in opened.names(f"{name}/") if file not in (marked, f"{name}/lease.json")]
            names.sort(key=lambda n: [n.startswith(f"{name}/{last}") for last in LAST[::-1]])
            records.storage.delete_many(names)
            records.storage.delete_many([marked])
    _remove_folder(records)
    say(console, f"Deleted sweep {name}.")


def _remove_folder(records: SweepRecords) -> None:
    """Remove the folder of a sweep if it is empty."""
    records.storage.delete_many([f"{records.name}/none"])


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


def _parts(records: SweepRecords, experiments: Sequence[MlflowExperiment], tracking: str) -> Iterator[str]:
    files = records.storage.files(f"{records.name}/")
    folders = Counter(name.split("/")[1] for name in files)
    words = {"records": "record", "artifacts": "artifact", "report": "report file"}
    parts = ", ".join(count(folders[folder], word) for folder, word in words.items())
    yield f"Sweep {records.name} in {records.storage.location}"
    yield f"  {parts}; {decimal(sum(file.size for file in files.values()))} in all"
    if not any(experiment.own for experiment in experiments):
        yield f"  no runs in MLflow at {scrub(tracking)}" if tracking != NONE else "  MLflow is left alone"
    for experiment in experiments:
        if not experiment.own:
            other = experiment.location or "unknown, as no record of this sweep names one of its runs"
            yield f"  MLflow's experiment {experiment.name!r} is kept: it belongs to another storage ({other})"
            continue
        moved = f", last written from {experiment.location}" if experiment.location else ""
        yield f"  {count(experiment.runs, 'run')} in MLflow at {scrub(tracking)}{moved}"
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
