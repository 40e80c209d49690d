"""IoP: the share of the predicted region that lies in the mask (precision)."""

from jaxtyping import Bool, Float
from torch import Tensor

from trainables.saliency.localisation.region import defined, overlap, predicted_region


def iop(
    maps: Float[Tensor, "images height width"], masks: Bool[Tensor, "images height width"]
) -> Float[Tensor, " images"]:
    """|P & M| / |P| in [0, 1], P the predicted region of the mask's area; 0 where ties leave P empty.

    NaN for an empty mask or an all-zero map. Chance level: the mask's relative area.

    Source: Viviano et al., ICLR 2021.
    """
    both, region, _ = overlap(predicted_region(maps, masks), masks)
    return defined(both / region.clamp(min=1), maps, masks)
