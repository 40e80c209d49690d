"""Models with initial weights that depend on the seed alone."""

import torch

from trainables.core.errors import unknown_name
from trainables.core.streams import stream_seed
from trainables.models import MODELS, Classifier


def initialise(name: str, channels: int, classes: int, seed: int) -> Classifier:
    """The model `name` with weights drawn from the stream ("weights", seed).

    torch's layers draw from the global generator, which is seeded inside a fork and left unchanged. Weights are in
    channels-last format, which makes small convolutions on a processor about twice as fast.

    Raises:
        ConfigurationError: no model has this name.
    """
    if name not in MODELS:
        raise unknown_name("model", name, MODELS, "trainables/models/__init__.py")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed("weights", seed))
        model = MODELS[name](channels, classes)
    return model.to(memory_format=torch.channels_last)


def layers_of(name: str) -> Classifier:
    """A copy of the model `name` whose layers can be looked at, for checks before any data are read.

    It has weights: torch's meta device, which would save them, warns of each tensor that a network reads from a file.
    """
    with torch.random.fork_rng(devices=[]):
        return MODELS[name](1, 2)
