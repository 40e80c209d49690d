"""Deletion: how fast the score falls as the map's highest pixels are taken away."""

from jaxtyping import Float
from torch import Tensor

from trainables.saliency.faithfulness.explained import Explained
from trainables.saliency.faithfulness.fade import area_under_fade


def deletion(explained: Explained) -> Float[Tensor, " images"]:
    """Area under the target's probability as pixels are set to zero, the map's highest first; low is faithful.

    In [0, 1]. 29 passes an image. NaN for an all-zero map.

    Source: Petsiuk et al., BMVC 2018, section 4.2 (RISE).
    """
    return area_under_fade(explained, show_highest=False)
