"""Trials from a sweep's storage or from a table in a file."""

from pathlib import Path

import pandas as pd

from analysis.errors import AnalysisError
from analysis.trials.primary import declared_primary
from analysis.trials.trials import Trials
from analysis.trials.validate import trials_from_table
from records import StorageError, SweepRecords, open_storage
from records.store import LoadedRecords, as_table


def load_sweep(storage: str | Path, sweep: str, *, loaded: LoadedRecords | None = None) -> Trials:
    """The trials of the sweep `sweep` in `storage`, a folder or s3://bucket/prefix.

    Records that are truncated or foreign are counted under `excluded`; the primary is the manifest's. Records that were
    `loaded` already are not read again.

    Raises:
        AnalysisError: the storage cannot be read, the sweep has no records, or none that can be analysed.
    """
    try:
        opened = open_storage(storage)
        records = SweepRecords(opened, sweep)
        loaded = records.load() if loaded is None else loaded
        manifest = records.manifest()
        if not loaded.records and not loaded.rejected:
            raise AnalysisError(_no_records(records, manifest is not None))
    except StorageError as error:
        raise AnalysisError(str(error)) from error
    except ValueError as error:  # a broken manifest
        raise AnalysisError(str(error)) from error
    source = f"sweep {sweep!r}"
    excluded = {"unreadable record": len(loaded.rejected)} if loaded.rejected else {}
    notes = [f"A record could not be read: {path}: {why}." for path, why in sorted(loaded.rejected.items())]
    if not loaded.records:
        raise AnalysisError(f"{source}: none of its {len(loaded.rejected)} records can be read; {notes[0]}")
    return trials_from_table(
        as_table(loaded.records),
        sweep=sweep,
        source=source,
        primary=declared_primary(manifest),
        free_primary=False,
        records=records,
        excluded=excluded,
        notes=notes,
    )


def load_file(path: str | Path) -> Trials:
    """The trials in a .csv or .parquet file with a record's columns, as far as they go.

    Raises:
        AnalysisError: there is no such file, its kind is unknown, it cannot be read, or it cannot be
        analysed.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".csv", ".parquet"):
        raise AnalysisError(f"cannot read {str(path)!r}: its name must end in .csv or .parquet")
    if not path.is_file():
        raise AnalysisError(f"cannot read {str(path)!r}: there is no such file")
    try:
        table = pd.read_csv(path, low_memory=False) if kind == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AnalysisError(f"cannot read {str(path)!r}: not a {kind} table ({reason}); write it anew") from error
    return trials_from_table(table, sweep=path.stem, source=path.name)


def _no_records(records: SweepRecords, has_manifest: bool) -> str:
    where = records.storage.location
    if has_manifest:
        return f"sweep {records.name!r} in {where} has no finished trial yet; wait or run it again"
    sweeps = sorted({n.split("/")[0] for n in records.storage.names("") if "/records/" in n})
    there = f"it holds {', '.join(sweeps)}" if sweeps else "it holds no sweep at all"
    return f"no sweep {records.name!r} in {where}: {there}; check --sweep and --storage"
