"""The records of one sweep: a JSON file per finished trial, their table, and each trial's artifacts."""

import io
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

import pandas as pd

from records import columns
from records.manifest import Manifest, parse_manifest
from records.parsing import check_record, parse_record
from records.storage import Storage, StorageError
from records.storage_interface import LARGEST

SWEEP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
SLICE = 1000
"""Records read at a time, which bounds the memory for their bytes."""
KeepWeights = Literal["none", "best", "all"]
"""Of which trials the selected weights are kept; `best`: of each configuration, the lowest `valid_id.loss`."""
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From the columns of each earlier schema version to those of the next. Applied on reading; the trial key stays."""
EPOCHS, MAPS, PICTURE, WEIGHTS = "epochs.json", "maps.npz", "saliency.png", "weights.pt"
"""Artifacts of a trial."""
TABLE, MANIFEST = "trials.parquet", "sweep.json"


class Record(dict[str, Any]):
    """The columns of one finished trial, by name."""

    __slots__ = ()

    def __repr__(self) -> str:
        names = ("dataset", "severity", "method", "strength", "seed")
        settings = ", ".join(f"{name}={self[name]!r}" for name in names if name in self)
        outcome = self.get("status")
        if (auc := self.get(columns.performance("test_ood", "auc"))) is not None:
            outcome = f"{outcome}, OOD AUC {auc:.3f}"
        return f"<Record {self.get('trial_key')}: {settings}; {outcome}; {len(self)} columns>"


@dataclass(frozen=True)
class LoadedRecords:
    """All readable records, and the unreadable files with the reasons."""

    records: list[Record]
    rejected: dict[str, str] = field(default_factory=dict)


class SweepRecords:
    """Records and artifacts of the sweep `name` in `storage`. Reading raises StorageError for a newer schema version.

        <storage>/<name>/sweep.json                        the manifest
        <storage>/<name>/records/<trial_key>.json          one per finished trial
        <storage>/<name>/artifacts/<trial_key>/<file>      epochs.json, maps.npz, saliency.png, and weights.pt if kept
        <storage>/<name>/checkpoints/<trial_key>.pt        of a long unfinished trial
        <storage>/<name>/lease.json, logs/                 the driver at work, and its log
        <storage>/<name>/trials.parquet                    the records as one table
        <storage>/<name>/set_aside/                        unreadable files from records/

    A trial's artifacts are written before its record, so where a record exists the trial is complete.
    """

    def __init__(self, storage: Storage, name: str):
        if not SWEEP_NAME.fullmatch(name):
            raise StorageError(
                f"bad sweep name {name!r}: use 1 to 100 letters, digits, dots, dashes and underscores, "
                "starting with a letter or digit"
            )
        self.storage = storage
        self.name = name

    @property
    def location(self) -> str:
        return f"{self.storage.location}/{self.name}"

    def done(self) -> set[str]:
        """The trial keys of all records."""
        paths = map(PurePosixPath, self.storage.names(f"{self.name}/records/"))
        return {path.stem for path in paths if path.suffix == ".json"}

    def write(self, record: Mapping[str, Any]) -> None:
        """Write one record atomically, replacing an older one with the same trial key."""
        self.storage.write(self._record_name(record["trial_key"]), _as_json(record))

    def add(self, record: Mapping[str, Any]) -> None:
        """Write the record of a trial that has none yet, or a failed or damaged one; any other record stays.

        Two drivers may train one trial after the first was suspended; their records differ only in times, and the one
        that is there may name its run in MLflow.
        """
        name, data = self._record_name(record["trial_key"]), _as_json(record)
        while not self.storage.create(name, data) and (existing := self.storage.read(name)) is not None:
            try:
                parsed = self._parse(existing, name)
                replaceable = parsed is not None and parsed["status"] == "failed"
            except ValueError:
                replaceable = True
            if not replaceable or self.storage.replace(name, existing, data):
                return

    def write_run_id(self, trial_key: str, run_id: str) -> None:
        """Write a trial's run in MLflow into its record; a change made to the record meanwhile stays."""
        name = self._record_name(trial_key)
        while (data := self.storage.read(name)) is not None and (record := self._parse(data, name)) is not None:
            changed = _as_json({**record, "mlflow_run_id": run_id})
            if record.get("mlflow_run_id") == run_id or self.storage.replace(name, data, changed):
                return

    def read(self, trial_key: str) -> Record | None:
        """The record of one trial, or None. Raises ValueError for a damaged or foreign file."""
        data = self.storage.read(path := self._record_name(trial_key))
        return None if data is None else self._parse(data, path)

    def load(self) -> LoadedRecords:
        """All records, ordered by trial key; damaged and foreign files are listed, not fatal."""
        rejected: dict[str, str] = {}
        return LoadedRecords(list(self.each(rejected)), rejected)

    def each(self, rejected: dict[str, str]) -> Iterator[Record]:
        """The records that `load` gives, one by one, without keeping them; adds the others' reasons to `rejected`."""
        paths = self.storage.names(f"{self.name}/records/")
        for start in range(0, len(paths), SLICE):
            for path, data in self.storage.read_many(paths[start : start + SLICE]).items():
                try:
                    record = self._parse(data, path)
                except ValueError as error:
                    rejected[path] = str(error)
                else:
                    if record is not None:
                        yield record

    def set_aside(self, rejected: Mapping[str, str]) -> dict[str, str]:
        """Move the files that `load` rejected from records/ to set_aside/; return their new names with the reasons.

        Only safe while no other process writes to the sweep.
        """
        moved = {}
        for path, reason in rejected.items():
            to = f"{self.name}/set_aside/{path.removeprefix(f'{self.name}/records/')}"
            self.storage.write(to, self.storage.read(path) or b"")
            self.storage.delete(path)
            moved[to] = reason
        return moved

    def write_table(self, records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
        """Write trials.parquet from `records` and return it as a data frame."""
        table = as_table(records)
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        self.storage.write(f"{self.name}/{TABLE}", buffer.getvalue())
        return table

    def write_artifact(self, trial_key: str, file: str, data: bytes) -> None:
        self.storage.write(f"{self.name}/artifacts/{trial_key}/{file}", data)

    def read_artifact(self, trial_key: str, file: str, largest: int = LARGEST) -> bytes | None:
        return self.storage.read(f"{self.name}/artifacts/{trial_key}/{file}", largest)

    def artifacts(self, trial_key: str) -> list[str]:
        """The file names of a trial's artifacts."""
        return [PurePosixPath(path).name for path in self.storage.names(f"{self.name}/artifacts/{trial_key}/")]

    def with_weights(self) -> set[str]:
        """The keys of the trials whose weights are kept."""
        paths = map(PurePosixPath, self.storage.names(f"{self.name}/artifacts/"))
        return {path.parent.name for path in paths if path.name == WEIGHTS}

    def delete_weights(self, trial_key: str) -> None:
        self.storage.delete(f"{self.name}/artifacts/{trial_key}/{WEIGHTS}")

    def checkpoint(self, trial_key: str) -> str:
        """Where the storage keeps the state of a long unfinished trial."""
        return f"{self.name}/checkpoints/{trial_key}.pt"

    def write_manifest(self, manifest: Manifest) -> None:
        self.storage.write(f"{self.name}/{MANIFEST}", manifest.to_json().encode())

    def manifest(self) -> Manifest | None:
        """The content of sweep.json, or None if there is none. Raises ValueError for a broken one."""
        data = self.storage.read(f"{self.name}/{MANIFEST}")
        return None if data is None else parse_manifest(data, f"{self.location}/sweep.json")

    def _parse(self, data: bytes, path: str) -> Record | None:
        """The record in `data`, read from the file `path`; a damaged file is read once more before it is refused."""
        try:
            return self._parse_once(data, path)
        except ValueError:
            # A server or a proxy may have sent part of the file.
            again = self.storage.read(path)
            return None if again is None else self._parse_once(again, path)

    def _parse_once(self, data: bytes, path: str) -> Record:
        record, trial_key = parse_record(data), PurePosixPath(path).stem
        if record.get("trial_key") != trial_key or path != self._record_name(trial_key):
            raise ValueError(f"the record inside does not have the trial key {trial_key!r}")
        version = record.get("schema_version")
        if not isinstance(version, int) or version < 1:
            raise ValueError(f"schema version {version!r:.60} is not a whole number of at least 1")
        if version > columns.SCHEMA_VERSION:
            raise StorageError(
                f"{self.storage.location}/{path} was written by a newer version of this program: its schema version is "
                f"{version!r:.9}, and this checkout reads versions up to {columns.SCHEMA_VERSION}. Update the checkout "
                "(git pull). No record was changed"
            )
        for earlier in range(version, columns.SCHEMA_VERSION):
            record = {**MIGRATIONS[earlier](record), "schema_version": earlier + 1}
        check_record(record)
        # Column names take more memory than the values, so all records share them.
        return Record(zip(map(sys.intern, record), record.values(), strict=True))

    def _record_name(self, trial_key: str) -> str:
        return f"{self.name}/records/{trial_key}.json"


def as_written(record: Mapping[str, Any]) -> Record:
    """The record as JSON holds it: columns in their order, undefined numbers as None."""
    return Record((name, _plain(record[name])) for name in columns.ordered(record))


def as_table(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Records as a data frame: one row per trial, columns in their fixed order, null as missing."""
    rows = list(records)
    names = columns.ordered({name for row in rows for name in row})
    table = pd.DataFrame({name: [row.get(name) for row in rows] for name in names}, columns=names)
    for name in names:
        # A column of a table has one type, but records may differ, and whole numbers may be too large for it.
        if table[name].dtype == object and pd.api.types.infer_dtype(table[name]) not in ("boolean", "empty"):
            table[name] = table[name].map(str, na_action="ignore")
    order = ("dataset", "severity", "method", "strength", "data_seed", "seed", "trial_key")
    by = [name for name in order if name in names]
    return table.sort_values(by, ignore_index=True) if by else table


def _as_json(record: Mapping[str, Any]) -> bytes:
    return json.dumps(as_written(record), indent=1, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    """A value for JSON: numpy scalars unwrapped, NaN and infinities as null."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
