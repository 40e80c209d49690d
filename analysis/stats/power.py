"""The smallest correlation that a number of trials can see."""

import math

from scipy import stats

from analysis.stats.rank_correlation import LOST, VARIANCE

ALPHA = 0.05
POWER = 0.8


def minimal_detectable(weight: float, *, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """The smallest |rho| that a two-sided test of Spearman's rho at level `alpha` finds with chance `power`.

    tanh((z_{1 − alpha/2} + z_power) sqrt(1.06 / weight)), from the variance of Fisher's z (Fieller, Hartley &
    Pearson 1957); for independent trials.

    Args:
        weight: n − 3 for one sample of n trials, the sum of n − 3 over cells for cells combined.

    Returns:
        A value in (0, 1), or None where the weight is not positive.
    """
    if weight <= 0:
        return None
    return math.tanh(_reach(alpha, power) * math.sqrt(VARIANCE["spearman"] / weight))


def minimal_detectable_of(n: int, *, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """`minimal_detectable` of one sample of n trials."""
    return minimal_detectable(n - LOST["spearman"], alpha=alpha, power=power)


def minimal_detectable_from_error(
    error: float, df: int | None = None, *, alpha: float = ALPHA, power: float = POWER
) -> float:
    """The same from a standard error of Fisher's z: one that knows of shared data seeds, where trials do not.

    Args:
        error: for example the cluster jackknife's.
        df: its degrees of freedom, for Student's t in the place of the normal law.
    """
    return math.tanh(_reach(alpha, power, df) * error)


def _reach(alpha: float, power: float, df: int | None = None) -> float:
    law = stats.norm if df is None else stats.t(df)
    return float(law.ppf(1 - alpha / 2) + law.ppf(power))
