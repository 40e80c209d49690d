"""Tune trainables: one that runs whatever method its configuration names, and one for each method."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from ray import tune

from records import StorageError
from trainables.core.errors import ConfigurationError
from trainables.methods import METHODS
from trainables.trial.same_training import ALSO_SCORED_AS
from trainables.trial.same_training import parse as parse_same_training
from trainables.trial.trial import use_gpu, use_one_thread
from trainables.tune.recorder import Recorder
from trainables.tune.training import Training

CHECKPOINT = "trial.pt"


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
        self.training.keep()
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
        configs = parse_same_training(settings)
        if self.recorder is None and len(configs) > 1:
            raise ConfigurationError(f"{ALSO_SCORED_AS} needs a recorder: without one a trial reports a single result")
        self.training = Training(configs, self.recorder, self.device)

    def step(self) -> dict[str, Any]:
        if self.recorder is None:
            return self._step_alone()
        try:
            metrics = self._advance()
        except StorageError as error:
            # It was waited for long enough. The driver stops the sweep, and the trial runs when it is continued.
            return {"storage_problem": str(error), "done": True}
        if self.training.ended:
            return {"records": self.training.reported, "done": True}
        return metrics

    def _step_alone(self) -> dict[str, Any]:
        """An epoch without a recorder: what goes wrong is Tune's to know, and so are all scores."""
        training = self.training
        trial, metrics = training.start(), training.train_epoch()
        if not trial.finished:
            return dict(metrics)
        record, _ = training.scores(trial, training.configs[0])
        return {**record, "done": True}

    def _advance(self) -> dict[str, Any]:
        """An epoch with a recorder; its metrics."""
        metrics: dict[str, Any] = {}
        with self.training.failures_recorded():
            metrics |= self.training.train_epoch()
            self.training.end_or_keep()
        return metrics

    def cleanup(self) -> None:
        """Called by Tune when a trial is stopped: an unfinished one leaves a checkpoint."""
        try:
            self.training.keep()
        except StorageError as error:
            print(f"no checkpoint of {self.training.key}: {error}")

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        torch.save(self.training.state(), Path(checkpoint_dir) / CHECKPOINT)

    def load_checkpoint(self, checkpoint: str) -> None:
        # To the processor first: another node's GPU may have written it.
        self.training.restore(torch.load(Path(checkpoint) / CHECKPOINT, weights_only=True, map_location="cpu"))


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
