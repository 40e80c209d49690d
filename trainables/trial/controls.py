"""Controls: conditions that take something away from the masks before a method sees them.

If a method gains as much from wrong masks as from right ones, what the masks show is not what helps (Shrestha et al.,
ACL 2020). Masks of evaluation images, on which maps are scored, stay the expert's.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from trainables.core.config import MaskCondition, TrialConfig
from trainables.core.errors import ConfigurationError
from trainables.core.streams import torch_stream
from trainables.datasets import Split
from trainables.methods.parts.region import dilate, outside_pixels


def training_masks(split: Split, config: TrialConfig) -> Bool[Tensor, "images 1 height width"]:
    """The training masks: the expert's, dilated, then as `mask_condition` says, on `mask_fraction` of the images.

    A condition changes what masks show, not which images have one. What is random in it depends on the data seed alone,
    so that all methods see the same wrong masks.

    Raises:
        ConfigurationError: another image's mask is asked for where fewer than two images have one.
    """
    masks = dilate(split.masks, config.mask_dilation)
    if config.mask_condition != "expert":
        rng = torch_stream("mask condition", config.mask_condition, config.data_seed)
        has_mask = masks.flatten(1).any(dim=1)
        changed = masks.clone()
        changed[has_mask] = CONDITIONS[config.mask_condition](masks[has_mask], rng)
        masks = changed
    if config.mask_fraction < 1:
        rng = torch_stream("mask fraction", config.data_seed)
        masks = masks & _keeps_mask(masks, split.labels, config.mask_fraction, rng)[:, None, None, None]
    return masks


def inside_masks(split: Split, config: TrialConfig) -> Split:
    """The split with images that are zero outside the expert's mask, dilated as in training: masks at test time.

    Images without a mask stay whole under the empty-mask policies `skip` and `inside` and become zero under `outside`.
    """
    outside, _ = outside_pixels(dilate(split.masks, config.mask_dilation), config.empty_mask)
    return replace(split, images=split.images.masked_fill(outside, 0.0))


def _random(masks: Bool[Tensor, "n 1 height width"], rng: torch.Generator) -> Bool[Tensor, "n 1 height width"]:
    """As many pixels as each mask has, anywhere in the image."""
    flat = masks.flatten(1)
    rank = torch.rand(flat.shape, generator=rng).argsort(dim=1).argsort(dim=1)
    return (rank < flat.sum(dim=1, keepdim=True)).view_as(masks)


def _shifted(masks: Bool[Tensor, "n 1 height width"], rng: torch.Generator) -> Bool[Tensor, "n 1 height width"]:
    """Each mask moved down and to the right by a quarter to three quarters of the image, in again on the other side."""
    n, _, height, width = masks.shape
    rows, columns = (
        (torch.arange(side) - torch.randint(side // 4, side - side // 4 + 1, (n, 1), generator=rng)) % side
        for side in (height, width)
    )
    return masks[torch.arange(n)[:, None, None], 0, rows[:, :, None], columns[:, None, :]][:, None]


def _other(masks: Bool[Tensor, "n 1 height width"], rng: torch.Generator) -> Bool[Tensor, "n 1 height width"]:
    """Each image has the mask of the next one in a random circle through all of them: none keeps its own."""
    if len(masks) < 2:
        raise ConfigurationError(
            f"mask_condition 'other' needs two training images with a mask, and there are {len(masks)}; "
            "choose expert, random, shifted or ones"
        )
    order = torch.randperm(len(masks), generator=rng)
    result = torch.empty_like(masks)
    result[order] = masks[order.roll(1)]
    return result


def _ones(masks: Bool[Tensor, "n 1 height width"], rng: torch.Generator) -> Bool[Tensor, "n 1 height width"]:
    """The whole image."""
    return torch.ones_like(masks)


CONDITIONS: dict[MaskCondition, Callable[[Tensor, torch.Generator], Tensor]] = {
    "random": _random,
    "shifted": _shifted,
    "other": _other,
    "ones": _ones,
}
"""What becomes of the masks [n, 1, height, width] of images that have one; "expert" leaves them as they are."""


def _keeps_mask(
    masks: Bool[Tensor, "images 1 height width"], labels: Tensor, fraction: float, rng: torch.Generator
) -> Bool[Tensor, " images"]:
    """True for round(fraction · n) of the n images with a mask of each class; a larger fraction only adds images."""
    has_mask = masks.flatten(1).any(dim=1)
    keeps = torch.zeros_like(has_mask)
    for label in labels.unique():
        members = ((labels == label) & has_mask).nonzero()[:, 0]
        order = torch.randperm(len(members), generator=rng)
        keeps[members[order[: round(fraction * len(members))]]] = True
    return keeps
