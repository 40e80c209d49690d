"""What is left of the score as pixels go, or come, in the order of the map."""

import torch
from jaxtyping import Float
from torch import Tensor

from trainables.saliency.faithfulness.explained import Explained

STEPS = 28
"""Between none and all of the pixels, evenly."""


def area_under_fade(explained: Explained, show_highest: bool) -> Float[Tensor, " images"]:
    """Area under the target's probability against the share of pixels changed, by trapezoids, in [0, 1].

    Pixels go from the map's highest to its lowest, ties in the order of rows. With `show_highest` the image begins at
    zero and its pixels come; without, it begins whole and its pixels are set to zero.
    """
    flat = explained.maps.flatten(1)
    order = flat.argsort(dim=1, descending=True, stable=True)
    place = torch.empty_like(order).scatter_(1, order, torch.arange(flat.shape[1], device=flat.device).expand_as(order))
    place = place.view_as(explained.maps)[:, None]
    heights = []
    for step in range(STEPS + 1):
        changed = place < round(step / STEPS * flat.shape[1])
        shown = changed if show_highest else ~changed
        heights.append(explained.probabilities(explained.images * shown))
    return explained.defined(torch.trapezoid(torch.stack(heights, dim=1), dx=1 / STEPS, dim=1))
