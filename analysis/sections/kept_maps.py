"""The images and attribution maps that a trial kept, read from its sweep's storage."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from analysis.trials.scores import COMPLEMENTS
from analysis.trials.trials import Primary
from records import SweepRecords
from records.arrays import LARGEST_ARCHIVE, Arrays
from records.storage_interface import TooLargeError
from records.store import MAPS

_REPRODUCED = 0.02
"""Largest mean error in IoU of reconstructed pixels that are taken for the scored ones."""


@dataclass(frozen=True, eq=False)
class KeptMap:
    """An image that a trial kept, with its map by one attribution; None for what an older trial did not keep."""

    image: NDArray[np.float64]
    """[H, W] or [H, W, 3] in 0..1."""
    mask: NDArray[np.bool_]
    distractor: NDArray[np.bool_]
    """The cue; all False where the dataset does not know it."""
    map: NDArray[np.float64]
    region: NDArray[np.bool_] | None
    """The pixels of the map that IoU compares with the mask."""
    score: float | None
    """Of the primary's metric, higher is better."""
    class_number: int
    label: str
    """The class in words, or its number."""
    predicted: str | None
    correct: bool | None
    index: int | None
    """The image's position in the split."""

    @property
    def answer(self) -> str:
        """The predicted class and whether it is right; only the latter for older trials."""
        if self.correct is None:
            return ""
        sign, word = ("✓", "right") if self.correct else ("✗", "wrong")
        return f"{sign} {word if self.predicted is None else f'predicted {self.predicted}'}"


def read_maps(records: SweepRecords, trial_key: str, primary: Primary) -> list[KeptMap]:
    """The maps of the primary's attribution that a trial kept; none if it kept none or they cannot be read."""
    try:
        data = records.read_artifact(trial_key, MAPS, LARGEST_ARCHIVE)
        return [] if data is None else _kept_maps(Arrays(data), primary)
    except (ArithmeticError, LookupError, TypeError, ValueError, TooLargeError):  # damaged, or another program's
        return []


def _kept_maps(file: Mapping[str, Any], primary: Primary) -> list[KeptMap]:
    # The analysis uses the complement of a metric of which less is better.
    measured = {complement: metric for metric, complement in COMPLEMENTS.items()}.get(primary.metric, primary.metric)
    split, attribution = primary.split, primary.attribution
    images = displayed(file[f"{split}.images"])

    def kept(name: str, convert: Callable[[Any], Any], default: Any = None) -> list[Any]:
        """The value of each image, or the default where it was not kept; more images are scored than kept."""
        name = f"{split}.{name}"
        return list(map(convert, file[name][: len(images)])) if name in file else [default] * len(images)

    masks = file[f"{split}.masks"].astype(bool)
    maps = np.nan_to_num(file[f"{split}.map.{attribution}"].astype(np.float64))
    names = file.get("class_names")
    has_classes = f"{split}.scored.labels" in file
    classes = kept("scored.labels", int) if has_classes else list(map(int, file["labels"][: len(images)]))
    regions = kept(f"region.{attribution}", np.asarray)
    if f"{split}.region.{attribution}" not in file:
        regions = list(reproduced(maps, masks, np.asarray(kept(f"scored.iou.{attribution}", float, np.nan))))
    distractors = kept("distractors", lambda cue: cue.astype(bool), np.zeros(masks.shape[1:], dtype=bool))
    scores = kept(f"scored.{measured}.{attribution}", float, np.nan)
    predicted, correct = kept("scored.predicted", int), kept("scored.correct", bool)
    index = kept("scored.index", int)

    def word(number: int | None) -> str | None:
        return None if number is None else str(number if names is None else names[number])

    if measured != primary.metric:
        scores = [1 - score for score in scores]
    known = [None if np.isnan(score) else score for score in scores]
    labels, answers = map(word, classes), map(word, predicted)
    drawn = (*masks, *distractors, *maps, *(region for region in regions if region is not None))
    if {each.shape for each in drawn} != {images.shape[1:3]}:
        raise ValueError("images, masks and maps differ in size")
    values = images, masks, distractors, maps, regions, known, classes, labels, answers, correct, index
    return [KeptMap(*of_image) for of_image in zip(*values, strict=True)]


def displayed(images: np.ndarray) -> NDArray[np.float64]:
    """[N, H, W] or [N, H, W, 3] in 0..1 from [N, C, H, W]."""
    shown = np.nan_to_num(images.astype(np.float64)).clip(0, 1)
    return shown.transpose(0, 2, 3, 1) if shown.shape[1] == 3 else shown.mean(axis=1)


def reproduced(
    maps: NDArray[np.float64], masks: NDArray[np.bool_], iou: NDArray[np.float64]
) -> Sequence[NDArray[np.bool_] | None]:
    """[images, H, W] the pixels from which these IoUs were computed, for trials that did not keep them.

    Those trials scored a map either as it is or, if it is made of gradients, after a blur of one pixel. The result is
    the variant that reproduces the IoUs; None for each image if neither does.
    """
    known = ~np.isnan(iou)
    if not known.any():
        return [None] * len(maps)
    blurred = np.asarray(gaussian_filter(maps, sigma=(0, 1, 1), mode="constant", truncate=3.5))
    regions = [strongest(variant, masks.sum(axis=(1, 2))) for variant in (maps, blurred)]
    overlaps = [(r & masks).sum(axis=(1, 2)) / np.maximum((r | masks).sum(axis=(1, 2)), 1) for r in regions]
    errors = [np.abs(values - iou)[known].mean() for values in overlaps]
    return list(regions[int(np.argmin(errors))]) if min(errors) <= _REPRODUCED else [None] * len(maps)


def strongest(values: NDArray[np.float64], n: NDArray[np.intp], *, ties: bool = False) -> NDArray[np.bool_]:
    """[images, H, W] the n largest values of each image above zero; of those tied for the last place all or none.

    IoU selects the pixels of a map without ties.
    """
    ordered = np.sort(values.reshape(len(values), -1), axis=1)[:, ::-1]
    place = np.clip(n - 1 if ties else n, 0, ordered.shape[1] - 1)
    limit = np.take_along_axis(ordered, place[:, None], axis=1)[:, :, None]
    return np.asarray((values >= limit if ties else values > limit) & (values > 0))
