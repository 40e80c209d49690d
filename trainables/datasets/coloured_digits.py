"""Coloured digits: real MNIST digits whose colour goes with the label. No mask separates digit and cue."""

from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt8
from pydantic import Field

from trainables.core.config import Options
from trainables.datasets.dataset import Split, split_from_arrays
from trainables.datasets.mnist import MnistDataset, ink


class ColouredDigitsOptions(Options):
    classes: Literal[2, 10] = Field(2, description="2: even (0) against odd (1); 10: the digits themselves")


def colours(classes: int) -> Float[np.ndarray, "classes 3"]:
    """Red, green and blue in [0, 1] of each class: (1 + cos 2π(k / K − c / 3)) / 2 for class k and channel c.

    The hues are evenly spaced, and each has a channel mean of 1/2, so that a grey copy of the image reveals nothing of
    the cue. With two classes, red and cyan.
    """
    turns = np.arange(classes)[:, None] / classes - np.arange(3)[None, :] / 3
    return (1 + np.cos(2 * np.pi * turns)) / 2


class ColouredDigits(MnistDataset):
    """28 x 28 digits in three channels, black around; the cue is the digit's colour.

    The negative control: the cue is inside the mask (grey value above 1), so neither training inside it nor attribution
    that falls on it says anything about the shortcut. The distractor mask is the mask. The data seed deals the 5,000
    digits into 2,000 train, 1,000 valid and 2,000 test images, disjoint and balanced over the ten digits.

    Source: the Colored MNIST of Arjovsky et al. 2019, arXiv 1907.02893 (two colours, and noise in the labels, which
    is left out here); ten hues as in Rieger et al., ICML 2020; the severity is ours.
    """

    Options = ColouredDigitsOptions
    options: ColouredDigitsOptions
    cue_location = "object"
    stream = "coloured"

    @property
    def classes(self) -> int:
        return self.options.classes

    def _with_cue(
        self,
        part: str,
        pixels: UInt8[np.ndarray, "images 28 28"],
        labels: Int[np.ndarray, " images"],
        cues: Int[np.ndarray, " images"],
    ) -> Split:
        masks = ink(pixels)
        grey = np.where(masks, pixels, 0) / 255.0
        images = colours(self.classes)[cues][:, :, None, None] * grey[:, None]
        split = split_from_arrays(images, labels, masks, masks, cues)
        return replace(split, distractors=split.masks)
