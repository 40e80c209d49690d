"""A training and the records of its trials, for a notebook or a Tune trainable."""

import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from records import columns
from records.store import Record
from trainables.core.config import TrialConfig
from trainables.trial.explain import Localised
from trainables.trial.same_training import SameTraining, training_key
from trainables.trial.trial import Trial


class Training:
    """A training that one or more trials share. Call `step` until it reports `done`, which scores the first trial."""

    def __init__(self, trials: SameTraining, device: str):
        self.trials = trials
        self.key = training_key(trials[0])
        self.device = device
        self.started_at = datetime.now(UTC)
        self.seconds = {"train_seconds": 0.0, "evaluate_seconds": 0.0, "attribution_seconds": 0.0}
        self.trial: Trial | None = None
        """In progress; None before the first step and after the last."""
        self._scored: dict[tuple[int, str], tuple[dict[str, Any], Localised]] = {}

    def step(self) -> dict[str, Any]:
        """Train an epoch and return its metrics; after the last epoch, the trial's record."""
        metrics = self.train_epoch()
        if not self.started().finished:
            return dict(metrics)
        record, _ = self.score(self.trials[0])
        return {**record, "done": True}

    def keep(self) -> None:
        """Called before an unfinished training is dropped."""

    def started(self) -> Trial:
        """The trial in progress, a new one before the first step."""
        if self.trial is None:
            self.trial = Trial(self.trials[0], self.device, self.trials[1:])
        return self.trial

    def train_epoch(self) -> dict[str, float]:
        """As `Trial.train_epoch`."""
        trial = self.started()
        with timed(self.seconds, "train_seconds"):
            return trial.train_epoch()

    def score(self, config: TrialConfig) -> tuple[Record, Localised]:
        """Record and maps of one of the trials, after training."""
        trial = self.started()
        epoch = trial.selected(config).epoch
        # Rules that selected the same epoch have the same scores.
        alike = epoch, config.model_copy(update={"selection": "last"}).trial_key
        if alike not in self._scored:
            seconds = dict(self.seconds)
            with timed(seconds, "evaluate_seconds"):
                scores = trial.evaluate(config)
            with timed(seconds, "attribution_seconds"):
                localised = trial.localise(config)
            self._scored[alike] = {**scores, **localised.scores, **localised.seconds, **seconds}, localised
        scores, localised = self._scored[alike]
        trained = {"best_epoch": epoch, "model_steps": trial.model_steps}
        return Record({**new_record(config, self.started_at), **trained, **scores}), localised

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to continue from here."""
        return {"trial": self.trial.state_dict() if self.trial else None, "seconds": self.seconds}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state()`."""
        self.trial = None
        if state["trial"] is not None:
            trial = Trial(self.trials[0], self.device, self.trials[1:])
            trial.load_state_dict(state["trial"])
            self.trial = trial
        self.seconds = state["seconds"]


def new_record(config: TrialConfig, started_at: datetime) -> Record:
    """The columns of a record that are known before training."""
    of_run = {
        **dict.fromkeys(("sweep", "error", "best_epoch", "mlflow_run_id")),
        "status": "completed",
        "started_at": started_at.astimezone(UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "code_version": code_version(),
        "schema_version": columns.SCHEMA_VERSION,
    }
    return Record(config.columns() | of_run)


@cache
def code_version() -> str:
    """The package's version; in a git checkout also the commit, with a + for uncommitted changes."""
    release = version("saliency-sweep")
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return release

    def git(*command: str) -> str:
        done = subprocess.run(["git", "-C", root, *command], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        commit, changed = git("rev-parse", "--short=12", "HEAD"), git("status", "--porcelain", "-uno")
    except (OSError, subprocess.CalledProcessError):
        return release
    return f"{release}+{commit}{'+' if changed else ''}"


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the wall-clock seconds of the block to `seconds[name]`."""
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] += time.perf_counter() - start
