"""The images and attribution maps that a trial kept, read from its sweep's storage."""

import io
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from analysis.trials.scores import COMPLEMENTS
from analysis.trials.trials import Primary
from records import SweepRecords
from records.store import MAPS

_REPRODUCED = 0.02
"""Largest mean error in IoU of reconstructed pixels that are taken for the scored ones."""


@dataclass(frozen=True)
class TrialMaps:
    """The N images that a trial kept and their maps by one attribution; None for what an older trial did not keep."""

    images: NDArray[np.float64]
    """[N, H, W] or [N, H, W, 3] in 0..1."""
    masks: NDArray[np.bool_]
    distractors: NDArray[np.bool_]
    """The cue; all False where the dataset does not know it."""
    maps: NDArray[np.float64]
    regions: NDArray[np.bool_] | None
    """[N, H, W] the pixels of the maps that IoU compares with the mask."""
    scores: NDArray[np.float64]
    """[N] of the primary's metric, higher is better; NaN where unknown."""
    classes: NDArray[np.intp]
    labels: NDArray[np.str_]
    """[N] the class in words, or its number."""
    predicted: NDArray[np.str_] | None
    correct: NDArray[np.bool_] | None
    index: NDArray[np.intp] | None
    """[N] the image's position in the split."""

    def take(self, rows: NDArray[np.intp] | list[int]) -> "TrialMaps":
        """The maps of some of the images."""
        taken: dict[str, Any] = {name: None if v is None else v[rows] for name, v in vars(self).items()}
        return TrialMaps(**taken)

    @property
    def answers(self) -> list[str]:
        """Each image's predicted class and whether it is right; only the latter for older trials."""
        if self.correct is None:
            return [""] * len(self.images)
        if self.predicted is None:
            return ["✓ right" if right else "✗ wrong" for right in self.correct]
        answers = zip(self.predicted, self.correct, strict=True)
        return [f"{'✓' if right else '✗'} predicted {word}" for word, right in answers]


def read_maps(records: SweepRecords, trial_key: str, primary: Primary) -> TrialMaps | None:
    """The maps of the primary's attribution that a trial kept; None if it kept none or they cannot be read."""
    data = records.read_artifact(trial_key, MAPS)
    if data is None:
        return None
    # The analysis uses the complement of a metric of which less is better.
    measured = {complement: metric for metric, complement in COMPLEMENTS.items()}.get(primary.metric, primary.metric)
    split, attribution = primary.split, primary.attribution
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:

            def optional(name: str) -> np.ndarray | None:
                """The array, cut to the kept images: more are scored than kept."""
                return np.asarray(file[name])[: len(images)] if name in file else None

            images = displayed(file[f"{split}.images"])
            masks = file[f"{split}.masks"].astype(bool)
            maps = np.nan_to_num(file[f"{split}.map.{attribution}"].astype(np.float64))
            classes = optional(f"{split}.scored.labels")
            if classes is None:
                classes = file["labels"][: len(images)]
            distractors, regions = optional(f"{split}.distractors"), optional(f"{split}.region.{attribution}")
            iou, scores = (optional(f"{split}.scored.{name}.{attribution}") for name in ("iou", measured))
            index, predicted, correct = (optional(f"{split}.scored.{n}") for n in ("index", "predicted", "correct"))
            names = file.get("class_names")
    except (KeyError, ValueError, OSError, zipfile.BadZipFile):
        return None
    if regions is None and iou is not None:
        regions = reproduced(maps, masks, iou.astype(np.float64))
    scores = np.full(len(images), np.nan) if scores is None else scores.astype(np.float64)
    return TrialMaps(
        images=images,
        masks=masks,
        distractors=np.zeros_like(masks) if distractors is None else distractors.astype(bool),
        maps=maps,
        regions=regions,
        scores=scores if measured == primary.metric else 1 - scores,
        classes=classes,
        labels=_words(classes, names),
        predicted=None if predicted is None else _words(predicted, names),
        correct=correct,
        index=index,
    )


def _words(classes: np.ndarray, names: np.ndarray | None) -> NDArray[np.str_]:
    return (classes if names is None else names[classes]).astype(str)


def displayed(images: np.ndarray) -> NDArray[np.float64]:
    """[N, H, W] or [N, H, W, 3] in 0..1 from [N, C, H, W]."""
    shown = np.nan_to_num(images.astype(np.float64)).clip(0, 1)
    return shown.transpose(0, 2, 3, 1) if shown.shape[1] == 3 else shown.mean(axis=1)


def reproduced(
    maps: NDArray[np.float64], masks: NDArray[np.bool_], iou: NDArray[np.float64]
) -> NDArray[np.bool_] | None:
    """[images, H, W] the pixels from which these IoUs were computed, for trials that did not keep them.

    Those trials scored a map either as it is or, if it is made of gradients, after a blur of one pixel. The result is
    the variant that reproduces the IoUs; None if neither does.
    """
    known = ~np.isnan(iou)
    if not known.any():
        return None
    blurred = np.asarray(gaussian_filter(maps, sigma=(0, 1, 1), mode="constant", truncate=3.5))
    regions = [strongest(variant, masks.sum(axis=(1, 2))) for variant in (maps, blurred)]
    overlaps = [(r & masks).sum(axis=(1, 2)) / np.maximum((r | masks).sum(axis=(1, 2)), 1) for r in regions]
    errors = [np.abs(values - iou)[known].mean() for values in overlaps]
    return regions[int(np.argmin(errors))] if min(errors) <= _REPRODUCED else None


def strongest(values: NDArray[np.float64], n: NDArray[np.intp], *, ties: bool = False) -> NDArray[np.bool_]:
    """[images, H, W] the n largest values of each image above zero; of those tied for the last place all or none.

    IoU selects the pixels of a map without ties.
    """
    ordered = np.sort(values.reshape(len(values), -1), axis=1)[:, ::-1]
    place = np.clip(n - 1 if ties else n, 0, ordered.shape[1] - 1)
    limit = np.take_along_axis(ordered, place[:, None], axis=1)[:, :, None]
    return np.asarray((values >= limit if ties else values > limit) & (values > 0))
