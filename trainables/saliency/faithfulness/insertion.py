"""Insertion: how fast the score rises as the map's highest pixels are shown."""

from jaxtyping import Float
from torch import Tensor

from trainables.saliency.faithfulness.explained import Explained
from trainables.saliency.faithfulness.fade import area_under_fade


def insertion(explained: Explained) -> Float[Tensor, " images"]:
    """Area under the target's probability as pixels appear, the map's highest first; in [0, 1], high is faithful.

    29 passes an image. NaN for an all-zero map.

    Source: Petsiuk et al., BMVC 2018, section 4.2 (RISE). They begin with a blurred image; ours with the all-zero one,
    which is the baseline of all attributions here.
    """
    return area_under_fade(explained, show_highest=True)
