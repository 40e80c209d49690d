"""The region that a map predicts: its highest pixels, as many as the mask has or above a share of its range."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def predicted_region(
    maps: Float[Tensor, "images height width"], masks: Bool[Tensor, "images height width"]
) -> Bool[Tensor, "images height width"]:
    """Pixels strictly above the percentile q = 100 − 100 |M| / (H W) of their map, and above zero.

    Percentiles interpolate linearly between order statistics, as numpy's do. Without ties the region has about the
    mask's area; ties at the threshold shrink it.

    Source: the scoring rule of Viviano et al., ICLR 2021.
    """
    flat = maps.flatten(1)
    pixels = flat.shape[1]
    ordered = flat.sort(dim=1).values
    area = masks.flatten(1).sum(dim=1, keepdim=True)
    position = (1 - area.double() / pixels) * (pixels - 1)
    below = position.floor().long()
    above = (below + 1).clamp(max=pixels - 1)
    low, high = ordered.gather(1, below), ordered.gather(1, above)
    threshold = low + (high - low) * (position - below).to(maps.dtype)
    return ((flat > threshold) & (flat > 0)).view_as(masks)


def region_above(maps: Float[Tensor, "images height width"], threshold: float) -> Bool[Tensor, "images height width"]:
    """Pixels strictly above `threshold` once the positive part of their map is scaled to [0, 1]; none if constant."""
    flat = maps.flatten(1).clamp(min=0)
    low, high = flat.amin(dim=1, keepdim=True), flat.amax(dim=1, keepdim=True)
    return (flat - low > threshold * (high - low)).view_as(maps)


def overlap(
    region: Bool[Tensor, "images height width"], masks: Bool[Tensor, "images height width"]
) -> tuple[Float[Tensor, " images"], Float[Tensor, " images"], Float[Tensor, " images"]]:
    """Pixels in both, in the region, in the mask."""
    both, in_region, in_mask = (part.flatten(1).sum(dim=1).float() for part in (region & masks, region, masks))
    return both, in_region, in_mask


def defined(
    scores: Float[Tensor, " images"],
    maps: Float[Tensor, "images height width"],
    masks: Bool[Tensor, "images height width"],
) -> Float[Tensor, " images"]:
    """Scores, NaN where the mask is empty or the map is zero everywhere or not finite: nothing was localised."""
    flat = maps.flatten(1)
    usable = masks.flatten(1).any(dim=1) & (flat > 0).any(dim=1) & flat.isfinite().all(dim=1)
    return torch.where(usable, scores, torch.nan)
