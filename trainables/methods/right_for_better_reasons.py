"""Right for better reasons: where outside pixels move the answer, they do not move what is learnt from the image."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.config import Preset
from trainables.methods.method import Penalty, images_with_gradient
from trainables.methods.parts.elementary_batch_norm import ElementaryBatchNorm
from trainables.methods.parts.region import mean_outside, outside_pixels
from trainables.models import Classifier


def influence(
    model: Classifier,
    logits: Float[Tensor, "batch classes"],
    images: Float[Tensor, "batch channels height width"],
    labels: Int[Tensor, " batch"],
) -> Float[Tensor, "batch channels height width"]:
    """IF = d( sum_theta dL/dtheta ) / dx, L the cross-entropy of the batch, summed, in nats; theta all parameters.

    How a change of a pixel changes the step that training takes on the image, summed over the parameters; `logits`
    must come from `images`.
    """
    entropy = cross_entropy(logits, labels, reduction="sum")
    slopes = torch.autograd.grad(entropy, list(model.parameters()), create_graph=True)
    total = torch.stack([slope.sum() for slope in slopes]).sum()
    (gradient,) = torch.autograd.grad(total, images, create_graph=True)
    return gradient


def right_for_better_reasons_penalty(
    influences: Float[Tensor, "batch channels height width"],
    gradients: Float[Tensor, "batch channels height width"],
    outside: Bool[Tensor, "batch 1 height width"],
    takes_part: Bool[Tensor, " batch"],
    preset: Preset,
) -> Float[Tensor, ""]:
    """(S · IF · IG)^2: the sum over batch, channels and pixels (`paper`), or the mean over outside ones and images."""
    product = influences * gradients
    if preset == "paper":
        return (product * outside).square().sum()
    return mean_outside(product.square(), outside, takes_part)


class RightForBetterReasons(Penalty):
    """CE(f(x), y) + strength · (S · IF · IG)^2, summed (`paper`) or averaged (`fixed`).

    IG = d( sum_k log p_k ) / dx is RRR's input gradient, IF = d( sum_theta dL/dtheta ) / dx the influence on training.
    A pixel outside costs where both are large. It is the only penalty whose training differentiates three times.

    Source: Shao, Skryagin, Stammer, Schramowski & Kersting, AAAI 2021, whose influence function has the inverse
    Hessian; as in their experiments the identity stands for it. As everywhere here batch normalisation couples the
    images of a batch in both gradients.
    """

    second_order: ClassVar[bool] = True

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        images = images_with_gradient(batch)
        with ElementaryBatchNorm():
            logits = model(images).logits
        influences = influence(model, logits, images, batch.labels)
        (gradients,) = torch.autograd.grad(logits.log_softmax(dim=1).sum(), images, create_graph=True)
        penalty = right_for_better_reasons_penalty(influences, gradients, outside, takes_part, self.config.preset)
        return Loss(cross_entropy(logits, batch.labels), penalty)
