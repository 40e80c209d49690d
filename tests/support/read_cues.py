"""The cue of each image, read from the pixels: an independent check of the cues that datasets report."""

from collections.abc import Callable
from functools import cache

import numpy as np

from trainables.datasets import Split
from trainables.datasets.digits_on_photos import FAMILIES, photograph

UNREADABLE = -1
"""The value if the object covers the cue."""
RUN = 24
"""Length of the runs of pixels that are searched in the photographs."""


def synthetic(split: Split, classes: int) -> np.ndarray:
    """The side with a whole block; unreadable if crosses fill the other side too."""
    images = split.images[:, 0].numpy()
    left, right = (images[:, 23:25, c : c + 3].all(axis=(1, 2)) for c in (3, 22))
    return np.where(left == right, UNREADABLE, right.astype(int))


def decoy_digits(split: Split, classes: int) -> np.ndarray:
    """The shade of the corner of 4 x 4 pixels with a single grey value above 0."""
    grey = np.rint(split.images[:, 0].numpy() * 255).astype(int)
    corners = np.stack(
        [grey[:, r, c].reshape(-1, 16) for r in (slice(4), slice(24, 28)) for c in (slice(4), slice(24, 28))]
    )
    flat = (corners.min(axis=2) == corners.max(axis=2)) & (corners.min(axis=2) > 0)
    shade = np.where(flat, corners.max(axis=2), 0).max(axis=0)
    cue = (shade == 30).astype(int) if classes == 2 else (255 - shade) // 25
    return np.where(flat.sum(axis=0) == 1, cue, UNREADABLE)


def coloured_digits(split: Split, classes: int) -> np.ndarray:
    """The hue of the brightest pixel, as an angle."""
    images = split.images.numpy()
    brightest = images.sum(axis=1).reshape(len(images), -1).argmax(axis=1)
    red, green, blue = images.reshape(len(images), 3, -1)[np.arange(len(images)), :, brightest].T
    turn = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue) / (2 * np.pi)
    return np.rint(turn * classes).astype(int) % classes


def digits_on_photos(split: Split, classes: int) -> np.ndarray:
    """The family of photographs that contains the image's first row without ink."""
    free = ~split.masks[:, 0].numpy().any(axis=2)
    rows = split.images[:, 0].numpy()[np.arange(len(free)), free.argmax(axis=1), :RUN]
    run = run_hashes(np.rint(rows * 255), RUN)[:, 0]
    in_family = np.stack([hashes[np.searchsorted(hashes, run) % len(hashes)] == run for hashes in _runs_of_families()])
    cue = np.where(in_family[0], 0, 1)
    return np.where(free.any(axis=1) & (in_family.sum(axis=0) == 1), cue, UNREADABLE)


@cache
def _runs_of_families() -> list[np.ndarray]:
    """The sorted hashes of all horizontal runs of pixels in the photographs of each family."""
    return [
        np.unique(np.concatenate([run_hashes(photograph(n), RUN).ravel() for n in names]))
        for names in FAMILIES.values()
    ]


def run_hashes(rows: np.ndarray, width: int) -> np.ndarray:
    """A 64-bit number for each run of `width` values in each row: their sum with large odd weights, modulo 2^64."""
    rows = rows.astype(np.uint64)
    weights = np.random.default_rng(0).integers(2**63, size=width, dtype=np.uint64) * 2 + 1
    starts = rows.shape[1] - width + 1
    return sum(rows[:, i : i + starts] * weight for i, weight in enumerate(weights))


def waterbirds(split: Split, classes: int) -> np.ndarray:
    """Whether the background of the bird is green or blue (in tests/support/tiny_waterbirds.py)."""
    images, around = split.images.numpy(), split.distractors.numpy()
    _, green, blue = (np.where(around[:, 0], images[:, c], 0).sum(axis=(1, 2)) for c in range(3))
    return (blue > green).astype(int)


READ_CUES: dict[str, Callable[[Split, int], np.ndarray]] = {
    "coloured_digits": coloured_digits,
    "decoy_digits": decoy_digits,
    "digits_on_photos": digits_on_photos,
    "synthetic": synthetic,
    "waterbirds": waterbirds,
}
