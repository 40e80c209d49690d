"""Squared gradient: (d f_y / dx)²."""

from jaxtyping import Float, Int
from torch import Tensor

from trainables.models import Classifier
from trainables.saliency.attribution import Attribution
from trainables.saliency.attribution.attribution import as_map, gradient, in_batches


class SquaredGradient(Attribution):
    """(d f_y / dx)², in (logits per unit of pixel value)², summed over channels."""

    smoothing = 1.0

    def maps(
        self,
        model: Classifier,
        images: Float[Tensor, "images channels height width"],
        targets: Int[Tensor, " images"],
    ) -> Float[Tensor, "images height width"]:
        slopes = in_batches(lambda x, y: gradient(model, x, y), images, targets)
        return as_map(slopes.square())
