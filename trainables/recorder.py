"""From a finished trial to its durable record, its artifacts and its MLflow run."""

import io
import json
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from records import SweepRecords, columns, open_storage
from records.mirror import Experiment, MirrorError, mirror_trial
from records.store import Record
from trainables.config import TrialConfig
from trainables.panel import saliency_panel
from trainables.trial import Localised


@dataclass(frozen=True)
class Recorder:
    """Where a sweep's trials leave their records. Plain values, so that it travels to any process.

    Without an `experiment` records are written and MLflow is left for later.
    """

    storage: str
    sweep: str
    experiment: Experiment | None = None

    def write(
        self, record: Record, epochs: list[dict[str, float]], localised: Localised | None
    ) -> tuple[Record, str | None]:
        """Write artifacts, then the record, then mirror it.

        Returns:
            the record as written, and what kept MLflow from being brought up to date, if anything did.
        """
        records = SweepRecords(open_storage(self.storage), self.sweep)
        record = {**record, "sweep": self.sweep}
        key = record["trial_key"]
        if epochs:
            records.write_artifact(key, "epochs.json", json.dumps(epochs, allow_nan=True).encode())
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
        if self.experiment is None:
            return record, None
        try:
            run_id = mirror_trial(self.experiment, records, record)
        except MirrorError as error:
            return record, str(error)
        return {**record, "mlflow_run_id": run_id}, None


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
    root = Path(__file__).resolve().parent.parent
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
    """Status and error columns of a trial that did not complete."""
    from trainables.errors import DivergedError

    status = "diverged" if isinstance(error, DivergedError) else "failed"
    return {"status": status, "error": f"{type(error).__name__}: {error}"[:2000]}
