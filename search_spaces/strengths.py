"""Strengths to sweep under the preset `fixed`, and settings that several spaces share."""

import math
from collections.abc import Sequence
from typing import Any

# small_cnn has 64 features: the paper's discriminator, 1024 units wide for ResNet-18's 512, would cost more than it.
SMALL_DISCRIMINATOR = {"adversarial": {"disc_width": 128}}
_FAST = ("grad_cam", "input_gradient", "integrated_gradients")
GRADIENTS: dict[str, Any] = {"attributions": (_FAST,), "attribution_images": (32,)}
ONE_STRENGTH = {
    **dict.fromkeys(("baseline", "masked", "shuffled"), (0.0,)),
    **{"actdiff": (1.0,), "gradmask": (10.0,), "rrr": (10.0,), "adversarial": (1.0,)},
}
"""Within the ranges of the methods; not tuned."""
PAPER_METHODS = ("baseline", "masked", "shuffled", "actdiff", "adversarial", "gradmask", "rrr")
"""The rows of the paper's tables, which the spaces smoke, laptop, own_data, controls and paper_* compare."""


def strength_grid(levels: int, methods: Sequence[str] = PAPER_METHODS) -> dict[str, tuple[float, ...]]:
    """`levels` strengths per method, evenly spaced over `Method.strengths` on a log scale; (0,) without a penalty."""
    # Imported here because it loads torch, which --help and --list-spaces do without.
    from trainables.methods import METHODS

    grid: dict[str, tuple[float, ...]] = {}
    for method in methods:
        if (strengths := METHODS[method].strengths) is None:
            grid[method] = (0.0,)
            continue
        low, high = (math.log10(strength) for strength in strengths)
        step = (high - low) / max(levels - 1, 1)
        grid[method] = tuple(float(f"{10 ** (low + i * step):.6g}") for i in range(levels))
    return grid
