"""Right for better reasons: outside pixels that change the answer do not change what the model learns."""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import batch_norm, cross_entropy
from torch.overrides import TorchFunctionMode

from trainables.core.batch import Batch, Loss
from trainables.core.shapes import Images, Labels, Logits
from trainables.methods.method import Penalty, images_with_gradient
from trainables.methods.parts.region import outside_pixels, reduced_outside
from trainables.models import Classifier


def influence(
    model: Classifier, logits: Logits, images: Images, labels: Labels, reduction: Literal["sum", "mean"] = "sum"
) -> Images:
    """IF = d( sum_theta dL/dtheta ) / dx, L the cross-entropy of the batch in nats, theta all trained weights.

    How changing a pixel changes the training step, summed over the weights. `logits` must come from `images`.
    """
    entropy = cross_entropy(logits, labels, reduction=reduction)
    trained = [weights for weights in model.parameters() if weights.requires_grad]
    slopes = torch.autograd.grad(entropy, trained, create_graph=True)
    total = torch.stack([slope.sum() for slope in slopes]).sum()
    (gradient,) = torch.autograd.grad(total, images, create_graph=True)
    return gradient


class RightForBetterReasons(Penalty):
    """CE(f(x), y) + strength · (S · IF · IG)^2, summed (`paper`) or averaged (`fixed`).

    IG = d( sum_k log p_k ) / dx is RRR's input gradient, IF = d( sum_theta dL/dtheta ) / dx the influence on training,
    L the cross-entropy, summed over the batch (`fixed`) or its mean (`paper`). A pixel outside is penalised where both
    are large. Training differentiates three times.

    Source: Shao, Skryagin, Stammer, Schramowski & Kersting, AAAI 2021, with the identity in place of the influence
    function's inverse Hessian, as in the authors' group's program for Friedrich et al., Nature Machine Intelligence
    2023 ("A typology for exploring the mitigation of shortcut behaviour").
    """

    second_order = True
    paper_revision = 2
    strengths = (1e0, 1e3)

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        images = images_with_gradient(batch)
        with ElementaryBatchNorm():
            logits = model(images).logits
        influences = influence(model, logits, images, batch.labels, "mean" if self.config.preset == "paper" else "sum")
        (gradients,) = torch.autograd.grad(logits.log_softmax(dim=1).sum(), images, create_graph=True)
        penalty = reduced_outside((influences * gradients).square(), outside, takes_part, self.config.preset)
        return Loss(cross_entropy(logits, batch.labels), penalty)


class ElementaryBatchNorm(TorchFunctionMode):
    """Within the block, every batch normalisation is computed by `elementary_batch_norm`, in any model.

    The third derivative of torch's function raises an error since torch 2.15 and is wrong in earlier releases.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is batch_norm:
            func = elementary_batch_norm
        return func(*args, **(kwargs or {}))


def elementary_batch_norm(
    input: Float[Tensor, "batch channels *spatial"],  # torch's name, as it may be passed by keyword
    running_mean: Float[Tensor, " channels"] | None,
    running_var: Float[Tensor, " channels"] | None,
    weight: Float[Tensor, " channels"] | None = None,
    bias: Float[Tensor, " channels"] | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Float[Tensor, "batch channels *spatial"]:
    """The value and the side effects of `torch.nn.functional.batch_norm`, differentiable any number of times.

    y = (x − mean) / sqrt(var + eps) · weight + bias: Ioffe & Szegedy, ICML 2015, algorithm 1.
    """
    shape = (1, -1, *(1,) * (input.dim() - 2))
    dtype = input.dtype
    # As in torch: statistics of half-precision values are computed in single precision.
    input = input.to(torch.promote_types(dtype, torch.float32))
    if not training and running_mean is not None and running_var is not None:
        mean, var = running_mean, running_var
        centred = input - mean.view(shape)
    else:
        axes = (0, *range(2, input.dim()))
        mean = input.mean(axes)
        centred = input - mean.view(shape)
        var = centred.square().mean(axes)
        if running_mean is not None and running_var is not None:
            n = input.numel() // input.shape[1]
            with torch.no_grad():
                running_mean.lerp_(mean, momentum)
                running_var.lerp_(var * (n / max(n - 1, 1)), momentum)
    scale = (var + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    result = centred * scale.view(shape)
    if bias is not None:
        result = result + bias.view(shape)
    return result.to(dtype)
