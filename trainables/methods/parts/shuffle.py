"""Random permutation of the pixels outside the mask, for a whole batch at once."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def shuffle_outside(
    images: Float[Tensor, "batch channels height width"],
    outside: Bool[Tensor, "batch 1 height width"],
    rng: torch.Generator,
) -> Float[Tensor, "batch channels height width"]:
    """Images whose outside pixels are a uniformly random permutation of themselves; inside pixels stay.

    Each image has its own permutation; the channels of a pixel move together. Detached from any graph.

    Source: the shuffle of Viviano et al., ICLR 2021 (ActDiff and its control).
    """
    return shuffled_by(images, outside, shuffle_draw(images, rng).to(images.device))


def shuffle_draw(
    images: Float[Tensor, "batch channels height width"], rng: torch.Generator
) -> Float[Tensor, "batch pixels"]:
    """One number in [0, 1) for each pixel of each image, from the processor's `rng` and on the processor."""
    return torch.rand(len(images), images.shape[2] * images.shape[3], generator=rng)


def shuffled_by(
    images: Float[Tensor, "batch channels height width"],
    outside: Bool[Tensor, "batch 1 height width"],
    draw: Float[Tensor, "batch pixels"],
) -> Float[Tensor, "batch channels height width"]:
    """The shuffle that sorts each image's outside pixels by `draw`."""
    _, channels, height, width = images.shape
    flat = images.detach().flatten(2)
    out = outside.flatten(1)
    index = torch.arange(height * width, device=images.device)
    # Sources: outside pixels in random order, then inside pixels in their own order.
    # Targets: outside pixels in their own order, then inside pixels in their own order.
    order = torch.where(out, draw, 2.0 + index).argsort(dim=1)
    place = (~out).to(torch.uint8).argsort(dim=1, stable=True)
    moved = flat.gather(2, order[:, None, :].expand(-1, channels, -1))
    return torch.empty_like(flat).scatter_(2, place[:, None, :].expand(-1, channels, -1), moved).view_as(images)
