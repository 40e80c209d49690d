"""IoT: the share of the mask that the predicted region covers (recall)."""

from jaxtyping import Bool, Float
from torch import Tensor

from trainables.saliency.localisation.region import defined, overlap, predicted_region


def iot(
    maps: Float[Tensor, "images height width"], masks: Bool[Tensor, "images height width"]
) -> Float[Tensor, " images"]:
    """|P & M| / |M| in [0, 1], P the predicted region of the mask's area.

    NaN for an empty mask or an all-zero map. Chance level: the mask's relative area.

    Source: Viviano et al., ICLR 2021.
    """
    both, _, mask = overlap(predicted_region(maps, masks), masks)
    return defined(both / mask.clamp(min=1), maps, masks)
