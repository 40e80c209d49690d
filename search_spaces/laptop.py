"""laptop: a balanced factorial that can answer the question, overnight or in some days on a laptop."""

from search_spaces.space import Space, factorial
from search_spaces.strengths import SMALL_DISCRIMINATOR, strength_grid


def laptop() -> Space:
    """5,700 trials: strengths x learning rates x severities x ten seeds, on two datasets.

    Seven methods x four strengths (for those with a penalty) x three learning rates x five severities x ten seeds:
    57 configurations x 5 severities x 10 seeds = 2,850 trials per dataset. Severities are dense near 1, where accuracy
    drops. After four epochs baseline, masked and shuffled reach a validation AUC of at least 0.95 at every learning
    rate.
    """
    trials = factorial(
        seeds=range(10),
        datasets=("synthetic", "decoy_digits"),
        severities=(0.0, 0.5, 0.8, 0.9, 1.0),
        strengths=strength_grid(levels=4),
        method_settings=SMALL_DISCRIMINATOR,
        lr=(1e-3, 3e-3, 1e-2),
        epochs=(4,),
        attribution_images=(32,),
    )
    description = "strengths x learning rates x severities x ten seeds, 2,850 trials per dataset"
    return Space("laptop", description, tuple(trials))
