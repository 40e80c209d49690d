"""The rank correlation of one sample: Spearman's rho or Kendall's tau-b, with an analytic interval."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from analysis.report.numbers import count

Floats = NDArray[np.float64]

STATISTICS = ("spearman", "kendall_tau_b")
VARIANCE = {"spearman": 1.06, "kendall_tau_b": 0.437}
"""Numerator c of the variance c / (n − d) of Fisher's z of a rank correlation (Fieller, Hartley & Pearson,
Biometrika 44, 1957, 470-481)."""
LOST = {"spearman": 3, "kendall_tau_b": 4}
"""The d of the same variance: a sample of n trials weighs n − d."""
MINIMUM = {name: lost + 1 for name, lost in LOST.items()}
"""Fewest trials with an estimate: below it the weight is not positive."""
CLIP = 0.999
"""Largest |estimate| that Fisher's z is taken of; a perfect correlation would weigh infinitely."""
LEVEL = 0.95


@dataclass(frozen=True)
class RankCorrelation:
    """One sample's rank correlation; `estimate` is None, with a `reason`, where it is undefined."""

    statistic: str
    estimate: float | None
    n: int
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    reason: str | None = None


def rank_correlation(x: Floats, y: Floats, statistic: str) -> RankCorrelation:
    """Spearman's rho or Kendall's tau-b of paired values without missing ones.

    rho is Pearson's correlation of midranks. With C concordant and D discordant pairs, and n_x and n_y the
    pairs not tied in x and in y, tau-b = (C − D) / sqrt(n_x n_y) (Kendall, Biometrika 33, 1945). Ties take
    midranks in rho; in tau-b a tied pair is neither concordant nor discordant. The interval is tanh(z ± 1.96
    sqrt(c / (n − d))) with z = atanh(estimate), |estimate| clipped at .999, and the p-value that of z /
    sqrt(c / (n − d)) under the normal law, two-sided. Both assume independent trials.

    Returns:
        Estimate and bounds in [−1, 1]; no estimate for fewer than 4 (rho) or 5 (tau-b) trials, or where x or
        y is constant.
    """
    n = len(x)
    reason = undefined(x, y, statistic)
    if reason is not None:
        return RankCorrelation(statistic, None, n, reason=reason)
    estimate = float(stats.spearmanr(x, y).statistic if statistic == "spearman" else stats.kendalltau(x, y).statistic)
    estimate = max(-1.0, min(1.0, estimate))
    low, high, p_value = fisher_interval(estimate, n - LOST[statistic], statistic)
    return RankCorrelation(statistic, estimate, n, low, high, p_value)


def undefined(x: Floats, y: Floats, statistic: str) -> str | None:
    """Why these trials have no rank correlation, or None where they have one."""
    if len(x) < MINIMUM[statistic]:
        return f"{count(len(x), 'trial')}, fewer than {MINIMUM[statistic]}"
    constant = [name for name, values in (("localisation", x), ("outcome", y)) if np.ptp(values) == 0]
    return f"constant {' and '.join(constant)}" if constant else None


def fisher_z(estimate: float) -> tuple[float, bool]:
    """(atanh of the estimate clipped at ±.999, whether it was clipped)."""
    clipped = max(-CLIP, min(CLIP, estimate))
    return math.atanh(clipped), clipped != estimate


def fisher_interval(estimate: float, weight: float, statistic: str) -> tuple[float, float, float]:
    """(lower bound, upper bound, two-sided p-value) of an estimate whose Fisher z has variance c / weight."""
    z, _ = fisher_z(estimate)
    error = math.sqrt(VARIANCE[statistic] / weight)
    reach = float(special.ndtri(0.5 + LEVEL / 2)) * error
    return math.tanh(z - reach), math.tanh(z + reach), float(2 * special.ndtr(-abs(z) / error))
