"""IoU at a fixed threshold: half of the map's range."""

from jaxtyping import Bool, Float
from torch import Tensor

from trainables.saliency.localisation.region import defined, overlap, region_above

THRESHOLD = 0.5


def iou_fixed(
    maps: Float[Tensor, "images height width"], masks: Bool[Tensor, "images height width"]
) -> Float[Tensor, " images"]:
    """|P & M| / |P or M| in [0, 1], P the pixels above 0.5 of the positive map scaled to [0, 1].

    0 for a constant map, which has no range; NaN for an empty mask or an all-zero map. P's area does not follow the
    mask's, so that there is no chance level.

    Source: Rao et al., ICCV 2023, section 3.3.
    """
    return iou_above(maps, masks, THRESHOLD)


def iou_above(
    maps: Float[Tensor, "images height width"], masks: Bool[Tensor, "images height width"], threshold: float
) -> Float[Tensor, " images"]:
    """IoU of the mask and the pixels above `threshold` of the map's range."""
    both, region, mask = overlap(region_above(maps, threshold), masks)
    return defined(both / (region + mask - both).clamp(min=1), maps, masks)
