"""The input gradient of the true class's logit is small outside the mask."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from trainables.batch import Batch, Loss
from trainables.config import Preset
from trainables.methods.method import Penalty, images_with_gradient
from trainables.methods.region import mean_outside, mean_over, outside_pixels
from trainables.models import Classifier


def input_gradient_logit_penalty(
    logits: Float[Tensor, "batch classes"],
    images: Float[Tensor, "batch channels height width"],
    labels: Int[Tensor, " batch"],
    outside: Bool[Tensor, "batch 1 height width"],
    takes_part: Bool[Tensor, " batch"],
    preset: Preset,
) -> Float[Tensor, ""]:
    """Squared input gradient of f_y, outside the mask, in (logits per unit of pixel value)^2.

    g = d( sum_b f_{y_b} ) / dx. `paper`: mean over all pixels and channels of (g · S)^2, then over the images that
    take part. `fixed`: mean over outside pixels and channels alone, so that the size of the mask does not matter.
    """
    scores = logits.gather(1, labels[:, None])
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    if preset == "paper":
        return mean_over((gradient * outside).square().flatten(1).mean(dim=1), takes_part)
    return mean_outside(gradient.square(), outside, takes_part)


class InputGradientLogit(Penalty):
    """CE(f(x), y) + strength · mean (d f_y / dx · S)^2: RRR on the raw logit of the true class.

    Source: Chang, Adam & Goldenberg, CVPR 2021 ("Towards Robust Classification Model by Counterfactual and Invariant
    Data Generation"), their saliency regularisation "Sal", whose mean runs over all pixels of the images that have a
    mask (`--set preset=paper --set empty_mask=skip`). Their variants with a soft F1 score or a cosine in place of the
    square are not here.
    """

    second_order: ClassVar[bool] = True
    relative_cost: ClassVar[float] = 2.7

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        images = images_with_gradient(batch)
        logits = model(images).logits
        penalty = input_gradient_logit_penalty(logits, images, batch.labels, outside, takes_part, self.config.preset)
        return Loss(cross_entropy(logits, batch.labels), penalty)
