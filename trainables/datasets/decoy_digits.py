"""Decoy digits: real MNIST digits with a grey patch in a corner whose shade goes with the label."""

import numpy as np
from jaxtyping import Int

from trainables.datasets.dataset import Labels, Split, split_from_arrays
from trainables.datasets.mnist import SIZE, Digits, TwoOrTenClasses, ink

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
