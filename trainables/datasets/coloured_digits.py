"""Coloured digits: real MNIST digits whose colour goes with the label. No mask separates digit and cue."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from trainables.core.departure import Departure
from trainables.datasets.dataset import Labels, Split, split_from_arrays
from trainables.datasets.mnist import Digits, TwoOrTenClasses, ink


def colours(classes: int) -> Float[np.ndarray, "classes 3"]:
    """Red, green and blue in [0, 1] of each class: (1 + cos 2π(k / K − c / 3)) / 2 for class k and channel c.

    The hues are evenly spaced, and each has a channel mean of 1/2, so that a grey copy of the image does not reveal the
    cue. With two classes, red and cyan.
    """
    turns = np.arange(classes)[:, None] / classes - np.arange(3)[None, :] / 3
    return (1 + np.cos(2 * np.pi * turns)) / 2


class ColouredDigits(TwoOrTenClasses):
    """28 x 28 digits in three channels, black around; the cue is the digit's colour.

    The negative control: the cue is inside the mask (grey value above 1), so neither training inside it nor attribution
    that falls on it says anything about the shortcut. The distractor mask is the mask.

    Source: the Colored MNIST of Arjovsky et al. 2019, arXiv 1907.02893, of two colours; ten hues as in Rieger et al.,
    ICML 2020; the severity is ours.
    """

    departures = (
        Departure(
            "a quarter of the labels are flipped at random",
            "none are, so that a model that looks at the digit alone can be right on every image",
            "none",
        ),
    )
    cue_location = "object"
    stream = "coloured"

    def with_cues(self, part: str, objects: Digits, labels: Labels, cues: Labels) -> Split:
        masks = ink(objects)
        grey = np.where(masks, objects, 0) / 255.0
        images = colours(self.classes)[cues][:, :, None, None] * grey[:, None]
        split = split_from_arrays(images, labels, masks=masks, distractors=masks, cues=cues)
        return replace(split, distractors=split.masks)
