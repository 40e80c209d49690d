"""Top-k intersection: of the highest one in a hundred pixels, the share that lies in the mask."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trainables.saliency.localisation.highest import areas, share_of_highest
from trainables.saliency.localisation.region import defined

SHARE = 0.01


def top_k(
    maps: Float[Tensor, "images height width"], masks: Bool[Tensor, "images height width"]
) -> Float[Tensor, " images"]:
    """Share in [0, 1] of the k highest pixels that lie in the mask; ties as if broken at random.

    k is 1 % of the pixels, rounded, at least 1, and at most the mask's area, so that 1 can be reached. NaN for an empty
    mask or an all-zero map. Chance level: the mask's relative area.

    Source: Theiner et al., WACV 2022; there k is 1,000 and the images 224 x 224 and larger.
    """
    k = max(1, round(SHARE * masks[0].numel()))
    return defined(share_of_highest(maps, masks, torch.clamp(areas(masks), max=k)), maps, masks)
