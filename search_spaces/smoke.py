"""smoke: everything once, in a few minutes on two cores."""

from search_spaces.space import Space, factorial
from search_spaces.strengths import ONE_STRENGTH, SMALL_DISCRIMINATOR


def smoke() -> Space:
    """84 trials: two datasets, seven methods, severities 0, 0.5 and 1, two seeds; short: a check, not an answer."""
    trials = factorial(
        seeds=(0, 1),
        datasets=("synthetic", "decoy_digits"),
        severities=(0.0, 0.5, 1.0),
        strengths=ONE_STRENGTH,
        method_settings=SMALL_DISCRIMINATOR,
        lr=(3e-3,),
        epochs=(3,),
        attribution_images=(16,),
        integrated_gradients_steps=(16,),
    )
    return Space("smoke", "two datasets and every method once, short; a check, not an answer", tuple(trials))
