"""A Gaussian in the middle of the image: what a map scores that sees neither model nor image."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trainables.models import Classifier
from trainables.saliency.attribution.attribution import Attribution

RELATIVE_SIGMA = 0.25


class CentreGaussian(Attribution):
    """exp(−d²/2), d the distance from the image's centre in units of a quarter of its height and width.

    A baseline of maps: objects are often in the middle. The centre bias as in studies of gaze (Judd et al., MIT-CSAIL
    technical report 2012-001).
    """

    sees_model: ClassVar[bool] = False

    def maps(
        self,
        model: Classifier,
        images: Float[Tensor, "images channels height width"],
        targets: Int[Tensor, " images"],
    ) -> Float[Tensor, "images height width"]:
        rows, columns = (
            torch.exp(-0.5 * ((torch.arange(side).to(images) - (side - 1) / 2) / (RELATIVE_SIGMA * side)) ** 2)
            for side in images.shape[2:]
        )
        return (rows[:, None] * columns).repeat(len(images), 1, 1)
