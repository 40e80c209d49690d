"""A trial's splits, and its training masks, which controls may degrade.

If a method gains as much from wrong masks as from right ones, the content of the masks is not what helps (Shrestha et
al., ACL 2020). Maps are always scored on the expert's masks.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from trainables.core.batch import parts
from trainables.core.config import MaskCondition, Options, TrialConfig
from trainables.core.errors import ConfigurationError
from trainables.core.shapes import Images, Labels, Pixels
from trainables.core.streams import PROCESSOR, torch_stream
from trainables.datasets import Split, find_dataset, load
from trainables.datasets.mapped import Source, batches, derived, scratch, taken
from trainables.methods import METHODS
from trainables.methods.parts.region import dilate, outside_pixels
from trainables.trial.evaluate import others
from trainables.trial.resolve import check_cues

Chosen = Bool[Tensor, " images"]


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

    def inside(images: Images, masks: Pixels) -> Images:
        outside, _ = outside_pixels(dilate(masks, config.mask_dilation), config.empty_mask)
        return images.masked_fill(outside, 0.0)

    return replace(split, images=derived(inside, split.images, split.masks))


def training_masks(split: Split, config: TrialConfig) -> Source:
    """The expert's masks, dilated, altered by `mask_condition` and kept for `mask_fraction` of the images.

    A condition changes what masks show, not which images have one. Its randomness depends on the data seed alone, so
    that all methods see the same wrong masks.

    Raises:
        ConfigurationError: condition `other` where fewer than two images have a mask.
    """
    masks = derived(partial(dilate, pixels=config.mask_dilation), split.masks)
    if config.mask_condition != "expert":
        rng = torch_stream("mask condition", config.mask_condition, config.data_seed)
        masks = CONDITIONS[config.mask_condition](masks, split.masked, rng)
    if config.mask_fraction < 1:
        rng = torch_stream("mask fraction", config.data_seed)
        keeps = _keeps_mask(split.masked, split.labels, config.mask_fraction, rng)
        masks = derived(lambda masks, keeps: masks & keeps[:, None, None, None], masks, keeps)
    return masks


def _random(masks: Source, masked: Chosen, rng: torch.Generator) -> Tensor:
    """As many pixels as each mask has, anywhere in the image."""
    result, index = scratch(masks), masked.nonzero()[:, 0]
    of_parts = [index[part] for part in parts(len(index), masks.shape, PROCESSOR)]
    for part, (present,) in zip(of_parts, batches((masks,), of_parts, PROCESSOR), strict=True):
        flat = present.flatten(1)
        rank = torch.rand(flat.shape, generator=rng).argsort(dim=1).argsort(dim=1)
        result[part] = (rank < flat.sum(dim=1, keepdim=True)).view_as(present)
    return result


def _shifted(masks: Source, masked: Chosen, rng: torch.Generator) -> Source:
    """Each mask moved down and right by a quarter to three quarters of the image, wrapping round at its edges."""
    shifts = torch.zeros(len(masks), 2, dtype=torch.long)
    for axis, side in enumerate(masks.shape[2:]):
        shifts[masked, axis] = torch.randint(side // 4, side - side // 4 + 1, (int(masked.sum()),), generator=rng)

    def shift(masks: Pixels, shifts: Int[Tensor, "images 2"]) -> Pixels:
        rows, columns = (
            (torch.arange(side, device=masks.device) - by[:, None]) % side
            for side, by in zip(masks.shape[2:], shifts.T, strict=True)
        )
        of_image = torch.arange(len(masks), device=masks.device)[:, None, None]
        return masks[of_image, 0, rows[:, :, None], columns[:, None, :]][:, None]

    return derived(shift, masks, shifts)


def _other(masks: Source, masked: Chosen, rng: torch.Generator) -> Source:
    """Each image gets the mask of the next one in a random cycle through all images, so that none keeps its mask."""
    index = masked.nonzero()[:, 0]
    if len(index) < 2:
        raise ConfigurationError(
            f"mask_condition 'other' needs two training images with a mask, and there are {len(index)}; "
            "choose expert, random, shifted or ones"
        )
    donors = torch.arange(len(masks))
    donors[index] = others(index, rng)
    return taken(masks, donors)


def _ones(masks: Source, masked: Chosen, rng: torch.Generator) -> Source:
    return derived(lambda masks, masked: masked[:, None, None, None].expand_as(masks), masks, masked)


CONDITIONS: dict[MaskCondition, Callable[[Source, Tensor, torch.Generator], Source]] = {
    "random": _random,
    "shifted": _shifted,
    "other": _other,
    "ones": _ones,
}
"""How each condition but "expert" alters masks [n, 1, height, width], the `masked` ones of which are not empty."""


def _keeps_mask(masked: Chosen, labels: Labels, fraction: float, rng: torch.Generator) -> Chosen:
    """True for round(fraction · n) of each class's n images with a mask; a larger fraction only adds images."""
    keeps = torch.zeros_like(masked)
    for label in labels.unique():
        members = ((labels == label) & masked).nonzero()[:, 0]
        order = torch.randperm(len(members), generator=rng)
        keeps[members[order[: round(fraction * len(members))]]] = True
    return keeps
