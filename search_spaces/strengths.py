"""Strengths to sweep under the preset `fixed`: a grid over the range that each method declares (`Method.strengths`)."""

import math
from collections.abc import Sequence

# small_cnn has 64 features: the paper's discriminator, 1024 units wide for ResNet-18's 512, would cost more than it.
SMALL_DISCRIMINATOR = {"adversarial": {"disc_width": 128}}
# The rows of the paper's tables: what the spaces smoke, laptop, own_data, controls and paper_* compare.
PAPER_METHODS = ("baseline", "masked", "shuffled", "actdiff", "adversarial", "gradmask", "rrr")
# Within the ranges of the methods; not tuned.
ONE_STRENGTH: dict[str, tuple[float, ...]] = {
    "baseline": (0.0,),
    "masked": (0.0,),
    "shuffled": (0.0,),
    "actdiff": (1.0,),
    "gradmask": (10.0,),
    "rrr": (10.0,),
    "adversarial": (1.0,),
}


def strength_grid(levels: int, methods: Sequence[str] = PAPER_METHODS) -> dict[str, tuple[float, ...]]:
    """For each method `levels` strengths, evenly spaced over its range on a log scale; (0,) without a penalty."""
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
