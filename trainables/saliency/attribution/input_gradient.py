"""Input gradient: |d f_y / dx|."""

from typing import ClassVar

from captum.attr import Saliency
from jaxtyping import Float, Int
from torch import Tensor

from trainables.models import Classifier
from trainables.saliency.attribution.attribution import Attribution, Logits, as_map


class InputGradient(Attribution):
    """|d f_y / dx|, in logits per unit of pixel value. Source: Simonyan et al., arXiv:1312.6034."""

    smoothing: ClassVar[float] = 1.0

    def maps(
        self,
        model: Classifier,
        images: Float[Tensor, "images channels height width"],
        targets: Int[Tensor, " images"],
    ) -> Float[Tensor, "images height width"]:
        inputs = images.detach().clone().requires_grad_()
        return as_map(Saliency(Logits(model)).attribute(inputs, target=targets, abs=True))
