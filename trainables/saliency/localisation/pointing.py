"""The pointing game: is the map's highest pixel in the mask?"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trainables.saliency.localisation.highest import areas, share_of_highest
from trainables.saliency.localisation.region import defined


def pointing(
    maps: Float[Tensor, "images height width"], masks: Bool[Tensor, "images height width"]
) -> Float[Tensor, " images"]:
    """1 if the highest pixel lies in the mask, else 0; where several are highest, the share of them that does.

    NaN for an empty mask or an all-zero map. Chance level: the mask's relative area.

    Source: Zhang et al., IJCV 2018 (arXiv:1608.00507), section 4.1; without their tolerance of 15 pixels.
    """
    one = torch.ones_like(areas(masks))
    return defined(share_of_highest(maps, masks, one), maps, masks)
