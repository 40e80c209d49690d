"""A training that a sweep runs: it leaves checkpoints, and the records of its trials."""

import io
import time
import traceback
from pickle import UnpicklingError
from typing import Any

import torch

from records import StorageError, columns
from records.store import Record
from trainables.core.config import TrialConfig
from trainables.core.process import is_transient
from trainables.trial.finished import pack_weights
from trainables.trial.same_training import SameTraining
from trainables.trial.training import Training, new_record
from trainables.trial.trial import Trial
from trainables.tune.recorder import Recorder, failure

REPORTED = (
    *("trial_key", "status", "error", "dataset", "severity", "method", "strength", "seed", "train_seconds", "host"),
    columns.performance("test_ood", "auc"),
)
"""Columns of each finished trial that go to a sweep's driver, in the result's `records`, and to its log. The storage
holds the rest: Tune would keep statistics of every reported number of every trial to the end."""


class RecordedTraining(Training):
    """A training that continues from its checkpoint in the storage and leaves the record of each of its trials.

    An error ends in the records; it stops neither the sweep nor the other trials.
    """

    def __init__(self, trials: SameTraining, device: str, recorder: Recorder):
        """
        Args:
            trials: that share the training.
            device: to train on.
            recorder: writes their records.
        """
        super().__init__(trials, device)
        self.recorder = recorder
        self._kept_at = time.monotonic()

    def step(self) -> dict[str, Any]:
        """Train an epoch and return its metrics; after the last epoch, `REPORTED` of each record.

        Raises:
            Exception: a transient one, for Tune to try again.
        """
        try:
            return self._advance()
        except StorageError as error:
            # The storage has retried for long enough. The driver stops the sweep; continued, it runs the trial again.
            return {"storage_problem": str(error), "done": True}

    def started(self) -> Trial:
        """The trial in progress; before the first step the one that a checkpoint holds, or a new one."""
        if self.trial is not None:
            return self.trial
        self._kept_at = time.monotonic()
        data = self.recorder.records.read_checkpoint(self.key)
        if data is not None:
            try:
                # To the processor first: another node's GPU may have written it.
                self.restore(torch.load(io.BytesIO(data), weights_only=True, map_location="cpu"))
            except (EOFError, KeyError, RuntimeError, ValueError, UnpicklingError) as error:
                # A damaged checkpoint costs time, not the trial.
                print(f"checkpoint of {self.trials[0].trial_key} cannot be used ({error}); starting over")
                self.trial, self.seconds = None, dict.fromkeys(self.seconds, 0.0)
        return super().started()

    def keep(self) -> None:
        """Write a checkpoint of an unfinished training to the storage."""
        if self.trial is not None and not self.trial.finished and self.trial.epoch:
            buffer = io.BytesIO()
            torch.save(self.state(), buffer)
            self.recorder.records.write_checkpoint(self.key, buffer.getvalue())
            self._kept_at = time.monotonic()

    def _advance(self) -> dict[str, Any]:
        """An epoch and what follows it: the records after the last one, else a checkpoint if one is due."""
        failed: dict[str, Any] | None = None
        try:
            metrics = self.train_epoch()
            if not self.started().finished:
                if time.monotonic() - self._kept_at > self.recorder.checkpoint_seconds:
                    self.keep()
                return dict(metrics)
        except Exception as error:
            failed = _failed(error)
        records = [self._recorded(config, failed) for config in self.trials]
        self.recorder.records.delete_checkpoint(self.key)
        self.trial, self._scored = None, {}
        return {"records": [{name: record.get(name) for name in REPORTED} for record in records], "done": True}

    def _recorded(self, config: TrialConfig, failed: dict[str, Any] | None) -> Record:
        """Write the record of one of the trials, with `failed` where training did, and its artifacts."""
        epochs = self.trial.history[config.preset] if self.trial else []
        if failed is None:
            try:
                scored = self.score(config)
                weights = None if self.recorder.keep_weights == "none" else pack_weights(self.started(), config)
                return self.recorder.write(*scored, epochs, weights)
            except Exception as error:
                # The other trials may still be scored.
                failed = _failed(error)
        return self.recorder.write({**new_record(config, self.started_at), **self.seconds, **failed}, epochs=epochs)


def _failed(error: Exception) -> dict[str, Any]:
    """The columns of a trial that failed. Raises an error of the storage, and one that a retry may avoid."""
    if isinstance(error, StorageError) or is_transient(error):
        raise error
    traceback.print_exception(error)
    return failure(error)
