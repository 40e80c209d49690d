"""Groups of images: those of one label whose cue points to one class. K classes make up to K^2 of them."""

from jaxtyping import Int
from torch import Tensor


def groups_of(labels: Int[Tensor, " images"], cues: Int[Tensor, " images"], classes: int) -> Int[Tensor, " images"]:
    """label · K + cue: the number in [0, K^2) of each image's group."""
    return labels * classes + cues
