"""resnet18: does the answer of `laptop` hold for a larger network?"""

from search_spaces.space import Space, factorial
from search_spaces.strengths import GRADIENTS, strength_grid


def resnet18() -> Space:
    """108 trials: three methods, four strengths each, severities 0.9 and 1, six data seeds, on the paper's network.

    (1 + 4 + 4) configurations x 2 severities x 6 seeds, the fewest that can answer the comparisons of seeds, of
    settings and given validation AUC; three methods are too few to compare. The splits are smaller than in `laptop`,
    since a trial takes minutes.

    Declared before the sweep ran, as in `laptop`: the primary analysis and three comparisons.
    """
    trials = factorial(
        seeds=range(6),
        datasets=("synthetic",),
        severities=(0.9, 1.0),
        strengths=strength_grid(4, ("baseline", "actdiff", "gradmask")),
        model=("resnet18",),
        lr=(1e-3,),
        epochs=(6,),
        batch_size=(16,),
        selection_warmup=(0,),
        n_train=(500,),
        n_valid=(256,),
        n_test=(1000,),
        **GRADIENTS,
        integrated_gradients_steps=(16,),
    )
    description = "the answer for a larger network: three methods, two severities, six seeds"
    return Space("resnet18", description, trials, comparisons=("seed", "setting", "given_id"))
