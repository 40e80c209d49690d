"""The tensors that methods and models exchange."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

IMAGES_AT_ONCE = 64
"""Images per forward pass outside training, few enough for their maps to stay in the processor's cache: with 512,
small_cnn takes up to three times as long per image."""


class Output(NamedTuple):
    """The output of every model: class scores, and the features they are linear in."""

    logits: Float[Tensor, "batch classes"]
    features: Float[Tensor, "batch features"]


@dataclass(frozen=True)
class Batch:
    """Images, their labels, and masks that are True on the pixels a prediction may rest on."""

    images: Float[Tensor, "batch channels height width"]
    labels: Int[Tensor, " batch"]
    masks: Bool[Tensor, "batch 1 height width"]
    rng: torch.Generator
    """The source of all randomness in a method."""
    cues: Int[Tensor, " batch"] | None = None
    """The class that each image's cue points to, for methods with `needs_cues`."""


@dataclass(frozen=True)
class Loss:
    """The two terms of a method's loss, and whether this batch updates the model.

    total = classification + strength * penalty
    """

    classification: Float[Tensor, ""]
    penalty: Float[Tensor, ""]
    updates_model: bool = True
