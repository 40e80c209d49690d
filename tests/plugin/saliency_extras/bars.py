"""Bars: does it lie or stand? In training a white square in a corner gives the answer away."""

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from trainables.core.config import Options
from trainables.core.streams import numpy_stream
from trainables.datasets import Dataset, Split
from trainables.datasets.dataset import agreement, assign_cues, split_from_arrays


class BarsOptions(Options):
    n_images: int = Field(96, ge=8, multiple_of=4, description="images of each split")


class Bars(Dataset):
    """28 x 28; a speckled bar lies (class 0) or stands (1), and is the mask; the cue is the side of a white square."""

    Options = BarsOptions
    options: BarsOptions

    def splits(self) -> Mapping[str, Split]:
        twins = {"valid_id": "valid", "valid_ood": "valid", "test_id": "test", "test_ood": "test"}
        return {name: self._split(part, name.endswith("_ood")) for name, part in {"train": "train", **twins}.items()}

    def _split(self, part: str, out_of_distribution: bool) -> Split:
        rng = numpy_stream("bars", part, self.data_seed)
        labels = np.arange(self.options.n_images) % 2
        masks = np.zeros((len(labels), 28, 28), dtype=bool)
        for mask, label in zip(masks, labels, strict=True):
            top, left = rng.integers(2, 12, size=2)
            height, width = (5, 12) if label == 0 else (12, 5)
            mask[top : top + height, left : left + width] = True
        speckles = rng.uniform(0.3, 1.0, size=masks.shape)
        cues = assign_cues(labels, 2, agreement(self.severity, 2, out_of_distribution), rng)
        squares = np.zeros_like(masks)
        squares[cues == 0, -4:, :4] = True
        squares[cues == 1, -4:, -4:] = True
        return split_from_arrays(np.where(squares, 1.0, masks * speckles), labels, masks, squares, cues)
