"""Smallest rank correlation that a given number of trials can detect."""

import math

from scipy import stats

from analysis.stats.rank_correlation import FISHER_C

ALPHA = 0.05
POWER = 0.8


def error_of(weight: float) -> float | None:
    """Standard error of Fisher's z of Spearman's rho among independent trials: sqrt(1.06 / weight).

    Source: Fieller, Hartley & Pearson, Biometrika 44, 1957.

    Args:
        weight: n − 3 for n trials; the sum of n − 3 over cells for combined cells.

    Returns:
        None where the weight is not positive.
    """
    return math.sqrt(FISHER_C["spearman"] / weight) if weight > 0 else None


def minimal_detectable(
    error: float | None, df: float | None = None, *, alpha: float = ALPHA, power: float = POWER
) -> float | None:
    """Smallest |rho| that a two-sided test at level `alpha` detects with this probability.

    tanh((q_{1 − alpha/2} + q_power) SE), with q the quantiles of Student's t, or of the normal law without `df`.

    Args:
        error: standard error of Fisher's z; None where it is unknown.
        df: its degrees of freedom.

    Returns:
        A value in (0, 1), or None without an error.
    """
    if error is None:
        return None
    law = stats.norm if df is None else stats.t(df)
    return math.tanh(float(law.ppf(1 - alpha / 2) + law.ppf(power)) * error)
