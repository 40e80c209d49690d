"""How estimates differ between methods, strata or cells: their signs, and what one more would have."""

import numpy as np
from scipy import stats

from analysis.stats.rank_correlation import Floats
from analysis.stats.replicated import Interval

MINIMUM = 3
"""Fewest estimates with a prediction for one more."""


def one_more(values: Floats, influence: Floats) -> Interval | None:
    """Student's prediction interval for the true value of one more of k correlated estimates.

    The interval is mean ± t_{k−1} sqrt(s² (1 + 1 / k) + c), with s² the sample variance of the estimates and c the
    covariance that their errors share on average. It is a little wide, as it holds a further estimate. With the
    variance of the true values in place of s² (Higgins, Thompson & Spiegelhalter, J. R. Stat. Soc. A 172, 2009,
    equation 12) it holds too few true values: from few estimates that variance is often far too small.

    Args:
        values: [k] estimates on an unbounded scale, such as Fisher's z.
        influence: [k, clusters] how far each cluster moves each estimate; influence times its transpose is the
            covariance of the errors.
    """
    k = len(values)
    if k < MINIMUM or not (np.isfinite(values).all() and np.isfinite(influence).all()):
        return None
    covariance = influence @ influence.T
    common = max((float(covariance.sum()) - float(np.trace(covariance))) / (k * (k - 1)), 0.0)
    sample = float(values.var(ddof=1))
    return Interval(float(values.mean()), float(np.sqrt(sample * (1 + 1 / k) + common)), k - 1)


def of_both_signs(estimates: list[Interval]) -> float:
    """P-value of the hypothesis that no two of k true values have opposite signs (qualitative interaction).

    Q+ and Q− are the sums of (estimate / error)² over the positive and over the negative estimates. The p-value of the
    smaller one, Q, is the sum over h = 1 … k − 1 of P(h heads in k − 1 tosses of a coin) P(chi² on h > Q) (Gail &
    Simon, Biometrics 41, 1985, section 2). Since errors are estimated, each ratio is brought from its Student's t to
    the normal first. Errors that all estimates share make the test conservative.

    Args:
        estimates: on an unbounded scale, each with a positive error.
    """
    ratio = np.asarray([each.at / each.standard_error for each in estimates])
    normal = stats.norm.isf(stats.t.sf(np.abs(ratio), [each.df for each in estimates]))
    smaller = min(float((normal[side] ** 2).sum()) for side in (ratio > 0, ratio < 0))
    h = np.arange(1, len(estimates))
    return float((stats.binom.pmf(h, len(h), 0.5) * stats.chi2.sf(smaller, h)).sum()) if smaller > 0 else 1.0
