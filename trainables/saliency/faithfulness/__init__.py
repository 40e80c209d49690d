"""Faithfulness: does a map describe what the model does? A covariate of the localisation scores, not one of them.

To add one: a function from an `Explained` to one score per image in a file, its import and one line here.
"""

from collections.abc import Callable

from torch import Tensor

from trainables.saliency.faithfulness.measures import Explained, deletion, infidelity, insertion, sensitivity_max

FAITHFULNESS: dict[str, Callable[[Explained], Tensor]] = {
    "deletion": deletion,
    "infidelity": infidelity,
    "insertion": insertion,
    "sensitivity_max": sensitivity_max,
}
