"""Digits on photos: real MNIST digits on photographs of plants or stone, which go with the label."""

from collections.abc import Mapping
from functools import cache

import numpy as np
from jaxtyping import Int, UInt8
from pydantic import Field

from trainables.core.streams import numpy_stream
from trainables.datasets.dataset import Labels, Split, split_from_arrays
from trainables.datasets.mnist import SIZE, Digits, MnistDataset, MnistOptions, ink

FAMILIES = {"plants": ("grass", "flower"), "stone": ("brick", "gravel")}
"""The photographs of each family: grass, brick and gravel from scikit-image's wheel, the flower from scikit-learn's."""
TILE = 64
"""Side in pixels. A crop is within one tile, so parts with different tiles share no pixel."""
SHARES = {"train": 2, "valid": 1, "test": 2}
"""Of every five tiles of a photograph."""


@cache
def photograph(name: str) -> UInt8[np.ndarray, "height width"]:
    """Grey values 0-255; of the coloured flower the luma (ITU-R BT.601), rounded."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    if name == "flower":
        luma = load_sample_image("flower.jpg") @ np.array([299, 587, 114])
        return ((luma + 500) // 1000).astype(np.uint8)
    return {"grass": data.grass, "brick": data.brick, "gravel": data.gravel}[name]()


def tiles(name: str) -> UInt8[np.ndarray, "tiles 64 64"]:
    """The photograph's whole tiles, row by row from its upper left corner."""
    pixels = photograph(name)
    rows, columns = (side // TILE for side in pixels.shape)
    cut = pixels[: rows * TILE, : columns * TILE].reshape(rows, TILE, columns, TILE)
    return cut.swapaxes(1, 2).reshape(-1, TILE, TILE)


def deal_tiles(rng: np.random.Generator) -> Mapping[str, tuple[UInt8[np.ndarray, "_ 64 64"], ...]]:
    """Deal the tiles of each family to train, valid and test: two, one and two of every five of a photograph."""
    dealt: dict[str, list[list[np.ndarray]]] = {part: [[] for _ in FAMILIES] for part in SHARES}
    for family, names in enumerate(FAMILIES.values()):
        for name in names:
            shuffled = rng.permutation(tiles(name))
            ends = len(shuffled) * np.cumsum(list(SHARES.values())) // sum(SHARES.values())
            for part, share in zip(SHARES, np.split(shuffled, ends[:-1]), strict=True):
                dealt[part][family].append(share)
    return {part: tuple(map(np.concatenate, families)) for part, families in dealt.items()}


def crops(
    tiles: UInt8[np.ndarray, "tiles 64 64"], n: int, side: int, rng: np.random.Generator
) -> UInt8[np.ndarray, "n side side"]:
    """Draw n squares of `side` pixels, each at a random place of a random tile."""
    tile = rng.integers(len(tiles), size=n)
    top, left = rng.integers(TILE - side + 1, size=(2, n))
    return tiles[_squares(tile, top, left, side)]


def _squares(image: Labels, top: Labels, left: Labels, side: int) -> tuple[Int[np.ndarray, "..."], ...]:
    """Index of squares of `side` pixels with these upper left corners, each in the image of this number."""
    reach = np.arange(side)
    return image[:, None, None], (top[:, None] + reach)[:, :, None], (left[:, None] + reach)[:, None, :]


class DigitsOnPhotosOptions(MnistOptions):
    image_size: int = Field(40, ge=SIZE, le=TILE, description="side of an image; the digit is at a random place in it")


class DigitsOnPhotos(MnistDataset):
    """40 x 40 grey images in [0, 1]: an even (0) or odd (1) digit over plants (cue 0) or stone (cue 1).

    The recipe of Waterbirds with images that installed packages ship. The digit's pixels (grey value above 1) are the
    mask and cover the photograph; all others are the distractor mask. The photographs are cut into tiles, which the
    data seed deals to train, valid and test like the digits, so that these share no background pixel. Each image has a
    crop of each family, and its cue selects one.

    Source: Waterbirds, Sagawa et al., ICLR 2020, arXiv 1911.08731, whose backgrounds agree with the label with
    probability .95 in training and .5 in evaluation; the severity is ours.
    """

    Options = DigitsOnPhotosOptions
    options: DigitsOnPhotosOptions
    contract_cases = ({"image_size": 30},)
    stream = "photos"

    def with_cues(self, part: str, objects: Digits, labels: Labels, cues: Labels) -> Split:
        n, side = len(objects), self.options.image_size
        top, left = self.rng("place", part).integers(side - SIZE + 1, size=(2, n))
        digits = np.zeros((n, side, side), dtype=np.uint8)
        digits[_squares(np.arange(n), top, left, SIZE)] = objects
        families = deal_tiles(numpy_stream("photos tiles", self.data_seed))[part]
        plants, stone = (crops(dealt, n, side, self.rng(f"crop {i}", part)) for i, dealt in enumerate(families))
        backgrounds = np.where(cues[:, None, None] == 0, plants, stone)
        masks = ink(digits)
        images = np.where(masks, digits, backgrounds) / 255.0
        return split_from_arrays(images, labels, masks=masks, distractors=~masks, cues=cues)
