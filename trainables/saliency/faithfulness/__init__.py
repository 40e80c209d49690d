"""Faithfulness: does a map describe what the model does? A covariate of the localisation scores, not one of them.

To add one: a function from an `Explained` to one score per image in a file, its import and one line here.
"""

from collections.abc import Callable

from torch import Tensor

from trainables.saliency.faithfulness.explained import Explained as Explained
from trainables.saliency.faithfulness.measures import deletion as deletion
from trainables.saliency.faithfulness.measures import infidelity as infidelity
from trainables.saliency.faithfulness.measures import insertion as insertion
from trainables.saliency.faithfulness.measures import sensitivity_max as sensitivity_max

FAITHFULNESS: dict[str, Callable[[Explained], Tensor]] = {
    "deletion": deletion,
    "infidelity": infidelity,
    "insertion": insertion,
    "sensitivity_max": sensitivity_max,
}
