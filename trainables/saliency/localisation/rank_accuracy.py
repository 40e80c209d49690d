"""Relevance rank accuracy: of the highest pixels, as many as the mask has, the share that lies in it."""

from jaxtyping import Bool, Float
from torch import Tensor

from trainables.saliency.localisation.highest import areas, share_of_highest
from trainables.saliency.localisation.region import defined


def rank_accuracy(
    maps: Float[Tensor, "images height width"], masks: Bool[Tensor, "images height width"]
) -> Float[Tensor, " images"]:
    """Share in [0, 1] of the |M| highest pixels that lie in M; ties as if broken at random.

    Without ties it is IoP at the mask's area, and IoU = RRA / (2 − RRA). NaN for an empty mask or an all-zero map.
    Chance level: the mask's relative area.

    Source: Arras et al., Information Fusion 2022 (arXiv:2003.07258), section 3.3.
    """
    return defined(share_of_highest(maps, masks, areas(masks)), maps, masks)
