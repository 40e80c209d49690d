"""The range of strengths worth trying for each method, under the preset `fixed`.

Each method keeps its decades beside its name. Methods without a penalty have strength 0 alone.
"""

import math

DECADES: dict[str, tuple[float, float]] = {
    "actdiff": (1e-2, 1e1),
    "adversarial": (1e-2, 1e1),
    "gradmask": (1e0, 1e3),
    "rrr": (1e0, 1e3),
}
# small_cnn has 64 features: the paper's discriminator, 1024 units wide for ResNet-18's 512, would cost more than it.
SMALL_DISCRIMINATOR = {"adversarial": {"disc_width": 128}}
NO_PENALTY = ("baseline", "masked", "shuffled")
# Within the decades and not tuned.
ONE_STRENGTH: dict[str, tuple[float, ...]] = {
    "baseline": (0.0,),
    "masked": (0.0,),
    "shuffled": (0.0,),
    "actdiff": (1.0,),
    "gradmask": (10.0,),
    "rrr": (10.0,),
    "adversarial": (1.0,),
}


def strength_grid(levels: int) -> dict[str, tuple[float, ...]]:
    """For every method `levels` strengths, evenly spaced over its decades on a log scale; (0,) without a penalty."""
    grid: dict[str, tuple[float, ...]] = dict.fromkeys(NO_PENALTY, (0.0,))
    for method, (low, high) in DECADES.items():
        step = (math.log10(high) - math.log10(low)) / max(levels - 1, 1)
        grid[method] = tuple(float(f"{10 ** (math.log10(low) + i * step):.6g}") for i in range(levels))
    return grid
