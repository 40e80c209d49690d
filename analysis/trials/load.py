"""Trials from a sweep's storage or from a table in a file."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from analysis.errors import AnalysisError
from analysis.numbers import count
from analysis.trials.exclusions import trials_from_table
from analysis.trials.table_file import read_table
from analysis.trials.trials import Trials
from records import StorageError, SweepRecords, open_storage
from records.manifest import parse_manifest
from records.store import as_table


def load_sweep(storage: str | Path, sweep: str) -> Trials:
    """The trials of the sweep `sweep` in `storage`, a folder or s3://bucket/prefix.

    Raises:
        AnalysisError: the storage cannot be read, the sweep has no records, or none that can be analysed.
    """
    try:
        records = SweepRecords(open_storage(storage), sweep)
        loaded = records.load()
        return trials_of_sweep(records, as_table(loaded.records), loaded.rejected)
    except StorageError as error:
        raise AnalysisError(str(error)) from error


def trials_of_sweep(records: SweepRecords, table: pd.DataFrame, rejected: Mapping[str, str] | None = None) -> Trials:
    """The trials of a sweep from its records as a table; `rejected` are the unreadable files with the reasons.

    Raises:
        AnalysisError: there are no records, none that can be analysed, or the manifest is invalid.
    """
    rejected = rejected or {}
    try:
        manifest = records.manifest()
    except ValueError as error:
        raise AnalysisError(str(error)) from error
    if table.empty and not rejected:
        raise AnalysisError(_no_records(records, manifest is not None))
    source = f"sweep {records.name!r}"
    notes = [f"A record could not be read: {path}: {why}." for path, why in sorted(rejected.items())]
    if table.empty:
        raise AnalysisError(f"{source}: of its {count(len(rejected), 'record')} none can be read; {notes[0]}")
    return trials_from_table(
        table,
        sweep=records.name,
        source=source,
        declared=manifest,
        free_primary=False,
        records=records,
        n_unreadable=len(rejected),
        notes=notes,
    )


def load_file(path: str | Path) -> Trials:
    """The trials in a .csv or .parquet file with a record's columns, as far as they go.

    A sweep.json in the same folder declares the primary, the comparisons and the fixed settings.

    Raises:
        AnalysisError: the file or the sweep.json cannot be read or analysed.
    """
    path = Path(path)
    table = read_table(path)
    beside = path.with_name("sweep.json")
    try:
        manifest = parse_manifest(beside.read_bytes(), str(beside)) if beside.is_file() else None
    except (OSError, ValueError) as error:
        raise AnalysisError(str(error)) from error
    return trials_from_table(
        table,
        sweep=path.stem if manifest is None else path.resolve().parent.name,
        source=path.name,
        declared=manifest,
        free_primary=manifest is None or manifest.primary is None,
    )


def _no_records(records: SweepRecords, has_manifest: bool) -> str:
    where = records.storage.location
    if has_manifest:
        return f"sweep {records.name!r} in {where} has no finished trial yet; wait or run it again"
    sweeps = sorted({n.split("/")[0] for n in records.storage.names("") if "/records/" in n})
    content = f"it holds {', '.join(sweeps)}" if sweeps else "it holds no sweep at all"
    return f"no sweep {records.name!r} in {where}: {content}; check --sweep and --storage"
