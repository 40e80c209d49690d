"""A differentiable Grad-CAM, and masks at its resolution."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from trainables.core.shapes import Cells, PerImage, Pixels


def signed_grad_cam(scores: PerImage, maps: Float[Tensor, "batch features h w"]) -> Cells:
    """sum_k w_k A_k, w_k the mean over the map of d score / dA_k; `scores` must come from `maps`.

    Source: Selvaraju et al., ICCV 2017, equations 1 and 2. The weights are part of the graph. For models linear in the
    mean of their last map, as here, it is the class activation map of Zhou et al., CVPR 2016, divided by h · w.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), maps, create_graph=True)
    return (gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1)


def grad_cam(scores: PerImage, maps: Float[Tensor, "batch features h w"]) -> Cells:
    """ReLU( sum_k w_k A_k ), the positive part of `signed_grad_cam`."""
    return signed_grad_cam(scores, maps).relu()


def unit_range(maps: Cells) -> Cells:
    """Shift and scale each map to [0, 1]; a constant one becomes zero."""
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    spread = high - low
    return (maps - low) / torch.where(spread > 0, spread, torch.ones_like(spread))


def share_of_cells(pixels: Pixels, like: Cells) -> Cells:
    """Share of each cell, in [0, 1], that `pixels` cover, at the resolution of `like`."""
    return adaptive_avg_pool2d(pixels.to(like.dtype), (like.shape[1], like.shape[2]))[:, 0]
