"""Random pixel values in the range of each image."""

import torch
from jaxtyping import Float
from torch import Tensor


def uniform_noise(
    images: Float[Tensor, "batch channels height width"], rng: torch.Generator
) -> Float[Tensor, "batch channels height width"]:
    """Independent values for each pixel and channel, uniform between the least and greatest of that image's channel."""
    low = images.detach().amin(dim=(2, 3), keepdim=True)
    high = images.detach().amax(dim=(2, 3), keepdim=True)
    draw = torch.rand(images.shape, generator=rng, dtype=images.dtype).to(images.device)
    return low + (high - low) * draw
