"""The tensors that methods and models exchange."""

from dataclasses import dataclass
from typing import NamedTuple

import torch

from trainables.core.shapes import Features, Images, Labels, Logits, Pixels, Scalar

IMAGES_AT_ONCE = 64
"""Images per forward pass outside training, few enough for their maps to stay in the processor's cache: with 512,
small_cnn takes up to three times as long per image."""


class Output(NamedTuple):
    """The output of every model: class scores, and the features they are linear in."""

    logits: Logits
    features: Features


@dataclass(frozen=True)
class Batch:
    """Images, their labels, and masks that are True on the pixels a prediction may rest on."""

    images: Images
    labels: Labels
    masks: Pixels
    rng: torch.Generator
    """The source of all randomness in a method."""
    cues: Labels | None = None
    """The class that each image's cue points to, for methods with `needs_cues`."""


@dataclass(frozen=True)
class Loss:
    """The two terms of a method's loss, and whether this batch updates the model.

    total = classification + strength * penalty
    """

    classification: Scalar
    penalty: Scalar
    updates_model: bool = True
