"""Convolution of many models at once, differentiable any number of times at the cost of grouped convolutions.

torch's own second derivative of a grouped convolution goes through the groups one by one, which on a GPU undoes what
stacking models gains.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input, conv2d_weight

Pair = tuple[int, int]
Geometry = tuple[Pair, Pair, Pair, int]
"""Stride, padding and dilation, each for height and width, and the number of groups."""


def grouped_convolution(
    images: Float[Tensor, "batch all_channels height width"],
    weight: Float[Tensor, "all_out channels kernel_height kernel_width"],
    geometry: Geometry,
) -> Float[Tensor, "batch all_out h w"]:
    """What `torch.nn.functional.conv2d` gives, without bias and zero-padded.

    Convolution y = x ∗ w is linear in x and in w, and so are its two derivatives, the correlations of y's gradient
    with w and with x. The derivatives of each of the three are the other two, so that all orders are grouped
    convolutions.
    """
    result: Tensor = _Convolution.apply(images, weight, geometry)
    return result


class _Convolution(torch.autograd.Function):
    """y(x, w)."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.geometry = geometry
        return conv2d(images, weight, None, *geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        images, weight = ctx.saved_tensors
        return (
            _of_images(gradient, weight, images.shape, ctx.geometry) if ctx.needs_input_grad[0] else None,
            _of_weight(images, gradient, weight.shape, ctx.geometry) if ctx.needs_input_grad[1] else None,
            None,
        )


class _OfImages(torch.autograd.Function):
    """dy/dx applied to a gradient g of y: linear in g and w."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, weight: Tensor, shape: torch.Size, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(gradient, weight)
        ctx.geometry = geometry
        return conv2d_input(shape, weight, gradient, *geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (images,) = gradients
        gradient, weight = ctx.saved_tensors
        return (
            grouped_convolution(images, weight, ctx.geometry) if ctx.needs_input_grad[0] else None,
            _of_weight(images, gradient, weight.shape, ctx.geometry) if ctx.needs_input_grad[1] else None,
            None,
            None,
        )


class _OfWeight(torch.autograd.Function):
    """dy/dw applied to a gradient g of y: linear in x and g."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, gradient: Tensor, shape: torch.Size, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(images, gradient)
        ctx.geometry = geometry
        return conv2d_weight(images, shape, gradient, *geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = gradients
        images, gradient = ctx.saved_tensors
        return (
            _of_images(gradient, weight, images.shape, ctx.geometry) if ctx.needs_input_grad[0] else None,
            grouped_convolution(images, weight, ctx.geometry) if ctx.needs_input_grad[1] else None,
            None,
            None,
        )


def _of_images(gradient: Tensor, weight: Tensor, shape: torch.Size, geometry: Geometry) -> Tensor:
    result: Tensor = _OfImages.apply(gradient, weight, shape, geometry)
    return result


def _of_weight(images: Tensor, gradient: Tensor, shape: torch.Size, geometry: Geometry) -> Tensor:
    result: Tensor = _OfWeight.apply(images, gradient, shape, geometry)
    return result
