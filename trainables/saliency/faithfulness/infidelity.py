"""Infidelity: how badly the map's mass in a region says how much the score falls without it."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trainables.saliency.faithfulness.explained import Explained

REGIONS = 40


def infidelity(explained: Explained) -> Float[Tensor, " images"]:
    """Mean over random squares of (b · mass of the map in the square − fall of f_y with the square at zero)²; >= 0.

    In logits²; low is faithful. b is the factor that fits an image's falls best, as maps have no common unit (captum's
    `normalize`). The 40 squares have sides of a quarter to a half of the image's. 41 passes an image. NaN for an
    all-zero map.

    Source: Yeh et al., NeurIPS 2019, definition 2.1, with squares in place of noise. The maps here are absolute values,
    so that a fall can be foretold and a rise cannot.
    """
    height, width = explained.maps.shape[1:]
    squares = random_squares(REGIONS, height, width, explained.rng("infidelity")).to(explained.maps.device)
    masses = torch.stack([(explained.maps * square).flatten(1).sum(dim=1) for square in squares], dim=1)
    whole = explained.logits(explained.images)
    falls = torch.stack([whole - explained.logits(explained.images * ~square) for square in squares], dim=1)
    squared = masses.square().sum(dim=1)
    fit = torch.where(squared > 0, (masses * falls).sum(dim=1) / squared, 0)
    return explained.defined((fit[:, None] * masses - falls).square().mean(dim=1))


def random_squares(n: int, height: int, width: int, rng: torch.Generator) -> Bool[Tensor, "{n} {height} {width}"]:
    """n squares at random places, with sides of a quarter to a half of the shorter side."""
    shorter = min(height, width)
    sides = torch.randint(max(1, shorter // 4), max(1, shorter // 2) + 1, (n,), generator=rng)
    tops = (torch.rand(n, generator=rng) * (height - sides + 1)).long()
    lefts = (torch.rand(n, generator=rng) * (width - sides + 1)).long()
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= tops[:, None]) & (rows < (tops + sides)[:, None])
    in_columns = (columns >= lefts[:, None]) & (columns < (lefts + sides)[:, None])
    return in_rows[:, :, None] & in_columns[:, None, :]
