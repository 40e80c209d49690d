"""smoke: the whole question in small, in a few minutes on two cores."""

from search_spaces.space import Space, factorial
from search_spaces.strengths import ONE_STRENGTH


def smoke() -> Space:
    """192 trials: five methods, one at four strengths, severities 0.9 and 1, six seeds, crosses and real digits."""
    one_strength = {method: ONE_STRENGTH[method] for method in ("baseline", "masked", "shuffled", "gradmask")}
    trials = factorial(
        seeds=range(6),
        datasets=("synthetic", "decoy_digits"),
        severities=(0.9, 1.0),
        strengths={**one_strength, "actdiff": (0.01, 0.1, 1.0, 10.0)},
        lr=(3e-3,),
        epochs=(1,),
        batch_size=(16,),
        attribution_images=(16,),
        integrated_gradients_steps=(16,),
    )
    description = "the whole question in small: five methods, one of them at four strengths"
    return Space("smoke", description, trials, larger="laptop")
