"""Squared energy: the share of the squared map's mass that lies in the mask."""

from jaxtyping import Bool, Float
from torch import Tensor

from trainables.saliency.localisation import energy


def squared_energy(
    maps: Float[Tensor, "images height width"], masks: Bool[Tensor, "images height width"]
) -> Float[Tensor, " images"]:
    """Σ_M A² / Σ A², in [0, 1], higher is better; NaN for an empty mask or an all-zero map."""
    return energy(maps.square(), masks)
