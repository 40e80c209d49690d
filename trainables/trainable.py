"""Tune trainables: one that runs whatever method its configuration names, and one for each method."""

import io
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, ClassVar

import torch
from ray import tune

from records import StorageError
from records.store import Record
from trainables.config import TrialConfig
from trainables.errors import ConfigurationError
from trainables.methods import METHODS
from trainables.recorder import Recorder, failure, new_record
from trainables.same_training import ALSO_SCORED_AS
from trainables.same_training import parse as parse_same_training
from trainables.trial import Localised, Trial, use_gpu, use_one_thread

CHECKPOINT = "trial.pt"
REPORTED = (
    *("trial_key", "status", "error", "dataset", "severity", "method", "strength", "seed", "train_seconds", "host"),
)
"""What a sweep's driver is told of each finished trial, in the result's `records`."""


class TrialTrainable(tune.Trainable):
    """One trial: each step trains an epoch; the last one also evaluates, attributes and localises.

    Its settings are those of `TrialConfig.parse`, flat, and what is not given has the default stated there. Every step
    reports the epoch's losses and validation scores, so `metric="valid_id.auc"` works for a Tuner; the last one
    reports the record's columns too, validation scores then being those of the selected epoch. Actors can be reused.

    With a `Recorder` (through `tune.with_parameters(TrialTrainable, recorder=…)`) a trial writes its record and MLflow
    run and reports no more than `REPORTED` at its end, and a trial that raises leaves a record that says why instead of
    stopping the sweep. Then the configuration may also name further trials that are trained alike (`same_training`):
    they are trained once, and each is scored and leaves its record and MLflow run; equal epochs are scored once.
    """

    method: ClassVar[str | None] = None
    """The method that a subclass is for; None takes it from the configuration."""

    recorder: Recorder | None = None
    device = "cpu"

    def setup(self, config: dict[str, Any], recorder: Recorder | None = None, gpus: float = 0.0) -> None:
        """Called by Tune.

        Args:
            config: the trial's flat settings.
            recorder: where it leaves its record; None for nowhere.
            gpus: what Ray gives it of a GPU, in whole GPUs or a fraction; 0 runs it on the processor.
        """
        use_one_thread()
        if gpus:
            self.device = use_gpu(gpus)
        if recorder is not None:
            self.recorder = recorder
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._keep()
        self._begin(new_config)
        return True

    def _begin(self, settings: dict[str, Any]) -> None:
        if self.method is not None and settings.get("method", self.method) != self.method:
            raise ConfigurationError(
                f"{type(self).__name__} trains method {self.method!r}, not {settings['method']!r}; "
                "use TrialTrainable to vary the method"
            )
        if self.method is not None:
            settings = {**settings, "method": self.method}
        self.trial_configs = parse_same_training(settings)
        if self.recorder is None and len(self.trial_configs) > 1:
            raise ConfigurationError(f"{ALSO_SCORED_AS} needs a recorder: without one a trial reports a single result")
        self.trial_config = self.trial_configs[0]
        self.started_at = datetime.now(UTC)
        self.seconds = {"train_seconds": 0.0, "evaluate_seconds": 0.0, "attribution_seconds": 0.0}
        self.scored: dict[str, tuple[Record, Localised]] = {}
        self.trial: Trial | None = None
        self.kept_at = time.monotonic()

    def step(self) -> dict[str, Any]:
        if self.recorder is None:
            return self._advance(None)
        try:
            return self._advance(self.recorder)
        except StorageError as error:
            # It was waited for long enough. The driver stops the sweep, and the trial runs when it is continued.
            return {"storage_problem": str(error), "done": True}
        except Exception as error:
            if may_pass(error):
                raise
            # Any other failure ends in the trial's record, never in a sweep that stops or a trial that is missing.
            traceback.print_exc()
            return self._finish(self.recorder, partial(self._failed, error))

    def _advance(self, recorder: Recorder | None) -> dict[str, Any]:
        trial = self.trial = self.trial or self._start()
        with _Timer(self.seconds, "train_seconds"):
            metrics = trial.train_epoch()
        if not trial.finished:
            if recorder is not None and time.monotonic() - self.kept_at > recorder.checkpoint_seconds:
                self._keep()
            return dict(metrics)
        if recorder is None:
            record, _ = self._scores(trial, self.trial_config)
            self.trial, self.scored = None, {}
            return {**record, "done": True}
        return self._finish(recorder, partial(self._scores, trial))

    def _finish(
        self, recorder: Recorder, outcome: Callable[[TrialConfig], tuple[Record, Localised | None]]
    ) -> dict[str, Any]:
        """Leave the record of each trial, with the maps that go with it; what the driver is told."""
        records = []
        for config in self.trial_configs:
            try:
                records.append(self._write(recorder, *outcome(config)))
            except Exception as error:
                if isinstance(error, StorageError) or may_pass(error):
                    raise
                # One trial cannot be scored or shown; the others can.
                traceback.print_exc()
                records.append(self._write(recorder, *self._failed(error, config)))
        recorder.records.delete_checkpoint(self.trial_config.training_key)
        self.trial, self.scored = None, {}
        reported = []
        for record, problem in map(recorder.mirror, records):
            # The rest is in the storage. Tune keeps statistics of each number it is told, for each trial, to the end.
            reported.append({**{name: record[name] for name in REPORTED}, "mirror_problem": problem})
        return {"records": reported, "done": True}

    def _write(self, recorder: Recorder, record: Record, localised: Localised | None) -> Record:
        """Write one record."""
        epochs = self.trial.history[record["preset"]] if self.trial else []
        return recorder.write(record, epochs, localised)

    def _failed(self, error: Exception, config: TrialConfig) -> tuple[Record, None]:
        return {**new_record(config, self.started_at), **self.seconds, **failure(error)}, None

    def _scores(self, trial: Trial, config: TrialConfig) -> tuple[Record, Localised]:
        """Record and maps of one trial of the training that has just ended."""
        epoch = trial.selected(config).epoch
        # Two rules that selected one epoch have one score.
        alike = f"{epoch} {config.model_copy(update={'selection': 'last'}).trial_key}"
        if alike not in self.scored:
            seconds = dict(self.seconds)
            with _Timer(seconds, "evaluate_seconds"):
                scores = trial.evaluate(config)
            with _Timer(seconds, "attribution_seconds"):
                localised = trial.localise(config)
            self.scored[alike] = {**scores, **localised.scores, **localised.seconds, **seconds}, localised
        scores, localised = self.scored[alike]
        own = {"best_epoch": epoch, "model_steps": trial.model_steps}
        return {**new_record(config, self.started_at), **own, **scores}, localised

    def _start(self) -> Trial:
        """A new trial, or the one that a checkpoint in the sweep's storage continues."""
        self.kept_at = time.monotonic()
        data = self.recorder.records.read_checkpoint(self.trial_config.training_key) if self.recorder else None
        if data is not None:
            try:
                self._restore(io.BytesIO(data))
            except (EOFError, KeyError, RuntimeError, ValueError, UnpicklingError) as error:
                # A damaged checkpoint costs time, not the trial: it starts again from its configuration.
                print(f"checkpoint of {self.trial_config.trial_key} cannot be used ({error}); starting over")
                self.trial, self.seconds = None, dict.fromkeys(self.seconds, 0.0)
        return self.trial or self._new_trial()

    def _new_trial(self) -> Trial:
        return Trial(self.trial_config, self.device, self.trial_configs[1:])

    def _keep(self) -> None:
        """Put a checkpoint into the sweep's storage."""
        if self.recorder is not None and self.trial is not None and not self.trial.finished and self.trial.epoch:
            buffer = io.BytesIO()
            torch.save(self._state(), buffer)
            self.recorder.records.write_checkpoint(self.trial_config.training_key, buffer.getvalue())
            self.kept_at = time.monotonic()

    def cleanup(self) -> None:
        """Called by Tune when a trial is stopped: an unfinished one leaves a checkpoint."""
        try:
            self._keep()
        except StorageError as error:
            print(f"no checkpoint of {self.trial_config.trial_key}: {error}")

    def _state(self) -> dict[str, Any]:
        trial = self.trial.state_dict() if self.trial else None
        return {"trial": trial, "seconds": self.seconds}

    def _restore(self, file: Path | io.BytesIO) -> None:
        # To the processor first: another node's GPU may have written it.
        state = torch.load(file, weights_only=True, map_location="cpu")
        self.trial = None
        if state["trial"] is not None:
            trial = self._new_trial()
            trial.load_state_dict(state["trial"])
            self.trial = trial
        self.seconds = state["seconds"]

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        torch.save(self._state(), Path(checkpoint_dir) / CHECKPOINT)

    def load_checkpoint(self, checkpoint: str) -> None:
        self._restore(Path(checkpoint) / CHECKPOINT)


def may_pass(error: Exception) -> bool:
    """Whether trying again may help: memory ran out, which says nothing about the trial.

    Tune then starts the trial again, elsewhere if it can, from its last checkpoint.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


class _Timer:
    """Adds the wall-clock seconds of a block to `seconds[name]`."""

    def __init__(self, seconds: dict[str, float], name: str):
        self.seconds, self.name = seconds, name

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.name] += time.perf_counter() - self.start


def _trainable(method: str) -> type[TrialTrainable]:
    """The Tune trainable of one method, named as the method's class."""
    name = METHODS[method].__name__
    return type(
        name,
        (TrialTrainable,),
        {"method": method, "__doc__": METHODS[method].__doc__, "__module__": __name__},
    )


class Trainables(Mapping[str, type[TrialTrainable]]):
    """The Tune trainable of each method, by the method's name; that of a plug-in is made when it is looked up."""

    def __init__(self) -> None:
        self._made = {method: _trainable(method) for method in METHODS.builtin}

    def __getitem__(self, method: str) -> type[TrialTrainable]:
        if method not in self._made:
            self._made[method] = _trainable(method)
        return self._made[method]

    def __iter__(self) -> Iterator[str]:
        return iter(METHODS)

    def __len__(self) -> int:
        return len(METHODS)


TRAINABLES = Trainables()
# Ray finds a class by its module and name; one that is not there, of a plug-in, travels whole.
globals().update({TRAINABLES[method].__name__: TRAINABLES[method] for method in METHODS.builtin})
