"""A training that a sweep runs: it leaves checkpoints, and the records of its trials."""

import io
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch

from records import StorageError, columns
from records.store import Record
from trainables.core.config import TrialConfig
from trainables.core.process import is_transient
from trainables.trial.explain import Localised
from trainables.trial.finished import pack_weights
from trainables.trial.same_training import SameTraining
from trainables.trial.training import Training, new_record
from trainables.trial.trial import Trial
from trainables.tune.recorder import Recorder, failure

Rows = list[dict[str, Any]]
"""Columns of the records of one training."""
REPORTED = (
    *("trial_key", "status", "error", "dataset", "severity", "method", "strength", "seed", "train_seconds", "host"),
    columns.performance("test_ood", "auc"),
)
"""Columns of each finished trial that go to a sweep's driver and to its log. The storage
holds the rest: Tune would keep statistics of every reported number of every trial to the end."""


class Unwritten(NamedTuple):
    """The arguments of `Recorder.write`."""

    record: Record
    localised: Localised | None = None
    epochs: Sequence[Mapping[str, float]] = ()
    weights: bytes | None = None


class Writer:
    """Writes the records of finished trainings: at once, or in a thread while the next training runs."""

    def __init__(self, in_background: bool) -> None:
        self._pool = ThreadPoolExecutor(1) if in_background else None
        self._running: Future[Rows] | None = None
        self._written: list[Rows] = []

    def submit(self, write: Callable[[], Rows]) -> None:
        """Write the records of a training, after those of the previous one. Raises an error of either."""
        self.wait()
        if self._pool is None:
            self._written.append(write())
        else:
            self._running = self._pool.submit(write)

    def written(self) -> list[Rows]:
        """The records written since the last call, by training. Raises the error of a write that failed."""
        if self._running is not None and self._running.done():
            self.wait()
        written, self._written = self._written, []
        return written

    def wait(self) -> None:
        """Wait for the last write. Raises its error."""
        running, self._running = self._running, None
        if running is not None:
            self._written.append(running.result())


class RecordedTraining(Training):
    """A training that continues from its checkpoint in the storage and leaves the record of each of its trials.

    An error ends in the records; it stops neither the sweep nor the other trials.
    """

    def __init__(self, trials: SameTraining, device: str, recorder: Recorder, writer: Writer):
        """`writer` is that of this process."""
        super().__init__(trials, device)
        self.recorder = recorder
        self.writer = writer
        self._kept_at = time.monotonic()

    def step(self) -> dict[str, Any]:
        """Train for an epoch, or for `report_seconds`; return the epoch's number, and `done` after the last one.

        A result also has `finished`: for each training of this process whose records have been written since the last
        result, `REPORTED` of its records.

        Raises:
            Exception: a transient one, for Tune to try again.
        """
        try:
            result = self._advance()
            finished = self.writer.written()
        except StorageError as error:
            # The storage has retried for long enough. The driver stops the sweep; resumed, it runs the trial again.
            return {"storage_problem": str(error), "done": True}
        return {**result, "finished": finished} if finished else result

    def started(self) -> Trial:
        """The trial in progress; before the first step the one that a checkpoint holds, or a new one."""
        if self.trial is not None:
            return self.trial
        self._kept_at = time.monotonic()
        data = self.recorder.records.storage.read(self.recorder.records.checkpoint(self.key))
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
            self.recorder.records.storage.write(self.recorder.records.checkpoint(self.key), buffer.getvalue())
            self._kept_at = time.monotonic()

    def _advance(self) -> dict[str, Any]:
        """Train, with a checkpoint if one is due; after the last epoch, score the trials and have them written."""
        failed: dict[str, Any] | None = None
        until = time.monotonic() + self.recorder.report_seconds
        try:
            while True:
                self.train_epoch()
                trial = self.started()
                if trial.finished:
                    break
                if time.monotonic() - self._kept_at > self.recorder.checkpoint_seconds:
                    self.keep()
                if time.monotonic() >= until:
                    return {"epoch": trial.epoch}
        except Exception as error:
            failed = _failed(error)
        scored = [self._scored_or_failed(config, failed) for config in self.trials]
        self.trial, self._scored = None, {}
        self.writer.submit(partial(self._write, scored))
        return {"done": True}

    def _scored_or_failed(self, config: TrialConfig, failed: dict[str, Any] | None) -> Unwritten:
        """The record of a trial and what its artifacts are made from; `failed` has its columns if training failed."""
        epochs = self.trial.history[config.preset] if self.trial else []
        if failed is None:
            try:
                record, localised = self.score(config)
                weights = None if self.recorder.keep_weights == "none" else pack_weights(self.started(), config)
                return Unwritten(record, localised, epochs, weights)
            except Exception as error:
                # The other trials may still be scored.
                failed = _failed(error)
        return Unwritten(Record({**new_record(config, self.started_at), **self.seconds, **failed}), epochs=epochs)

    def _write(self, trials: Sequence[Unwritten]) -> Rows:
        """Write records and artifacts and return `REPORTED` of the records."""
        records = []
        for trial in trials:
            try:
                record = self.recorder.write(*trial)
            except Exception as error:
                record = self.recorder.write(Record({**trial.record, **_failed(error)}), epochs=trial.epochs)
            records.append({name: record.get(name) for name in REPORTED})
        self.recorder.records.storage.delete(self.recorder.records.checkpoint(self.key))
        return records


def _failed(error: Exception) -> dict[str, Any]:
    """The columns of a trial that failed. Raises an error of the storage, and one that a retry may avoid."""
    if isinstance(error, StorageError) or is_transient(error):
        raise error
    traceback.print_exception(error)
    return failure(error)
