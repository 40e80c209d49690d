"""Whether correlations differ between methods, datasets or cells, and the prediction interval for a new one."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.stats.rank_correlation import Floats
from analysis.stats.replicated import Interval, satterthwaite

MINIMUM = 3
"""Fewest estimates with a prediction interval for one more."""


@dataclass(frozen=True)
class Heterogeneity:
    """95 % prediction interval for one more true value, and the p-value of no difference between the true values."""

    low: float
    high: float
    p_value: float


def heterogeneity(values: Floats, influence: Floats, df: float, drawn: Floats | None = None) -> Heterogeneity | None:
    """Student's prediction interval for one more of k correlated estimates, and the test that their true values differ.

    With S the covariance of the estimates' errors and tau the standard deviation of the true values, the sample
    variance s² of the estimates has the expectation tau² + e² with e² = mean of S's diagonal − mean of the rest (Hedges
    & Olkin, Statistical Methods for Meta-Analysis, 1985, section 9.3, for correlated errors).

    The interval is mean ± t_{k−1} sqrt(s² (1 + 1 / k) + mean of the rest); the last term is what all errors have in
    common. It is a little wide, as it holds a further estimate. With tau² in place of s² (Higgins, Thompson &
    Spiegelhalter, J. R. Stat. Soc. A 172, 2009, equation 12) it holds too few true values: from few estimates tau² is
    often far too small.

    The test refers s² / e² to F on k − 1 and df degrees of freedom. Correlations among few units differ by the draw of
    these units alone, which the test does not count as a difference.

    Args:
        values: [k] estimates on an unbounded scale, such as Fisher's z.
        influence: [k, clusters] how far each cluster moves each estimate; S is influence times its transpose.
        df: degrees of freedom of S.
        drawn: [k, units] how far each unit that was drawn moves each estimate, if any was.
    """
    k = len(values)
    if k < MINIMUM or not (np.isfinite(values).all() and np.isfinite(influence).all()):
        return None
    noise, common = _noise(influence)
    sample, mean = float(values.var(ddof=1)), float(values.mean())
    low, high = Interval(mean, float(np.sqrt(sample * (1 + 1 / k) + common)), k - 1).bounds()
    by_chance = noise
    if drawn is not None and (by_draw := _noise(drawn)[0]) > 0:
        variances, units = np.asarray([noise, by_draw]), int(drawn.any(axis=0).sum())
        by_chance, df = noise + by_draw, satterthwaite(variances, np.asarray([max(df, 1.0), max(units - 1.0, 1.0)]))
    if by_chance > 0:
        return Heterogeneity(low, high, float(stats.f.sf(sample / by_chance, k - 1, max(df, 1.0))))
    return Heterogeneity(low, high, 0.0 if sample > 0 else 1.0)


def _noise(influence: Floats) -> tuple[float, float]:
    """(What errors add to the expected sample variance, the variance that they have in common); neither below 0."""
    covariance = influence @ influence.T
    k = len(covariance)
    diagonal = float(np.trace(covariance)) / k
    rest = (float(covariance.sum()) - k * diagonal) / (k * (k - 1))
    return max(diagonal - rest, 0.0), max(rest, 0.0)
