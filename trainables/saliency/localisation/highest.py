"""How many of a map's highest pixels lie in the mask, whatever the ties."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def share_of_highest(
    maps: Float[Tensor, "images height width"],
    masks: Bool[Tensor, "images height width"],
    k: Int[Tensor, " images"],
) -> Float[Tensor, " images"]:
    """Share in [0, 1] of the k highest pixels that lie in the mask; k >= 1.

    Of pixels tied at the k-th value as many count as places are left, and of those the share that tied pixels have in
    the mask: the expected value if ties were broken at random. A constant map scores the mask's relative area.
    """
    flat, inside = maps.flatten(1), masks.flatten(1)
    kth = flat.sort(dim=1, descending=True).values.gather(1, (k - 1)[:, None])
    above, tied = flat > kth, flat == kth
    places = k - above.sum(dim=1)
    tied_share = (tied & inside).sum(dim=1).float() / tied.sum(dim=1).clamp(min=1)
    return ((above & inside).sum(dim=1) + places * tied_share) / k


def areas(masks: Bool[Tensor, "images height width"]) -> Int[Tensor, " images"]:
    """Pixels of each mask, at least 1: an empty one's score is undefined anyway."""
    return masks.flatten(1).sum(dim=1).clamp(min=1)


def below_and_not_above(
    values: Float[Tensor, "images others"], at: Float[Tensor, "images pixels"]
) -> tuple[Int[Tensor, "images pixels"], Int[Tensor, "images pixels"]]:
    """Of each row's `values`, how many are less than each of `at`, and how many are not greater."""
    ordered = values.sort(dim=1).values
    at = at.contiguous()
    return torch.searchsorted(ordered, at), torch.searchsorted(ordered, at, right=True)
