"""Differences between the estimates of methods, strata or cells: their signs, and the prediction for a new one."""

import numpy as np
from scipy import stats

from analysis.stats.rank_correlation import Floats
from analysis.stats.replicated import Interval

MINIMUM = 3
"""Fewest estimates that give a prediction."""


def one_more(values: Floats, influence: Floats) -> Interval | None:
    """Student's prediction interval for the true value of a new method or dataset, from k correlated estimates.

    The interval is mean ± t_{k−1} sqrt(s² (1 + 1 / k) + c), where s² is the sample variance of the estimates and c the
    mean covariance of their errors. It is slightly too wide, since s² includes the estimates' errors. Replacing s² by
    the variance of the true values (Higgins, Thompson & Spiegelhalter, J. R. Stat. Soc. A 172, 2009, equation 12) gives
    an interval that contains too few true values, because few estimates often underestimate that variance.

    Args:
        values: [k] estimates on an unbounded scale, such as Fisher's z.
        influence: [k, clusters] the influence of each cluster on each estimate. The covariance of the errors is this
            matrix times its transpose.
    """
    k = len(values)
    if k < MINIMUM or not (np.isfinite(values).all() and np.isfinite(influence).all()):
        return None
    covariance = influence @ influence.T
    common = max((float(covariance.sum()) - float(np.trace(covariance))) / (k * (k - 1)), 0.0)
    sample = float(values.var(ddof=1))
    return Interval(float(values.mean()), float(np.sqrt(sample * (1 + 1 / k) + common)), k - 1)


def of_both_signs(estimates: list[Interval]) -> float:
    """P-value of the hypothesis that no two of k true values have opposite signs (test for qualitative interaction).

    Q+ and Q− are the sums of (estimate / error)² over the positive and the negative estimates, and Q is the smaller of
    the two. The p-value is the sum over h = 1 … k − 1 of P(B = h) P(chi² with h degrees of freedom > Q), where B is
    binomial with k − 1 trials and probability 1/2 (Gail & Simon, Biometrics 41, 1985, section 2). Because the errors
    are estimated, each ratio is first converted from Student's t to the normal law. If the estimates share errors, the
    test is conservative.

    Args:
        estimates: intervals on an unbounded scale, each with a positive standard error.
    """
    ratio = np.asarray([each.at / each.standard_error for each in estimates])
    normal = stats.norm.isf(stats.t.sf(np.abs(ratio), [each.df for each in estimates]))
    smaller = min(float((normal[side] ** 2).sum()) for side in (ratio > 0, ratio < 0))
    h = np.arange(1, len(estimates))
    return float((stats.binom.pmf(h, len(h), 0.5) * stats.chi2.sf(smaller, h)).sum()) if smaller > 0 else 1.0
