"""From a finished trial to its durable record, its artifacts and its MLflow run."""

import io
import json
import math
import platform
import subprocess
import time
import traceback
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
from trainables.trial.trial import Localised
from trainables.tune.panel import saliency_panel

TRACEBACK_TAIL = 1500
"""Characters of a failure's traceback that its record keeps."""


@dataclass(frozen=True)
class Recorder:
    """Where a sweep's trials leave their records. Plain values, so that it travels to any process.

    Without an `experiment` records are written and MLflow is left for later.
    """

    storage: str
    sweep: str
    experiment: Experiment | None = None
    checkpoint_seconds: float = 60.0
    """Time between two checkpoints of a trial that takes long."""
    searcher: str | None = None
    """What chose the trials, where they were chosen by earlier ones' results: `hp.searcher` of their records."""

    @property
    def records(self) -> SweepRecords:
        return SweepRecords(open_storage(self.storage), self.sweep)

    def marked(self, record: Record) -> Record:
        """The record with what the sweep, and not the trial, says: its name, and what chose the trials."""
        searcher = {} if self.searcher is None else {columns.SEARCHER: self.searcher}
        return {**record, "sweep": self.sweep, **searcher}

    def left(self, config: TrialConfig) -> Record | None:
        """The record that a trial has already; None where it has none, a damaged one, or one of a failure."""
        try:
            record = self.records.read(config.trial_key)
        except ValueError:
            return None
        return None if record is None or record["status"] == "failed" else record

    def write(self, record: Record, epochs: list[dict[str, float]], localised: Localised | None) -> Record:
        """Write artifacts, then the record; the record as written."""
        records = self.records
        record = self.marked(record)
        key = record["trial_key"]
        if epochs:
            finite = [{k: v if math.isfinite(v) else None for k, v in epoch.items()} for epoch in epochs]
            records.write_artifact(key, "epochs.json", json.dumps(finite, allow_nan=False).encode())
        if localised is not None:
            attributions = record[columns.hyperparameter("attributions")].split()
            title = (
                f"{record['dataset']}, severity {record['severity']:g}, {record['method']}"
                f" {record['strength']:g}, OOD AUC {record['test_ood.auc']:.3f}"
            )
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **localised.arrays)  # type: ignore[arg-type]
            records.write_artifact(key, "maps.npz", buffer.getvalue())
            panel = saliency_panel(localised.arrays, attributions, title)
            records.write_artifact(key, "saliency.png", panel)
        records.write(record)
        return record

    def mirror(self, record: Record) -> tuple[Record, str | None]:
        """Bring MLflow up to date with a written record.

        Returns:
            the record, with its run's id if it has one, and what kept MLflow from being brought up to date, if anything
            did.
        """
        if self.experiment is None or not _mirror_is_worth_trying():
            return record, None
        try:
            run_id = mirror_trial(self.experiment, self.records, record)
        except MirrorError as error:
            _mirror_failed()
            return record, str(error)
        return {**record, "mlflow_run_id": run_id}, None


# A tracking server that is away costs each attempt some seconds. This process tries again after half a minute; what was
# left out meanwhile is mirrored by the driver at the end.
MIRROR_PAUSE = 30.0
_mirror_failed_at: list[float] = []


def _mirror_failed() -> None:
    _mirror_failed_at[:] = [time.monotonic()]


def _mirror_is_worth_trying() -> bool:
    return not _mirror_failed_at or time.monotonic() - _mirror_failed_at[0] > MIRROR_PAUSE


def new_record(config: TrialConfig, started_at: datetime) -> Record:
    """A record's columns that are known before training."""
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
    """The package's version and, in a git checkout, the commit with a + for uncommitted changes."""
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
    """Status and error columns of a trial that did not complete: what happened and the traceback's tail, scrubbed."""
    from trainables.core.errors import DivergedError

    status = "diverged" if isinstance(error, DivergedError) else "failed"
    text = f"{type(error).__name__}: {error}"
    if status == "failed":
        text = f"{text[:1000]}\n{''.join(traceback.format_exception(error))[-TRACEBACK_TAIL:]}"
    return {"status": status, "error": scrub(text)}
