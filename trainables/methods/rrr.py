"""RRR, right for the right reasons: the input gradient of the summed log-probabilities is small outside the mask."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from trainables.batch import Batch, Loss
from trainables.config import Preset
from trainables.methods.method import Penalty, images_with_gradient
from trainables.methods.region import mean_outside, outside_pixels
from trainables.models import Classifier


def rrr_penalty(
    logits: Float[Tensor, "batch classes"],
    images: Float[Tensor, "batch channels height width"],
    outside: Bool[Tensor, "batch 1 height width"],
    takes_part: Bool[Tensor, " batch"],
    preset: Preset,
) -> Float[Tensor, ""]:
    """Squared input gradient of sum_k log p_k, outside the mask.

    g = d( sum_{b,k} log(p_bk + 1e-11) ) / dx, p = softmax(f). `paper`: sum over batch, channels and pixels of
    (g · S)^2. `fixed`: mean over outside pixels and channels of each image, then over images.

    Source: Ross, Hughes & Doshi-Velez, IJCAI 2017, arXiv:1703.03717, the "right reasons" term, with the 1e-11 of
    Viviano et al., ICLR 2021, in both presets.

    Returns:
        Scalar in (nats per unit of pixel value)^2.
    """
    log_probabilities = (logits.softmax(dim=1) + 1e-11).log()
    (gradient,) = torch.autograd.grad(log_probabilities.sum(), images, create_graph=True)
    if preset == "paper":
        return (gradient * outside).square().sum()
    return mean_outside(gradient.square(), outside, takes_part)


class RRR(Penalty):
    """CE(f(x), y) + strength · (d sum_k log p_k / dx · S)^2, summed (`paper`) or averaged (`fixed`)."""

    second_order: ClassVar[bool] = True
    relative_cost: ClassVar[float] = 2.7

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        images = images_with_gradient(batch)
        logits = model(images).logits
        penalty = rrr_penalty(logits, images, outside, takes_part, self.config.preset)
        return Loss(cross_entropy(logits, batch.labels), penalty)
