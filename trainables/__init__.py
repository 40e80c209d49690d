"""What one trial does, and the registries of methods, models, datasets and measures. In reading order:

    core/        config.py: TrialConfig, one fully specified trial and its key; registry.py; errors, random streams
    trial/       resolve.py: flat settings -> TrialConfig; trial.py: Trial, from training to scores; finished.py
    methods/     the training methods; method.py: what they have in common
    datasets/    one file for each dataset; own/: the user's images
    models/      one file for each classifier
    saliency/    attributions, and measures of localisation and faithfulness
    tune/        trainable.py: TrialTrainable; recorder.py: the record that a trial leaves

A trial with its model, trained here or read from a sweep that ran with --keep-weights, and a trial in Tune:

    trainables.run_trial(method="actdiff", strength=1.0, severity=1.0)
    trainables.load_model("smoke", trial_key)
    tune.Tuner(trainables.ActDiff, param_space={"strength": tune.loguniform(1e-3, 10), "seed": tune.randint(0, 100)})

The registries also hold what other packages provide (docs/extending.md).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trainables.core.config import TrialConfig as TrialConfig
from trainables.core.config import settings_of as settings_of
from trainables.core.errors import ConfigurationError as ConfigurationError
from trainables.core.errors import DivergedError as DivergedError

if TYPE_CHECKING:
    from trainables.datasets import DATASETS as DATASETS
    from trainables.methods import METHODS as METHODS
    from trainables.models import MODELS as MODELS
    from trainables.saliency.attribution import ATTRIBUTIONS as ATTRIBUTIONS
    from trainables.saliency.localisation import LOCALISATION as LOCALISATION
    from trainables.trial.finished import FinishedTrial as FinishedTrial
    from trainables.trial.finished import load_model as load_model
    from trainables.trial.finished import run_trial as run_trial
    from trainables.trial.resolve import resolve as resolve
    from trainables.trial.trial import Trial as Trial
    from trainables.tune.recorder import Recorder as Recorder
    from trainables.tune.trainable import TRAINABLES as TRAINABLES
    from trainables.tune.trainable import TrialTrainable as TrialTrainable

_MODULES = {
    "ATTRIBUTIONS": "trainables.saliency.attribution",
    "DATASETS": "trainables.datasets",
    "FinishedTrial": "trainables.trial.finished",
    "LOCALISATION": "trainables.saliency.localisation",
    "METHODS": "trainables.methods",
    "MODELS": "trainables.models",
    "Recorder": "trainables.tune.recorder",
    "TRAINABLES": "trainables.tune.trainable",
    "Trial": "trainables.trial.trial",
    "TrialTrainable": "trainables.tune.trainable",
    "load_model": "trainables.trial.finished",
    "resolve": "trainables.trial.resolve",
    "run_trial": "trainables.trial.finished",
}


def __getattr__(name: str) -> Any:
    """Import what loads torch or Ray on first use; find a built-in method's trainable by its class's name."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    if not name.startswith("_"):
        from trainables.tune.trainable import CLASS_NAMES, TRAINABLES

        if name in CLASS_NAMES:
            return TRAINABLES[CLASS_NAMES[name]]
    raise AttributeError(f"module 'trainables' has no attribute {name!r}")


def __dir__() -> list[str]:
    from trainables.tune.trainable import CLASS_NAMES

    return sorted({*globals(), *_MODULES, *CLASS_NAMES})
