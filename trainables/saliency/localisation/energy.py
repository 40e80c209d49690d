"""Energy pointing game: the share of the map's mass that lies in the mask."""

from jaxtyping import Bool, Float
from torch import Tensor

from trainables.saliency.localisation.region import defined


def energy(
    maps: Float[Tensor, "images height width"], masks: Bool[Tensor, "images height width"]
) -> Float[Tensor, " images"]:
    """sum of A+ in M / sum of A+, in [0, 1], A+ the positive part of the map. Also called relevance mass accuracy.

    NaN for an empty mask or an all-zero map. Chance level: the mask's relative area.

    Source: Wang et al., CVPR workshops 2020 (Score-CAM), section 4.3; Arras et al., Information Fusion 2022.
    """
    mass = maps.clamp(min=0).double()
    inside = (mass * masks).flatten(1).sum(dim=1) / mass.flatten(1).sum(dim=1)
    return defined(inside.to(maps.dtype), maps, masks)
