"""Tune trainables: one that runs whatever method its configuration names, and one for each method."""

import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from ray import tune

from records import StorageError
from trainables.core.errors import ConfigurationError
from trainables.core.process import use_gpu, use_one_thread
from trainables.core.registry import brief
from trainables.methods import METHODS
from trainables.trial.data import check_trial_data
from trainables.trial.same_training import ALSO_SCORED_AS, parse
from trainables.trial.training import Training
from trainables.tune.recorder import Recorder
from trainables.tune.training import RecordedTraining, Writer

CHECKPOINT = "trial.pt"


class TrialTrainable(tune.Trainable):
    """One trial: each step trains an epoch; the last one also evaluates, attributes and localises.

    The configuration holds the flat settings of `trainables.resolve`. Every step reports the epoch's losses and
    validation scores, so `metric="valid_id.auc"` works for a Tuner; the last one reports the record's columns too,
    validation scores then being those of the selected epoch. Actors can be reused.

    With a `Recorder`, as `tune.with_parameters(TrialTrainable, recorder=…)`, a trial writes its record, also if it
    fails, and reports as `RecordedTraining` does. The configuration may then name further trials of the same training
    under `also_scored_as` (trial/same_training.py), each of which is scored and leaves its record.
    """

    method: ClassVar[str | None] = None
    """The method of a subclass; None takes it from the configuration."""

    recorder: Recorder | None = None
    device = "cpu"

    def setup(
        self,
        config: dict[str, Any],
        recorder: Recorder | None = None,
        gpus: float = 0.0,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Called by Tune with the trial's flat settings.

        Without a recorder the record is reported to Tune. `gpus` is how many Ray assigns to the trial, maybe a
        fraction. `variables` are environment variables for this process, such as the keys of the storage.
        """
        os.environ.update(variables or {})
        use_one_thread()
        if gpus:
            self.device = use_gpu(gpus)
        if recorder is not None:
            self.recorder = recorder
            self.writer = Writer(recorder.in_background)
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.training.keep()
        self._begin(new_config)
        return True

    def _begin(self, settings: dict[str, Any]) -> None:
        if self.method is not None:
            if settings.get("method", self.method) != self.method:
                raise ConfigurationError(
                    f"{type(self).__name__} trains method {self.method!r}, not {settings['method']!r}; "
                    "use TrialTrainable to vary the method"
                )
            settings = {**settings, "method": self.method}
        trials = parse(settings)
        if self.recorder is not None:
            self.training: Training = RecordedTraining(trials, self.device, self.recorder, self.writer)
        elif len(trials) == 1:
            # With a recorder the driver has checked the data of all trials.
            check_trial_data(trials[0])
            self.training = Training(trials, self.device)
        else:
            raise ConfigurationError(f"{ALSO_SCORED_AS} needs a recorder: without one a trial reports a single result")

    def step(self) -> dict[str, Any]:
        return self.training.step()

    def cleanup(self) -> None:
        """Called by Tune when a trial is stopped: an unfinished one leaves a checkpoint."""
        try:
            if self.recorder is not None:
                self.writer.wait()
            self.training.keep()
        except StorageError as error:
            print(f"no record or checkpoint of {self.training.key}: {error}")

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        torch.save(self.training.state(), Path(checkpoint_dir) / CHECKPOINT)

    def load_checkpoint(self, checkpoint: str) -> None:
        # To the processor first: another node's GPU may have written it.
        self.training.restore(torch.load(Path(checkpoint) / CHECKPOINT, weights_only=True, map_location="cpu"))


class Trainables(Mapping[str, type[TrialTrainable]]):
    """The Tune trainable of each method, by the method's name, made when it is looked up."""

    def __getitem__(self, method: str) -> type[TrialTrainable]:
        return _trainable(method)

    def __iter__(self) -> Iterator[str]:
        return iter(METHODS)

    def __len__(self) -> int:
        return len(METHODS)

    def __repr__(self) -> str:
        return brief("trainables", self)


@cache
def _trainable(method: str) -> type[TrialTrainable]:
    cls = METHODS[method]
    # Ray finds a class by module and name: trainables.ActDiff. One of a plug-in is not there and is pickled whole.
    return type(cls.__name__, (TrialTrainable,), {"method": method, "__doc__": cls.__doc__, "__module__": "trainables"})


TRAINABLES = Trainables()
CLASS_NAMES = {cls.__name__: name for name, cls in METHODS.builtin.items()}
"""The built-in methods by the name of their class, which their trainable shares."""
