"""ROC-AUC of the map as a score for each pixel's being in the mask."""

from jaxtyping import Bool, Float
from torch import Tensor

from trainables.saliency.localisation.highest import below_and_not_above
from trainables.saliency.localisation.region import defined


def auroc(
    maps: Float[Tensor, "images height width"], masks: Bool[Tensor, "images height width"]
) -> Float[Tensor, " images"]:
    """P(a pixel in the mask is higher than one outside) + P(they tie) / 2, in [0, 1].

    NaN for an empty mask, one that covers the whole image, or an all-zero map. Chance level: 0.5.

    Source: Fong & Vedaldi, ICCV 2017; Hanley & McNeil, Radiology 1982 (the area as this probability).
    """
    flat, inside = maps.flatten(1), masks.flatten(1).double()
    below, not_above = below_and_not_above(flat, flat)
    ranks = (below + not_above + 1).double() / 2
    positive = inside.sum(dim=1)
    pairs = positive * (inside.shape[1] - positive)
    wins = (ranks * inside).sum(dim=1) - positive * (positive + 1) / 2
    return defined((wins / pairs).to(maps.dtype), maps, masks)
