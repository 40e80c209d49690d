"""GradMask: the input gradient of the contrast between classes is small outside the mask."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from trainables.batch import Batch, Loss
from trainables.config import Preset
from trainables.methods.method import Penalty, images_with_gradient
from trainables.methods.region import mean_outside, outside_pixels
from trainables.models import Classifier


def class_contrast(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """| f_0 − f_1 | with two classes; | f_y − mean of the other logits | with more (ours; equal for two)."""
    true = one_hot(labels, logits.shape[1]).to(logits.dtype)
    others = (1 - true) / (logits.shape[1] - 1)
    return ((true - others) * logits).sum(dim=1).abs()


def gradmask_penalty(
    logits: Float[Tensor, "batch classes"],
    images: Float[Tensor, "batch channels height width"],
    labels: Int[Tensor, " batch"],
    outside: Bool[Tensor, "batch 1 height width"],
    takes_part: Bool[Tensor, " batch"],
    preset: Preset,
) -> Float[Tensor, ""]:
    """Absolute input gradient of the class contrast, outside the mask.

    g = d( sum_b | f_0 − f_1 |_b ) / dx, so with batch normalisation in train mode an image's gradient also holds
    its influence on the others' scores. `paper`: sum over batch, channels and pixels of | g · S |. `fixed`: mean
    over outside pixels and channels of each image, then over images.

    Source: Simpson et al., MIDL 2019, arXiv:1904.07478; Viviano et al., ICLR 2021.

    Returns:
        Scalar in logits per unit of pixel value.
    """
    (gradient,) = torch.autograd.grad(class_contrast(logits, labels).sum(), images, create_graph=True)
    if preset == "paper":
        return (gradient * outside).abs().sum()
    return mean_outside(gradient.abs(), outside, takes_part)


class GradMask(Penalty):
    """CE(f(x), y) + strength · | d( |f_0 − f_1| )/dx · S |, summed (`paper`) or averaged (`fixed`)."""

    second_order: ClassVar[bool] = True
    relative_cost: ClassVar[float] = 2.7

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        images = images_with_gradient(batch)
        logits = model(images).logits
        penalty = gradmask_penalty(logits, images, batch.labels, outside, takes_part, self.config.preset)
        return Loss(cross_entropy(logits, batch.labels), penalty)
