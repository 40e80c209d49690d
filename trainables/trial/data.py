"""A trial's splits, and its training masks, which controls may degrade.

If a method gains as much from wrong masks as from right ones, the content of the masks is not what helps (Shrestha et
al., ACL 2020). Maps are always scored on the expert's masks.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import torch
from jaxtyping import Bool
from torch import Tensor

from trainables.core.config import MaskCondition, Options, TrialConfig
from trainables.core.errors import ConfigurationError
from trainables.core.shapes import Labels, Pixels
from trainables.core.streams import torch_stream
from trainables.datasets import Split, find_dataset, load
from trainables.methods import METHODS
from trainables.methods.parts.region import dilate, outside_pixels
from trainables.trial.evaluate import others
from trainables.trial.resolve import check_cues


def check_trial_data(config: TrialConfig) -> None:
    """Raise ConfigurationError, with file and row, if the data cannot be trained on; once per process."""
    options = find_dataset(config.dataset).Options(**config.dataset_options)
    _check_once(config.dataset, options, config.severity, config.data_seed)


@cache
def _check_once(dataset: str, options: Options, severity: float, data_seed: int) -> None:
    find_dataset(dataset)(options, severity, data_seed).check()


def images_of(config: TrialConfig) -> tuple[int, tuple[float, float]]:
    """Side in pixels of the trial's images, and the pixel values of black and white."""
    dataset = find_dataset(config.dataset)
    options = dataset.Options(**config.dataset_options)
    return dataset.side(options), dataset.limits(options)


def load_splits(config: TrialConfig) -> tuple[Mapping[str, Split], int]:
    """The trial's five splits by name, and the number of classes.

    Raises:
        ConfigurationError: the method needs cues that the dataset does not know.
    """
    dataset = find_dataset(config.dataset)
    options = dataset.Options(**config.dataset_options)
    splits = load(dataset, options, config.severity, config.data_seed)
    if METHODS[config.method].needs_cues:
        known = all(bool((split.cues >= 0).all()) for split in splits.values())
        check_cues(config.method, config.dataset, known)
    if config.mask_test:
        splits = {name: inside_masks(split, config) for name, split in splits.items()}
    return splits, dataset(options, config.severity, config.data_seed).classes


def inside_masks(split: Split, config: TrialConfig) -> Split:
    """The split with images that are zero outside the expert's mask, dilated as in training.

    Images without a mask stay whole under the empty-mask policies `skip` and `inside` and become zero under `outside`.
    """
    outside, _ = outside_pixels(dilate(split.masks, config.mask_dilation), config.empty_mask)
    return replace(split, images=split.images.masked_fill(outside, 0.0))


def training_masks(split: Split, config: TrialConfig) -> Pixels:
    """The expert's masks, dilated, altered by `mask_condition` and kept for `mask_fraction` of the images.

    A condition changes what masks show, not which images have one. Its randomness depends on the data seed alone, so
    that all methods see the same wrong masks.

    Raises:
        ConfigurationError: condition `other` where fewer than two images have a mask.
    """
    masks = dilate(split.masks, config.mask_dilation)
    if config.mask_condition != "expert":
        rng = torch_stream("mask condition", config.mask_condition, config.data_seed)
        has_mask = masks.flatten(1).any(dim=1)
        altered = masks.clone()
        altered[has_mask] = CONDITIONS[config.mask_condition](masks[has_mask], rng)
        masks = altered
    if config.mask_fraction < 1:
        rng = torch_stream("mask fraction", config.data_seed)
        masks = masks & _keeps_mask(masks, split.labels, config.mask_fraction, rng)[:, None, None, None]
    return masks


def _random(masks: Pixels, rng: torch.Generator) -> Pixels:
    """As many pixels as each mask has, anywhere in the image."""
    flat = masks.flatten(1)
    rank = torch.rand(flat.shape, generator=rng).argsort(dim=1).argsort(dim=1)
    return (rank < flat.sum(dim=1, keepdim=True)).view_as(masks)


def _shifted(masks: Pixels, rng: torch.Generator) -> Pixels:
    """Each mask moved down and right by a quarter to three quarters of the image, wrapping round at its edges."""
    n, _, height, width = masks.shape
    rows, columns = (
        (torch.arange(side) - torch.randint(side // 4, side - side // 4 + 1, (n, 1), generator=rng)) % side
        for side in (height, width)
    )
    return masks[torch.arange(n)[:, None, None], 0, rows[:, :, None], columns[:, None, :]][:, None]


def _other(masks: Pixels, rng: torch.Generator) -> Pixels:
    """Each image gets the mask of the next one in a random cycle through all images, so that none keeps its mask."""
    if len(masks) < 2:
        raise ConfigurationError(
            f"mask_condition 'other' needs two training images with a mask, and there are {len(masks)}; "
            "choose expert, random, shifted or ones"
        )
    return others(masks, rng)


CONDITIONS: dict[MaskCondition, Callable[[Tensor, torch.Generator], Tensor]] = {
    "random": _random,
    "shifted": _shifted,
    "other": _other,
    "ones": lambda masks, rng: torch.ones_like(masks),
}
"""How each condition but "expert" alters masks [n, 1, height, width] that are not empty."""


def _keeps_mask(masks: Pixels, labels: Labels, fraction: float, rng: torch.Generator) -> Bool[Tensor, " images"]:
    """True for round(fraction · n) of each class's n images with a mask; a larger fraction only adds images."""
    has_mask = masks.flatten(1).any(dim=1)
    keeps = torch.zeros_like(has_mask)
    for label in labels.unique():
        members = ((labels == label) & has_mask).nonzero()[:, 0]
        order = torch.randperm(len(members), generator=rng)
        keeps[members[order[: round(fraction * len(members))]]] = True
    return keeps
