"""Faithfulness: does a map say what the model does? No measure of where it falls, but a covariate of those.

Each takes an `Explained`, gives one score an image. To add one: one file with a function, one line here.
"""

from collections.abc import Callable

from torch import Tensor

from trainables.saliency.faithfulness.deletion import deletion as deletion
from trainables.saliency.faithfulness.explained import Explained as Explained
from trainables.saliency.faithfulness.infidelity import infidelity as infidelity
from trainables.saliency.faithfulness.insertion import insertion as insertion
from trainables.saliency.faithfulness.sensitivity_max import sensitivity_max as sensitivity_max

FAITHFULNESS: dict[str, Callable[[Explained], Tensor]] = {
    "deletion": deletion,
    "infidelity": infidelity,
    "insertion": insertion,
    "sensitivity_max": sensitivity_max,
}
