"""Decoy digits: real MNIST digits with a grey patch in a corner whose shade goes with the label."""

from typing import Literal

import numpy as np
from jaxtyping import Int, UInt8
from pydantic import Field

from trainables.core.config import Options
from trainables.datasets.dataset import Split, split_from_arrays
from trainables.datasets.mnist import SIZE, MnistDataset, ink

PATCH = 4
BRIGHTEST, DARKEST = 255, 30


class DecoyDigitsOptions(Options):
    classes: Literal[2, 10] = Field(2, description="2: even (0) against odd (1); 10: the digits themselves")


def shades(classes: int) -> Int[np.ndarray, " classes"]:
    """The patch's grey value for each class, evenly from 255 down to 30; with ten classes 255 − 25 · digit."""
    return np.linspace(BRIGHTEST, DARKEST, classes).round().astype(np.int64)


class DecoyDigits(MnistDataset):
    """28 x 28 grey digits in [0, 1]; the cue is the shade of a 4 x 4 patch in a random corner.

    The mask is the digit's pixels (grey value above 1) that the patch leaves visible, the distractor mask the patch.
    The data seed deals the 5,000 digits into 2,000 train, 1,000 valid and 2,000 test images, disjoint and balanced
    over the ten digits. With two classes, even against odd.

    Source: Ross, Hughes & Doshi-Velez, IJCAI 2017 (patch and grey values); the severity is ours.
    """

    Options = DecoyDigitsOptions
    options: DecoyDigitsOptions
    contract_cases = ({}, {"classes": 10})
    stream = "decoy"

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
        corners = self._rng("corner", part).integers(4, size=len(pixels))
        patch = np.zeros(pixels.shape, dtype=bool)
        far = SIZE - PATCH
        for corner, (top, left) in enumerate(((0, 0), (0, far), (far, 0), (far, far))):
            patch[corners == corner, top : top + PATCH, left : left + PATCH] = True
        images = np.where(patch, shades(self.classes)[cues][:, None, None], pixels)
        return split_from_arrays(images / 255.0, labels, ink(pixels) & ~patch, patch, cues)
