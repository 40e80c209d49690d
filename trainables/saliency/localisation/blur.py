"""Gaussian blur that smooths maps before they are scored."""

import torch
from torch.nn.functional import conv2d

from trainables.core.shapes import Maps

TRUNCATE = 3.5


def blur(maps: Maps, sigma: float) -> Maps:
    """Convolve maps with a Gaussian of `sigma` pixels, cut at 3.5 sigma, zero beyond the border.

    Equal to scipy.ndimage.gaussian_filter(map, sigma, mode="constant", truncate=3.5). Sigma 0 changes nothing.

    Source: the scoring rule of Viviano et al., ICLR 2021.
    """
    if sigma == 0:
        return maps
    radius = int(TRUNCATE * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (weights / weights.sum()).to(maps)
    columns = conv2d(maps[:, None], kernel[None, None, :, None], padding=(radius, 0))
    return conv2d(columns, kernel[None, None, None, :], padding=(0, radius))[:, 0]
