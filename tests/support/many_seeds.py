"""A space in a separate file: seven methods at severity 1, with many seeds."""

from search_spaces.space import Space, factorial
from search_spaces.strengths import ONE_STRENGTH, SMALL_DISCRIMINATOR


def many_seeds() -> Space:
    """Seven methods x 40 seeds on the synthetic crosses."""
    trials = factorial(
        seeds=range(40),
        datasets=("synthetic",),
        severities=(1.0,),
        strengths=ONE_STRENGTH,
        method_settings=SMALL_DISCRIMINATOR,
    )
    return Space("many_seeds", "many short trials", tuple(trials))
