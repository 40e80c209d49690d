"""Occlusion: how much the score falls when a window is set to zero."""

import torch
from captum.attr import Occlusion as CaptumOcclusion
from jaxtyping import Float, Int
from torch import Tensor

from trainables.attribution.attribution import Attribution, Logits, as_map
from trainables.models import Classifier

PASSES_AT_ONCE = 1024
PAPER_WINDOW, PAPER_SIZE = 15, 224


def window_size(size: int) -> int:
    """Side of the window for images of `size` pixels: the paper's 15 at 224 and 2 at 28, in proportion between."""
    return max(2, round(size * PAPER_WINDOW / PAPER_SIZE))


class Occlusion(Attribution):
    """|f_y(x) − f_y(x with the window at zero)|, in logits, constant over each of the tiled windows.

    Window and stride are equal. Not blurred before scoring.

    Source: Zeiler & Fergus, ECCV 2014, section 2.1; sizes as in Viviano et al., ICLR 2021.
    """

    def maps(
        self,
        model: Classifier,
        images: Float[Tensor, "images channels height width"],
        targets: Int[Tensor, " images"],
    ) -> Float[Tensor, "images height width"]:
        channels, side = images.shape[1], window_size(min(images.shape[2:]))
        with torch.no_grad():
            attribution = CaptumOcclusion(Logits(model)).attribute(
                images,
                target=targets,
                sliding_window_shapes=(channels, side, side),
                strides=(channels, side, side),
                baselines=0,
                perturbations_per_eval=max(1, PASSES_AT_ONCE // len(images)),
            )
        return as_map(attribution) / channels
