"""Synthetic crosses: one cross or two, and a block whose side goes with the label."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int
from pydantic import Field

from trainables.config import Options
from trainables.datasets.dataset import Dataset, Split, agreement, assign_cues, split_from_arrays
from trainables.streams import numpy_stream

SIZE = 28
BLOCK_ROWS, BLOCK_COLUMNS = 2, 3
# Arm lengths are drawn from [low, high); the block keeps `margin` pixels from the border.
VARIANTS = {"hard": (1, 3, 3), "easy": (3, 5, 5)}


class SyntheticOptions(Options):
    variant: Literal["hard", "easy"] = Field("hard", description="hard: arms of 1-2 pixels; easy: 3-4")
    n_train: int = Field(1000, ge=8, description="training images")
    n_valid: int = Field(512, ge=8, description="validation images")
    n_test: int = Field(2000, ge=8, description="test images")


def crosses(n: int, seed: int, variant: str) -> tuple[Bool[np.ndarray, "images 28 28"], Int[np.ndarray, " images"]]:
    """Cross pixels of n images, the first half with one cross (class 0), the second with two (class 1).

    Draws from numpy's legacy generator in the order of the published recipe, so that n = 512 with seeds 1, 2 and 3
    gives the paper's train, valid and test files bit for bit.

    Source: the synthetic set of Viviano et al., ICLR 2021.
    """
    low, high, _ = VARIANTS[variant]
    rng = np.random.RandomState(seed)
    pixels = np.zeros((n, SIZE, SIZE), dtype=bool)
    labels = (np.arange(n) >= n // 2).astype(np.int64)
    for image, label in zip(pixels, labels, strict=True):
        arm = rng.randint(low, high)
        rows = rng.choice(range(arm, SIZE - arm), size=[label + 1], replace=False)
        columns = rng.choice(range(arm, SIZE - arm), size=[label + 1], replace=False)
        for row, column in zip(rows, columns, strict=True):
            image[row - arm : row + arm + 1, column] = True
            image[row, column - arm : column + arm + 1] = True
    return pixels, labels


def blocks(sides: Int[np.ndarray, " images"], variant: str) -> Bool[np.ndarray, "images 28 28"]:
    """Pixels of the 2 x 3 block near the lower border: on the left for side 0, on the right for side 1."""
    _, _, margin = VARIANTS[variant]
    pixels = np.zeros((len(sides), SIZE, SIZE), dtype=bool)
    bottom = SIZE - margin
    for side, left in ((0, margin), (1, SIZE - margin - BLOCK_COLUMNS)):
        pixels[sides == side, bottom - BLOCK_ROWS : bottom, left : left + BLOCK_COLUMNS] = True
    return pixels


class Synthetic(Dataset):
    """28 x 28 images with values 0 and 1; the cue is the block's side, the mask the cross pixels.

    Data seed k draws train, valid and test crosses from the recipe's seeds 3k + 1, 3k + 2, 3k + 3: data seed 0 has
    the paper's. As in the paper the crosses of evaluation images (and their masks) are the recipe's mirrored
    left to right; so at severity 1, with 512 images a split, train, valid_ood and test_ood of data seed 0 are the
    paper's files bit for bit, and valid_id and test_id differ from their twins in the block's side alone.
    A cross may touch the block; such pixels belong to the mask, not to the distractor mask.
    """

    Options = SyntheticOptions
    options: SyntheticOptions

    def splits(self) -> Mapping[str, Split]:
        sizes = {"train": self.options.n_train, "valid": self.options.n_valid, "test": self.options.n_test}
        splits = {}
        for part, (name, n) in enumerate(sizes.items(), start=1):
            masks, labels = crosses(n, 3 * self.data_seed + part, self.options.variant)
            if name == "train":
                splits["train"] = self._split(name, masks, labels, out_of_distribution=False)
            else:
                mirrored = np.ascontiguousarray(masks[:, :, ::-1])
                splits[f"{name}_id"] = self._split(name, mirrored, labels, out_of_distribution=False)
                splits[f"{name}_ood"] = self._split(name, mirrored, labels, out_of_distribution=True)
        return splits

    def _split(
        self,
        name: str,
        masks: Bool[np.ndarray, "images 28 28"],
        labels: Int[np.ndarray, " images"],
        out_of_distribution: bool,
    ) -> Split:
        probability = agreement(self.severity, self.classes, out_of_distribution)
        # One stream a part, whatever the severity: twins and severities share which images are the first to agree.
        sides = assign_cues(labels, self.classes, probability, numpy_stream("synthetic cue", name, self.data_seed))
        block = blocks(sides, self.options.variant)
        return split_from_arrays((masks | block).astype(np.float32), labels, masks, block, sides)
