"""The range of strengths worth trying for each method, under the preset `fixed`.

Each method keeps its decades beside its name. Methods without a penalty have strength 0 alone. Decades of methods that
are not in PAPER_METHODS go by the order of magnitude at which the penalty meets the cross-entropy; they are not tuned.
"""

import math
from collections.abc import Sequence

DECADES: dict[str, tuple[float, float]] = {
    "actdiff": (1e-2, 1e1),
    "adversarial": (1e-2, 1e1),
    "cdep": (1e-1, 1e1),
    "corm": (1e-1, 1e1),
    "counterexamples": (1e-1, 1e1),
    "counterfactual_fill": (1e-1, 1e1),
    "energy": (1e-2, 1e1),
    "expected_gradients": (1e0, 1e3),
    "gain": (1e-2, 1e1),
    "gradmask": (1e0, 1e3),
    "hint": (1e-1, 1e1),
    "ibp_ex": (1e-1, 1e1),
    "input_gradient_logit": (1e0, 1e3),
    "logit_invariance": (1e-2, 1e1),
    "pgd_ex": (1e-1, 1e1),
    "right_for_better_reasons": (1e0, 1e3),
    "rrr": (1e0, 1e3),
    "rrr_grad_cam": (1e-1, 1e2),
    "saliency_guided": (1e-2, 1e1),
}
# small_cnn has 64 features: the paper's discriminator, 1024 units wide for ResNet-18's 512, would cost more than it.
SMALL_DISCRIMINATOR = {"adversarial": {"disc_width": 128}}
NO_PENALTY = ("baseline", "dfr", "group_dro", "masked", "masktune", "shuffled")
# The rows of the paper's tables: what the spaces smoke, laptop, own_data, controls and paper_* compare.
PAPER_METHODS = ("baseline", "masked", "shuffled", "actdiff", "adversarial", "gradmask", "rrr")
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


def strength_grid(levels: int, methods: Sequence[str] = PAPER_METHODS) -> dict[str, tuple[float, ...]]:
    """For each method `levels` strengths, evenly spaced over its decades on a log scale; (0,) without a penalty."""
    grid: dict[str, tuple[float, ...]] = {}
    for method in methods:
        if method in NO_PENALTY:
            grid[method] = (0.0,)
            continue
        low, high = DECADES[method]
        step = (math.log10(high) - math.log10(low)) / max(levels - 1, 1)
        grid[method] = tuple(float(f"{10 ** (math.log10(low) + i * step):.6g}") for i in range(levels))
    return grid
