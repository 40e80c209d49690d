"""The tensors that methods and models exchange."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

IMAGES_AT_ONCE = 64
"""Images of a forward pass outside training. Their maps stay in a processor's cache: 512 take up to three times as long
each on small_cnn."""


class Output(NamedTuple):
    """What every model returns: class scores and the features they are a linear function of."""

    logits: Float[Tensor, "batch classes"]
    features: Float[Tensor, "batch features"]


@dataclass(frozen=True)
class Batch:
    """Images, their labels, and True on the pixels that a prediction may rest on."""

    images: Float[Tensor, "batch channels height width"]
    labels: Int[Tensor, " batch"]
    masks: Bool[Tensor, "batch 1 height width"]
    rng: torch.Generator
    """Source of everything random in a method."""
    cues: Int[Tensor, " batch"] | None = None
    """The class that each image's cue points to; methods with `needs_cues` need it."""


@dataclass(frozen=True)
class Loss:
    """The two terms of a method's loss, and whether this batch updates the model at all.

    total = classification + strength * penalty
    """

    classification: Float[Tensor, ""]
    penalty: Float[Tensor, ""]
    updates_model: bool = True
