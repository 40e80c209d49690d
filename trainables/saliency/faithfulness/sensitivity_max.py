"""Maximal sensitivity: how much the map can change when the image hardly does."""

import torch
from jaxtyping import Float
from torch import Tensor

from trainables.saliency.faithfulness.explained import Explained

RADIUS = 0.02
"""Largest change of a pixel value."""
COPIES = 5


def sensitivity_max(explained: Explained) -> Float[Tensor, " images"]:
    """Largest ‖map of a noisy copy − map‖ / ‖map‖ over 5 copies, noise uniform in [−0.02, 0.02]; >= 0, low is stable.

    It costs what 5 maps cost. NaN for an all-zero map.

    Source: Yeh et al., NeurIPS 2019, definition 3.1, by sampling.
    """
    norms = explained.maps.flatten(1).norm(dim=1)
    changes = [
        (explained.attribution.maps(explained.model, explained.images + noise, explained.targets) - explained.maps)
        for noise in random_noise(explained)
    ]
    return explained.defined(torch.stack([c.flatten(1).norm(dim=1) / norms for c in changes]).amax(dim=0))


def random_noise(explained: Explained) -> Float[Tensor, "copies channels height width"]:
    """What is added to each image, one pattern for each copy."""
    uniform = torch.rand(COPIES, *explained.images.shape[1:], generator=explained.rng("sensitivity_max"))
    return ((2 * uniform - 1) * RADIUS).to(explained.images)
