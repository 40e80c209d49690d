"""Smallest rank correlation that a given number of trials can detect."""

import math

from scipy import stats

from analysis.stats.rank_correlation import FISHER_C, FISHER_D

ALPHA = 0.05
POWER = 0.8


def minimal_detectable(weight: float, *, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """Smallest |rho| that a two-sided test of Spearman's rho at level `alpha` detects with probability `power`.

    tanh((z_{1 − alpha/2} + z_power) sqrt(1.06 / weight)), from the variance of Fisher's z (Fieller, Hartley & Pearson,
    Biometrika 44, 1957); for independent trials.

    Args:
        weight: n − 3 for one sample of n trials; the sum of n − 3 over cells for combined cells.

    Returns:
        A value in (0, 1), or None where the weight is not positive.
    """
    if weight <= 0:
        return None
    return minimal_detectable_from_error(math.sqrt(FISHER_C["spearman"] / weight), alpha=alpha, power=power)


def minimal_detectable_of(n: int, *, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """`minimal_detectable` for one sample of n trials."""
    return minimal_detectable(n - FISHER_D["spearman"], alpha=alpha, power=power)


def minimal_detectable_from_error(
    error: float, df: float | None = None, *, alpha: float = ALPHA, power: float = POWER
) -> float:
    """Smallest detectable |rho|, from a standard error of Fisher's z.

    Args:
        error: for example that of the cluster jackknife, which accounts for shared data seeds.
        df: its degrees of freedom, for Student's t; without them the normal law is used.
    """
    law = stats.norm if df is None else stats.t(df)
    return math.tanh(float(law.ppf(1 - alpha / 2) + law.ppf(power)) * error)
