"""One training as a Tune trainable runs it: taken up, kept, and ended by the records of the trials scored from it."""

import io
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pickle import UnpicklingError
from typing import Any

import torch

from records import StorageError
from records.store import Record
from trainables.core.config import TrialConfig
from trainables.trial.same_training import SameTraining
from trainables.trial.trial import Localised, Trial
from trainables.tune.memory import may_pass
from trainables.tune.recorder import Recorder, failure, new_record

REPORTED = (
    *("trial_key", "status", "error", "dataset", "severity", "method", "strength", "seed", "train_seconds", "host"),
)
"""What a sweep's driver is told of each finished trial, in the result's `records`."""


class Training:
    """A training and its trials. With a recorder it goes on from its checkpoint, and each trial leaves a record.

    Call `train_epoch` (or train the trial that `start` gives), then `end_or_keep`, until `ended`.
    """

    def __init__(self, configs: SameTraining, recorder: Recorder | None, device: str):
        """
        Args:
            configs: of its trials.
            recorder: where they leave their records; None for nowhere.
            device: to train on.
        """
        self.configs = configs
        self.key = configs[0].training_key
        self.recorder = recorder
        self.device = device
        self.started_at = datetime.now(UTC)
        self.seconds = {"train_seconds": 0.0, "evaluate_seconds": 0.0, "attribution_seconds": 0.0}
        self.trial: Trial | None = None
        """In progress; None before the start and after the end."""
        self.reported: list[Record] = []
        """What the driver is told of the trials that have their record."""
        self._scored: dict[str, tuple[Record, Localised]] = {}
        self._kept_at = time.monotonic()

    @property
    def ended(self) -> bool:
        """Whether each trial has its record."""
        return not self.configs

    def start(self) -> Trial:
        """The trial in progress; at first a new one, or the one that a checkpoint in the sweep's storage continues."""
        if self.trial is not None:
            return self.trial
        self._kept_at = time.monotonic()
        data = self.recorder.records.read_checkpoint(self.key) if self.recorder else None
        if data is not None:
            try:
                # To the processor first: another node's GPU may have written it.
                self.restore(torch.load(io.BytesIO(data), weights_only=True, map_location="cpu"))
            except (EOFError, KeyError, RuntimeError, ValueError, UnpicklingError) as error:
                # A damaged checkpoint costs time, not the trial: it starts again from its configuration.
                print(f"checkpoint of {self.configs[0].trial_key} cannot be used ({error}); starting over")
                self.trial, self.seconds = None, dict.fromkeys(self.seconds, 0.0)
        self.trial = self.trial or self._new_trial()
        return self.trial

    def train_epoch(self) -> dict[str, float]:
        """As `Trial.train_epoch`."""
        trial = self.start()
        with _Timer(self.seconds, "train_seconds"):
            return trial.train_epoch()

    def end_or_keep(self) -> None:
        """After an epoch: after the last one leave the record of each trial, else a checkpoint where one is due."""
        recorder, trial = self._recorder(), self.start()
        if trial.finished:
            self._leave(partial(self.scores, trial))
        elif time.monotonic() - self._kept_at > recorder.checkpoint_seconds:
            self.keep()

    @contextmanager
    def failures_recorded(self) -> Iterator[None]:
        """What the block raises ends in the records, never in a sweep that stops or a trial that is missing.

        Raises:
            StorageError: the records cannot be written either.
            Exception: one that `may_pass`.
        """
        try:
            yield
        except Exception as error:
            if isinstance(error, StorageError) or may_pass(error):
                raise
            traceback.print_exception(error)
            self._leave(partial(self._failed, error))

    def scores(self, trial: Trial, config: TrialConfig) -> tuple[Record, Localised]:
        """Record and maps of one trial of the training, which has ended with `trial`."""
        epoch = trial.selected(config).epoch
        # Two rules that selected one epoch have one score.
        alike = f"{epoch} {config.model_copy(update={'selection': 'last'}).trial_key}"
        if alike not in self._scored:
            seconds = dict(self.seconds)
            with _Timer(seconds, "evaluate_seconds"):
                scores = trial.evaluate(config)
            with _Timer(seconds, "attribution_seconds"):
                localised = trial.localise(config)
            self._scored[alike] = {**scores, **localised.scores, **localised.seconds, **seconds}, localised
        scores, localised = self._scored[alike]
        own = {"best_epoch": epoch, "model_steps": trial.model_steps}
        return {**new_record(config, self.started_at), **own, **scores}, localised

    def keep(self) -> None:
        """Put a checkpoint of an unfinished training into the sweep's storage."""
        if self.recorder is not None and self.trial is not None and not self.trial.finished and self.trial.epoch:
            buffer = io.BytesIO()
            torch.save(self.state(), buffer)
            self.recorder.records.write_checkpoint(self.key, buffer.getvalue())
            self._kept_at = time.monotonic()

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to go on from here."""
        trial = self.trial.state_dict() if self.trial else None
        return {"trial": trial, "seconds": self.seconds}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`."""
        self.trial = None
        if state["trial"] is not None:
            trial = self._new_trial()
            trial.load_state_dict(state["trial"])
            self.trial = trial
        self.seconds = state["seconds"]

    def _recorder(self) -> Recorder:
        if self.recorder is None:
            raise TypeError(f"training {self.key} has no recorder; give it one to leave records")
        return self.recorder

    def _new_trial(self) -> Trial:
        return Trial(self.configs[0], self.device, self.configs[1:])

    def _leave(self, outcome: Callable[[TrialConfig], tuple[Record, Localised | None]]) -> None:
        """Leave the record of each trial, with the maps that go with it."""
        recorder = self._recorder()
        records = []
        for config in self.configs:
            try:
                records.append(self._write(recorder, *outcome(config)))
            except Exception as error:
                if isinstance(error, StorageError) or may_pass(error):
                    raise
                # One trial cannot be scored or shown; the others can.
                traceback.print_exc()
                records.append(self._write(recorder, *self._failed(error, config)))
        recorder.records.delete_checkpoint(self.key)
        self.trial, self._scored = None, {}
        self._report(records)
        self.configs = ()

    def _write(self, recorder: Recorder, record: Record, localised: Localised | None) -> Record:
        """Write one record."""
        epochs = self.trial.history[record["preset"]] if self.trial else []
        return recorder.write(record, epochs, localised)

    def _failed(self, error: Exception, config: TrialConfig) -> tuple[Record, None]:
        return {**new_record(config, self.started_at), **self.seconds, **failure(error)}, None

    def _report(self, records: list[Record]) -> None:
        """Bring MLflow up to date with records that were written, and note what the driver is told of them."""
        # The rest is in the storage. Tune keeps statistics of each number it is told, for each trial, to the end.
        self.reported += [
            {**{name: record[name] for name in REPORTED}, "mirror_problem": problem}
            for record, problem in map(self._recorder().mirror, records)
        ]


class _Timer:
    """Adds the wall-clock seconds of a block to `seconds[name]`."""

    def __init__(self, seconds: dict[str, float], name: str):
        self.seconds, self.name = seconds, name

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.name] += time.perf_counter() - self.start
