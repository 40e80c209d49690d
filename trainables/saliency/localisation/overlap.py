"""Overlap of the mask with a predicted region: the highest pixels, as many as the mask has or above a threshold."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trainables.core.shapes import Maps, Masks, PerImage
from trainables.saliency.localisation.metric import Traits, defined, with_traits

THRESHOLD = 0.5
"""Of `iou_fixed`."""
THRESHOLDS = tuple(i / 20 for i in range(1, 20))
"""Candidates of `iou_tuned`."""
# Ties at the threshold shrink the predicted region, and a constant map has nothing above it.
EMPTY_IF_CONSTANT = Traits(constant_map=lambda area: 0.0)


@with_traits(EMPTY_IF_CONSTANT)
def iou(maps: Maps, masks: Masks) -> PerImage:
    """Intersection over union |P & M| / |P or M| in [0, 1], P the predicted region of the mask's area.

    NaN for an empty mask or an all-zero map, which the paper's program scored 0. A random map scores p / (2 − p), p the
    mask's relative area.

    Source: Viviano et al., ICLR 2021.
    """
    return _iou_of_region(predicted_region(maps, masks), maps, masks)


@with_traits(EMPTY_IF_CONSTANT)
def iop(maps: Maps, masks: Masks) -> PerImage:
    """Precision |P & M| / |P| in [0, 1], P the predicted region of the mask's area; 0 where ties leave P empty.

    NaN for an empty mask or an all-zero map. Chance level: the mask's relative area.

    Source: Viviano et al., ICLR 2021.
    """
    both, region, _ = _overlap(predicted_region(maps, masks), masks)
    return defined(both / region.clamp(min=1), maps, masks)


@with_traits(EMPTY_IF_CONSTANT)
def iot(maps: Maps, masks: Masks) -> PerImage:
    """Recall |P & M| / |M| in [0, 1], P the predicted region of the mask's area.

    NaN for an empty mask or an all-zero map. Chance level: the mask's relative area.

    Source: Viviano et al., ICLR 2021.
    """
    both, _, mask = _overlap(predicted_region(maps, masks), masks)
    return defined(both / mask.clamp(min=1), maps, masks)


def chance_iou(masks: Masks) -> PerImage:
    """IoU of a random map, p / (2 − p) for a mask of relative area p; NaN for an empty mask.

    Expected overlap p² over expected union 2p − p².
    """
    area = masks.flatten(1).float().mean(dim=1)
    return torch.where(area > 0, area / (2 - area), torch.nan)


@with_traits(Traits(lowest=-1.0, constant_map=lambda area: -(area / (2 - area)) / (1 - area / (2 - area))))
def iou_corrected(maps: Maps, masks: Masks) -> PerImage:
    """IoU corrected for chance, (IoU − c) / (1 − c), c = p / (2 − p) the IoU of a random map: 1 perfect, 0 chance.

    At least −c / (1 − c). Unlike IoU it can be compared between datasets and averaged over masks of different sizes.
    NaN for an empty mask, one that covers the whole image, or an all-zero map.

    Source: ours; the form of Cohen's kappa (1960).
    """
    chance = chance_iou(masks)
    return torch.where(chance < 1, (iou(maps, masks) - chance) / (1 - chance), torch.nan)


@with_traits(EMPTY_IF_CONSTANT)
def iou_fixed(maps: Maps, masks: Masks) -> PerImage:
    """|P & M| / |P or M| in [0, 1], P the pixels above 0.5 of the positive map scaled to [0, 1].

    0 for a constant map, which has no range; NaN for an empty mask or an all-zero map. No chance level, as the area of
    P does not depend on the mask's.

    Source: Rao et al., ICCV 2023, section 3.3.
    """
    return _iou_above(maps, masks, THRESHOLD)


@with_traits(EMPTY_IF_CONSTANT)
def iou_tuned(
    maps: Maps,
    masks: Masks,
    valid_maps: Float[Tensor, "valid height width"],
    valid_masks: Bool[Tensor, "valid height width"],
) -> PerImage:
    """|P & M| / |P or M| in [0, 1], P the pixels of the positive map, scaled to [0, 1], above a tuned threshold.

    The threshold is that of 0.05, 0.10, ..., 0.95 with the highest mean IoU on the validation maps, the lowest of equal
    ones; NaN for all images where no validation image has a score. 0 for a constant map; NaN for an empty mask or an
    all-zero map. No chance level.

    Source: Saporta et al., Nat. Mach. Intell. 2022 (CheXlocalize), methods; one threshold for all classes here.
    """
    scores = {t: _iou_above(valid_maps, valid_masks, t).nanmean().item() for t in THRESHOLDS}
    defined_scores = {threshold: score for threshold, score in scores.items() if score == score}
    if not defined_scores:
        return torch.full_like(maps[:, 0, 0], torch.nan)
    return _iou_above(maps, masks, max(defined_scores, key=defined_scores.__getitem__))


def predicted_region(maps: Maps, masks: Masks) -> Masks:
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


def _iou_above(maps: Maps, masks: Masks, threshold: float) -> PerImage:
    """IoU of the pixels strictly above `threshold` once the positive part of their map is scaled to [0, 1]."""
    flat = maps.flatten(1).clamp(min=0)
    low, high = flat.amin(dim=1, keepdim=True), flat.amax(dim=1, keepdim=True)
    return _iou_of_region((flat - low > threshold * (high - low)).view_as(maps), maps, masks)


def _iou_of_region(region: Masks, maps: Maps, masks: Masks) -> PerImage:
    both, in_region, in_mask = _overlap(region, masks)
    return defined(both / (in_region + in_mask - both).clamp(min=1), maps, masks)


def _overlap(region: Masks, masks: Masks) -> list[PerImage]:
    """Numbers of pixels in both, in the region and in the mask."""
    return [part.flatten(1).sum(dim=1).float() for part in (region & masks, region, masks)]
