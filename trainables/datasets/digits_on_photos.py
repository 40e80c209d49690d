"""Digits on photos: real MNIST digits on photographs of plants or of stone, which go with the label."""

import numpy as np
from jaxtyping import Int, UInt8
from pydantic import Field

from trainables.core.config import Options
from trainables.core.streams import numpy_stream
from trainables.datasets.dataset import Split, split_from_arrays
from trainables.datasets.mnist import SIZE, MnistDataset, ink
from trainables.datasets.photographs import TILE, crops, deal_tiles, placed


class DigitsOnPhotosOptions(Options):
    image_size: int = Field(40, ge=SIZE, le=TILE, description="side of an image; the digit is at a random place in it")


class DigitsOnPhotos(MnistDataset):
    """40 x 40 grey images in [0, 1]: an even (0) or odd (1) digit over plants (cue 0) or stone (cue 1).

    The recipe of Waterbirds with what installed packages hold. The digit's pixels (grey value above 1) are the mask,
    and cover the photograph; all others are the distractor mask. The photographs are cut into tiles, which the data
    seed deals to train, valid and test as it deals the digits: no two of these share a pixel of background. Each
    image has a crop of either family and its cue says which one is seen, so test_id and test_ood show the same digits
    at the same places and differ in the background alone.

    Source: Waterbirds, Sagawa et al., ICLR 2020, arXiv 1911.08731, whose backgrounds agree with the label with
    probability .95 in training and .5 in evaluation; the severity is ours.
    """

    Options = DigitsOnPhotosOptions
    options: DigitsOnPhotosOptions
    stream = "photos"

    def _with_cue(
        self,
        part: str,
        pixels: UInt8[np.ndarray, "images 28 28"],
        labels: Int[np.ndarray, " images"],
        cues: Int[np.ndarray, " images"],
    ) -> Split:
        n, side = len(pixels), self.options.image_size
        top, left = self._rng("place", part).integers(side - SIZE + 1, size=(2, n))
        digits = placed(pixels, side, top, left)
        families = deal_tiles(numpy_stream("photos tiles", self.data_seed))[part]
        plants, stone = (crops(own, n, side, self._rng(f"crop {i}", part)) for i, own in enumerate(families))
        backgrounds = np.where(cues[:, None, None] == 0, plants, stone)
        masks = ink(digits)
        return split_from_arrays(np.where(masks, digits, backgrounds) / 255.0, labels, masks, ~masks, cues)
