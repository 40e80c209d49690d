"""The tensors that methods and models exchange."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from trainables.core.shapes import Features, Images, Labels, Logits, Pixels, Scalar

MOST_AT_ONCE, FEWEST_AT_ONCE = 64, 4
PIXELS_AT_ONCE = MOST_AT_ONCE * 64 * 64


def at_once(shape: torch.Size, device: torch.device) -> int:
    """How many images of this shape pass a network on this device together outside training.

    A GPU takes 64. A processor takes fewer large ones, whose feature maps then stay in its cache: 64 up to 64 x 64
    pixels, 5 of 224 x 224.
    """
    if device.type != "cpu":
        return MOST_AT_ONCE
    return min(MOST_AT_ONCE, max(FEWEST_AT_ONCE, PIXELS_AT_ONCE // (shape[-2] * shape[-1])))


def parts(n: int, shape: torch.Size, device: torch.device) -> Iterator[slice]:
    """Consecutive parts of n items, each for one pass of images of this shape; one empty part if n is 0.

    The logits of an image by itself differ in their last bits from those in a batch of any size. So one is alone only
    where it would be with 64 at once, and results do not depend on the device's number.
    """
    for start in range(0, max(1, n), MOST_AT_ONCE):
        block = min(MOST_AT_ONCE, n - start)
        edges = np.linspace(start, start + block, max(1, math.ceil(block / at_once(shape, device))) + 1).astype(int)
        yield from map(slice, edges[:-1], edges[1:])


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
