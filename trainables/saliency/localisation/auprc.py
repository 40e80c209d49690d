"""Area under the precision-recall curve of the map as a score for each pixel's being in the mask."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trainables.saliency.localisation.highest import below_and_not_above
from trainables.saliency.localisation.region import defined


def auprc(
    maps: Float[Tensor, "images height width"], masks: Bool[Tensor, "images height width"]
) -> Float[Tensor, " images"]:
    """Average precision in [0, 1]: mean over the mask's pixels of the precision at their value, ties taken together.

    NaN for an empty mask or an all-zero map. Chance level: the mask's relative area.

    Source: Arun et al., Radiology: AI 2021, who score maps by it; the step-wise sum, as in scikit-learn.
    """
    flat, inside = maps.flatten(1), masks.flatten(1)
    pixels = flat.shape[1]
    all_below, _ = below_and_not_above(flat, flat)
    positive_below, _ = below_and_not_above(torch.where(inside, flat, -torch.inf), flat)
    # Those outside stand at minus infinity among the positives, so both counts are of all pixels.
    precision = (pixels - positive_below).double() / (pixels - all_below)
    return defined(((precision * inside).sum(dim=1) / inside.sum(dim=1)).to(maps.dtype), maps, masks)
