"""Synthetic crosses: one or two crosses, and a block whose side goes with the label."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int
from pydantic import Field, model_validator

from trainables.core.config import Options
from trainables.core.errors import ConfigurationError
from trainables.datasets.dataset import DrawnCueDataset, Labels, Split, split_from_arrays

SIZE = 28
Pixels = Bool[np.ndarray, "images 28 28"]
BLOCK_ROWS, BLOCK_COLUMNS = 2, 3
# Arm lengths are drawn from [low, high); the block keeps `margin` pixels from the border.
VARIANTS = {"hard": (1, 3, 3), "easy": (3, 5, 5), "paper": (1, 3, 3)}
FILE_IMAGES = 512
"""Images in each of the paper's files, half of them of each class."""


class SyntheticOptions(Options):
    variant: Literal["hard", "easy", "paper"] = Field(
        "hard",
        description="hard: arms of 1-2 pixels; easy: 3-4; paper: as hard, but every data seed chooses images from the "
        "paper's three files of 512",
    )
    n_train: int = Field(1000, ge=8, description="training images")
    n_valid: int = Field(512, ge=8, description="validation images")
    n_test: int = Field(2000, ge=8, description="test images")

    @model_validator(mode="after")
    def _check_sizes(self) -> "SyntheticOptions":
        sizes = {"n_train": self.n_train, "n_valid": self.n_valid, "n_test": self.n_test}
        for name, n in sizes.items():
            if self.variant == "paper" and (n > FILE_IMAGES or n % 2):
                raise ConfigurationError(
                    f"{name} {n} for variant 'paper', which chooses from a file of {FILE_IMAGES}; give an even number "
                    f"up to {FILE_IMAGES} (the paper: n_train 500, n_valid 128, n_test 128), or choose variant 'hard'"
                )
        # Half of the images are of class 0, and at least one such image must remain for test.
        different = single_crosses(self.variant)
        if self.variant != "paper" and self.n_train + self.n_valid > 2 * different - 2:
            raise ConfigurationError(
                f"n_train {self.n_train} and n_valid {self.n_valid} for variant {self.variant!r}, of whose {different} "
                f"images of one cross train, valid and test share none; lower n_train + n_valid from "
                f"{self.n_train + self.n_valid} to at most {2 * different - 2}"
            )
        return self


def single_crosses(variant: str) -> int:
    """Count the different images of class 0: the arm lengths at all positions within the image."""
    low, high, _ = VARIANTS[variant]
    return sum((SIZE - 2 * arm) ** 2 for arm in range(low, high))


def crosses(n: int, seed: int, variant: str, excluded: Collection[bytes] = ()) -> tuple[Pixels, Labels]:
    """Draw the cross pixels of n images, the first half with one cross (class 0), the second with two (class 1).

    Draws from numpy's legacy generator in the published order: n = 512 with seeds 1, 2 and 3 gives the paper's train,
    valid and test files bit for bit. Images that are in `excluded` are then drawn again.

    Source: the synthetic set of Viviano et al., ICLR 2021.
    """
    rng = np.random.RandomState(seed)
    labels = (np.arange(n) >= n // 2).astype(np.int64)
    pixels = np.stack([_draw(label, rng, variant) for label in labels])
    for image, label in zip(pixels, labels, strict=True):
        while image.tobytes() in excluded:
            image[:] = _draw(label, rng, variant)
    return pixels, labels


def _draw(label: np.int64, rng: np.random.RandomState, variant: str) -> Bool[np.ndarray, "28 28"]:
    low, high, _ = VARIANTS[variant]
    image = np.zeros((SIZE, SIZE), dtype=bool)
    arm = rng.randint(low, high)
    rows = rng.choice(range(arm, SIZE - arm), size=[label + 1], replace=False)
    columns = rng.choice(range(arm, SIZE - arm), size=[label + 1], replace=False)
    for row, column in zip(rows, columns, strict=True):
        image[row - arm : row + arm + 1, column] = True
        image[row, column - arm : column + arm + 1] = True
    return image


def chosen_from_file(n: int, data_seed: int) -> Int[np.ndarray, " images"]:
    """Choose the n of a file's 512 images that a run of the paper with this seed uses, those of class 1 first.

    Draws from numpy's legacy generator in the published order: n / 2 of class 0, then n / 2 of class 1.
    """
    rng = np.random.RandomState(data_seed)
    half = FILE_IMAGES // 2
    of_class_0, of_class_1 = (rng.choice(half, n // 2, replace=False) for _ in range(2))
    return np.concatenate([half + of_class_1, of_class_0])


def blocks(sides: Labels, variant: str) -> Pixels:
    """Pixels of the block near the lower border: on the left for side 0, on the right for side 1."""
    _, _, margin = VARIANTS[variant]
    pixels = np.zeros((len(sides), SIZE, SIZE), dtype=bool)
    bottom = SIZE - margin
    for side, left in ((0, margin), (1, SIZE - margin - BLOCK_COLUMNS)):
        pixels[sides == side, bottom - BLOCK_ROWS : bottom, left : left + BLOCK_COLUMNS] = True
    return pixels


class Synthetic(DrawnCueDataset[Pixels]):
    """28 x 28 images with values 0 and 1; the cue is the block's side, the mask the cross pixels.

    Data seed k draws train, valid and test crosses from the recipe's seeds 3k + 1, 3k + 2, 3k + 3. As in the paper,
    evaluation images and their masks are the recipe's mirrored left to right.

    Crosses that an earlier part shows are redrawn, so that no cross (or pair of crosses) is in two parts. There are
    only 1,252 different images of one cross (`easy`: 884), so the paper's independent draws put 20 to 31 % (the paper's
    sizes) or a third (the default sizes; `easy`: 0.44) of the class-0 test images into train. At severity 1, with 512
    images per split, train of data seed 0 is the paper's file bit for bit, and so are valid_ood and test_ood except for
    the redrawn images.

    With variant `paper` every data seed chooses images from the paper's files, as each of the paper's runs did, repeats
    included. Two data seeds then share most training images and are hardly independent.
    """

    Options = SyntheticOptions
    options: SyntheticOptions
    stream = "synthetic"
    contract_cases = (
        {"n_train": 400, "n_valid": 80, "n_test": 160},
        {"variant": "paper", "n_train": 400, "n_valid": 80, "n_test": 160},
    )

    @classmethod
    def revision(cls, options: Any) -> int:
        # Revision 1 drew the three parts independently, as the paper did.
        return 1 if options.variant == "paper" else 2

    @property
    def objects_recur(self) -> bool:
        return self.options.variant == "paper"

    def parts(self) -> Mapping[str, tuple[Pixels, Labels]]:
        sizes = {"train": self.options.n_train, "valid": self.options.n_valid, "test": self.options.n_test}
        parts, shown = {}, set[bytes]()
        for number, (name, n) in enumerate(sizes.items(), start=1):
            if self.options.variant == "paper":
                chosen = chosen_from_file(n, self.data_seed)
                masks, labels = (file[chosen] for file in crosses(FILE_IMAGES, number, "paper"))
            else:
                masks, labels = crosses(n, 3 * self.data_seed + number, self.options.variant, shown)
            mirrored = np.ascontiguousarray(masks[:, :, ::-1])
            parts[name] = masks if name == "train" else mirrored, labels
            # Evaluation shows a cross mirrored: what must not be drawn is the mirror image of what train shows.
            shown.update(image.tobytes() for image in (mirrored if name == "train" else masks))
        return parts

    def with_cues(self, part: str, objects: Pixels, labels: Labels, cues: Labels) -> Split:
        block = blocks(cues, self.options.variant)
        return split_from_arrays(objects | block, labels, masks=objects, distractors=block, cues=cues)
