"""The durable record of a finished trial, and its artifacts."""

import io
import json
import math
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from records import SweepRecords, columns, open_storage
from records.secrets import scrub
from records.store import EPOCHS, MAPS, PICTURE, WEIGHTS, KeepWeights, Record
from trainables.core.config import TrialConfig
from trainables.core.errors import DivergedError
from trainables.core.picture import picture_of
from trainables.trial.explain import Localised

TRACEBACK_TAIL = 1500
"""Characters at the end of a failure's traceback that its record keeps."""


@dataclass(frozen=True)
class Recorder:
    """Writes the records of a sweep's trials. A plain value, so that it travels to any process."""

    storage: str
    sweep: str
    checkpoint_seconds: float = 60.0
    """Time between two checkpoints of a trial."""
    searcher: str | None = None
    """`hp.searcher` of the records: the algorithm that chose the trials by earlier results, if any."""
    keep_weights: KeepWeights = "none"
    """Whose weights are kept as an artifact; under `best` the driver deletes the others."""
    report_seconds: float = 0.0
    """Least time between two results of a trial that is not finished."""
    in_background: bool = False
    """Whether records are written while the next trial runs; a result says when."""

    @property
    def records(self) -> SweepRecords:
        return SweepRecords(open_storage(self.storage), self.sweep)

    def existing_record(self, config: TrialConfig) -> Record | None:
        """The record of a trial that did not fail; None if there is none or it is damaged."""
        try:
            record = self.records.read(config.trial_key)
        except ValueError:
            return None
        return None if record is None or record["status"] == "failed" else record

    def write(
        self,
        record: Mapping[str, Any],
        localised: Localised | None = None,
        epochs: Sequence[Mapping[str, float]] = (),
        weights: bytes | None = None,
    ) -> Record:
        """Write the artifacts, then the record; return the record with the columns that the sweep sets."""
        searcher = {} if self.searcher is None else {columns.SEARCHER: self.searcher}
        record = Record({**record, "sweep": self.sweep, **searcher})
        records, key = self.records, record["trial_key"]
        if epochs:
            finite = [{k: v if math.isfinite(v) else None for k, v in epoch.items()} for epoch in epochs]
            records.write_artifact(key, EPOCHS, json.dumps(finite, allow_nan=False).encode())
        if localised is not None:
            buffer = io.BytesIO()
            arrays: dict[str, Any] = dict(localised.arrays)
            np.savez_compressed(buffer, **arrays)
            records.write_artifact(key, MAPS, buffer.getvalue())
            try:
                picture = picture_of(record, localised.arrays)
            except Exception as error:
                # A failed drawing must not fail a trial that was scored.
                print(f"no picture of the maps of {key}: {type(error).__name__}: {error}")
            else:
                records.write_artifact(key, PICTURE, picture)
        if weights is not None:
            records.write_artifact(key, WEIGHTS, weights)
        records.add(record)
        return record


def failure(error: BaseException) -> dict[str, Any]:
    """Status and error columns of a trial that did not complete: the error and the end of its traceback, scrubbed."""
    status = "diverged" if isinstance(error, DivergedError) else "failed"
    # Scrubbed before it is cut, which could leave a part of a secret.
    text = scrub(f"{type(error).__name__}: {error}")
    if status == "failed":
        text = f"{text[:1000]}\n{scrub(''.join(traceback.format_exception(error)))[-TRACEBACK_TAIL:]}"
    return {"status": status, "error": text}
