"""The durable record of a finished trial, its artifacts and its MLflow run."""

import io
import json
import math
import platform
import subprocess
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from records import SweepRecords, columns, open_storage
from records.mirror import Experiment, MirrorError, mirror_trial
from records.secrets import scrub
from records.store import Record
from trainables.core.config import TrialConfig
from trainables.core.errors import DivergedError
from trainables.core.picture import labelled_grid, tile
from trainables.trial.explain import Localised

TRACEBACK_TAIL = 1500
"""Characters at the end of a failure's traceback that its record keeps."""
PANEL_IMAGES = 2
"""Images of each test split in the picture of the maps."""


@dataclass(frozen=True)
class Recorder:
    """Writes the records of a sweep's trials. A plain value, so that it travels to any process.

    Without an `experiment` nothing goes to MLflow.
    """

    storage: str
    sweep: str
    experiment: Experiment | None = None
    checkpoint_seconds: float = 60.0
    """Time between two checkpoints of a long trial."""
    searcher: str | None = None
    """What chose the trials if earlier results did: `hp.searcher` of their records."""

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
        self, record: Record, localised: Localised | None = None, epochs: Sequence[Mapping[str, float]] = ()
    ) -> Record:
        """Write the artifacts, then the record; return the record as written, with the columns that the sweep sets."""
        searcher = {} if self.searcher is None else {columns.SEARCHER: self.searcher}
        record = {**record, "sweep": self.sweep, **searcher}
        records, key = self.records, record["trial_key"]
        if epochs:
            finite = [{k: v if math.isfinite(v) else None for k, v in epoch.items()} for epoch in epochs]
            records.write_artifact(key, "epochs.json", json.dumps(finite, allow_nan=False).encode())
        if localised is not None:
            attributions = record[columns.hyperparameter("attributions")].split()
            title = (
                f"{record['dataset']}, severity {record['severity']:g}, {record['method']}"
                f" {record['strength']:g}, OOD AUC {record[columns.performance('test_ood', 'auc')]:.3f}"
            )
            buffer = io.BytesIO()
            arrays: dict[str, Any] = dict(localised.arrays)
            np.savez_compressed(buffer, **arrays)
            records.write_artifact(key, "maps.npz", buffer.getvalue())
            records.write_artifact(key, "saliency.png", saliency_panel(localised.arrays, attributions, title))
        records.write(record)
        return record

    def mirror(self, record: Record) -> tuple[Record, str | None]:
        """Bring MLflow up to date with a written record.

        Returns:
            the record, with its run's id if it has one, and the problem that kept MLflow behind, if any.
        """
        if self.experiment is None or time.monotonic() < _pause["until"]:
            return record, None
        try:
            run_id = mirror_trial(self.experiment, self.records, record)
        except MirrorError as error:
            _pause["until"] = time.monotonic() + MIRROR_PAUSE
            return record, str(error)
        return {**record, "mlflow_run_id": run_id}, None


MIRROR_PAUSE = 30.0
"""Seconds before a process tries MLflow again. Each attempt at an unreachable server takes some seconds; the driver
mirrors at the end what was skipped."""
_pause = {"until": 0.0}
"""This process does not try MLflow before then, in seconds of `time.monotonic`."""


def new_record(config: TrialConfig, started_at: datetime) -> Record:
    """The columns of a record that are known before training."""
    return {
        **config.columns(),
        "sweep": None,
        "status": "completed",
        "error": None,
        "best_epoch": None,
        "started_at": started_at.astimezone(UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "code_version": code_version(),
        "schema_version": columns.SCHEMA_VERSION,
        "mlflow_run_id": None,
    }


@cache
def code_version() -> str:
    """The package's version; in a git checkout also the commit, with a + for uncommitted changes."""
    release = version("saliency-sweep")
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return release
    try:
        git = ["git", "-C", str(root)]
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return release
    return f"{release}+{commit.stdout.strip()}{'+' if changed.stdout.strip() else ''}"


def failure(error: BaseException) -> dict[str, Any]:
    """Status and error columns of a trial that did not complete: the error and the end of its traceback, scrubbed."""
    status = "diverged" if isinstance(error, DivergedError) else "failed"
    text = f"{type(error).__name__}: {error}"
    if status == "failed":
        text = f"{text[:1000]}\n{''.join(traceback.format_exception(error))[-TRACEBACK_TAIL:]}"
    return {"status": status, "error": scrub(text)}


def saliency_panel(arrays: Mapping[str, np.ndarray], attributions: Sequence[str], title: str) -> bytes:
    """PNG bytes: a row for each image and test split, a column for the image and for each attribution.

    The mask is outlined in green, the distractor in orange.

    Args:
        arrays: as in `Localised.arrays`.
        attributions: their names, in column order.
        title: one line above the panel.
    """
    images = range(min(PANEL_IMAGES, len(arrays["labels"])))
    rows = [(split, i) for i in images for split in columns.SCORED_SPLITS]
    names = ["image", *attributions]
    tiles = [[tile(arrays, split, i, name) for name in names] for split, i in rows]
    labels = [f"{split}\nclass {arrays['labels'][i]}" for split, i in rows]
    return labelled_grid(tiles, labels, [name.replace("_", " ") for name in names], title)
