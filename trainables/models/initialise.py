"""Models with initial weights that depend on the seed alone."""

from functools import cache

import torch

from trainables.core.streams import global_stream
from trainables.models import Classifier, Inputs, build

SIDE, LIMITS = 28, (0.0, 1.0)
"""The usual images."""


def initialise(
    name: str, channels: int, classes: int, seed: int, side: int = SIDE, limits: tuple[float, float] = LIMITS
) -> Classifier:
    """The model `name` with weights drawn from the stream ("weights", seed), for images of `side` pixels in `limits`.

    Weights are in channels-last format, which makes small convolutions on a processor about twice as fast.

    Raises:
        ConfigurationError: no model has this name, or it does not take such images.
    """
    inputs = Inputs(channels, classes, side, limits)
    with global_stream("weights", seed):
        model = build(name, inputs)
    model.made_for = inputs
    return model.to(memory_format=torch.channels_last)


@cache
def layers_of(name: str, side: int = SIDE) -> Classifier:
    """The model `name`, in evaluation mode, whose layers can be looked at, for checks before any data are read.

    It has weights: torch's meta device, which would save them, warns of each tensor that a network reads from a file.
    """
    return initialise(name, 1, 2, seed=0, side=side).eval()
