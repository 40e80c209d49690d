"""What one trial does, and the registries of methods, models, datasets and measures. In reading order:

    core/        config.py: TrialConfig, one fully specified trial and its key; registry.py; errors, random streams
    trial/       resolve.py: flat settings -> TrialConfig; trial.py: Trial, from training to scores
    methods/     one file for each training method; method.py: what they have in common
    datasets/    one file for each dataset; own/: images of one's own
    models/      one file for each classifier
    saliency/    one file for each attribution and each measure of localisation and faithfulness
    tune/        trainable.py: TrialTrainable; recorder.py: the record that a trial leaves

A trial in Tune; every method has a trainable of its own:

    tune.Tuner(trainables.ActDiff, param_space={"strength": tune.loguniform(1e-3, 10), "seed": tune.randint(0, 100)})

The registries also hold what other packages provide (docs/extending.md).
"""

from trainables.core.config import TrialConfig
from trainables.core.errors import ConfigurationError, DivergedError
from trainables.datasets import DATASETS
from trainables.methods import METHODS
from trainables.models import MODELS
from trainables.saliency.attribution import ATTRIBUTIONS
from trainables.saliency.localisation import LOCALISATION
from trainables.trial.resolve import resolve
from trainables.trial.trial import Trial
from trainables.tune.recorder import Recorder
from trainables.tune.trainable import CLASS_NAMES, TRAINABLES, TrialTrainable

__all__ = [
    "ATTRIBUTIONS",
    "DATASETS",
    "LOCALISATION",
    "METHODS",
    "MODELS",
    "TRAINABLES",
    "ConfigurationError",
    "DivergedError",
    "Recorder",
    "Trial",
    "TrialConfig",
    "TrialTrainable",
    "resolve",
    *CLASS_NAMES,
]


def __getattr__(name: str) -> type[TrialTrainable]:
    """The trainable of a built-in method, by the name of the method's class."""
    if name in CLASS_NAMES:
        return TRAINABLES[CLASS_NAMES[name]]
    raise AttributeError(f"module 'trainables' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
