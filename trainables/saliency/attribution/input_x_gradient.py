"""Input times gradient: |x · d f_y / dx|."""

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from trainables.models import Classifier
from trainables.saliency.attribution.attribution import Attribution, as_map, gradient, in_batches


class InputXGradient(Attribution):
    """|x · d f_y / dx|, in logits. Source: Shrikumar et al., arXiv:1605.01713, section 3."""

    smoothing: ClassVar[float] = 1.0

    def maps(
        self,
        model: Classifier,
        images: Float[Tensor, "images channels height width"],
        targets: Int[Tensor, " images"],
    ) -> Float[Tensor, "images height width"]:
        return in_batches(lambda x, y: as_map(x * gradient(model, x, y)), images, targets)
