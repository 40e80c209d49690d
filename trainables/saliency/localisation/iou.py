"""IoU: intersection over union of the predicted region and the mask."""

from jaxtyping import Bool, Float
from torch import Tensor

from trainables.saliency.localisation.region import defined, overlap, predicted_region


def iou(
    maps: Float[Tensor, "images height width"], masks: Bool[Tensor, "images height width"]
) -> Float[Tensor, " images"]:
    """|P & M| / |P or M| in [0, 1], P the predicted region of the mask's area.

    NaN for an empty mask or an all-zero map, where the paper's program gave the map a 0. A random map of relative
    area p scores p / (2 − p).

    Source: Viviano et al., ICLR 2021.
    """
    both, region, mask = overlap(predicted_region(maps, masks), masks)
    return defined(both / (region + mask - both).clamp(min=1), maps, masks)
