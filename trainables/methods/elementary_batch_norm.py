"""Batch normalisation in elementary operations, for losses that are differentiated three times."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import batch_norm
from torch.overrides import TorchFunctionMode


class ElementaryBatchNorm(TorchFunctionMode):
    """Within the block, every batch normalisation is computed by `elementary_batch_norm`.

    The first two derivatives of torch's own function are right. Its third is refused since torch 2.15, and wrong in
    earlier releases. The block replaces the function, not the layers: parameters, buffers and checkpoints stay as they
    are, and models from other packages are covered.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is batch_norm:
            func = elementary_batch_norm
        return func(*args, **(kwargs or {}))


def elementary_batch_norm(
    input: Float[Tensor, "batch channels *spatial"],  # named as torch names it: it may be given by keyword
    running_mean: Float[Tensor, " channels"] | None,
    running_var: Float[Tensor, " channels"] | None,
    weight: Float[Tensor, " channels"] | None = None,
    bias: Float[Tensor, " channels"] | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Float[Tensor, "batch channels *spatial"]:
    """The value and the side effects of `torch.nn.functional.batch_norm`, differentiable any number of times.

    y = (x − mean) / sqrt(var + eps) · weight + bias, mean and biased variance taken over batch and space.

    Args:
        input: what is normalised, channel by channel.
        running_mean, running_var: in training, updated in place with the unbiased variance; otherwise used instead of
            the batch's statistics.
        weight, bias: scale and shift; None for 1 and 0.
        training: whether the batch's own statistics are used.
        momentum: weight of this batch in the running statistics, in [0, 1].
        eps: added to the variance.

    Source: Ioffe & Szegedy, ICML 2015, algorithm 1.
    """
    shape = (1, -1, *(1,) * (input.dim() - 2))
    dtype = input.dtype
    # As in torch's own: statistics of half-precision values are taken in single precision.
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
