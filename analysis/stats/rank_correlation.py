"""Spearman's rho and Kendall's tau-b: of one sample, and combined over samples (cells) on Fisher's z scale.

Both statistics share the large-sample variance c / (n − d) of z = atanh(estimate) (Fieller, Hartley & Pearson,
Biometrika 44, 1957, 470-481), with c = 1.06, d = 3 for rho and c = .437, d = 4 for tau-b. A sample of n trials
therefore has the weight n − d.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

STATISTICS = ("spearman", "kendall_tau_b")
FISHER_C = {"spearman": 1.06, "kendall_tau_b": 0.437}
FISHER_D = {"spearman": 3, "kendall_tau_b": 4}
MINIMUM = {name: d + 1 for name, d in FISHER_D.items()}
"""Smallest sample with an estimate; a smaller one would have no positive weight."""
CLIP = 0.999
"""|estimate| is clipped here before Fisher's z is taken, since a perfect correlation would weigh infinitely."""
LEVEL = 0.95
"""Confidence level of every interval."""
ALPHA, POWER = 0.05, 0.8
"""Level and power of the smallest detectable correlation."""


@dataclass(frozen=True, kw_only=True)
class RankCorrelation:
    """Rank correlation of n trials; where undefined, `estimate` is None and `reason` says why."""

    estimate: float | None = None
    n: int
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class CombinedCorrelation(RankCorrelation):
    """Rank correlation combined over the cells that have one."""

    n_cells: int = 0
    n_degenerate: int
    """Cells left out because their own correlation is undefined."""
    n_clipped: int = 0
    weight: float = 0.0
    """Sum of the cells' weights n − d."""
    q: float | None = None
    """Cochran's heterogeneity statistic on n_cells − 1 degrees of freedom."""
    i_squared: float | None = None
    """Share of q beyond what chance explains, in [0, 1]."""


def rank_correlation(x: Floats, y: Floats, statistic: str) -> RankCorrelation:
    """Spearman's rho or Kendall's tau-b of a localisation score x and an outcome y, none missing.

    rho is Pearson's correlation of the midranks. With C concordant and D discordant pairs, and n_x and n_y the pairs
    not tied in x and in y, tau-b = (C − D) / sqrt(n_x n_y) (Kendall, Biometrika 33, 1945); a tied pair is neither
    concordant nor discordant. Both are undefined for fewer than 4 (rho) or 5 (tau-b) trials and for a constant x or y.
    """
    n = len(x)
    if n < MINIMUM[statistic]:
        few = f"{n} {'trial' if n == 1 else 'trials'}, fewer than {MINIMUM[statistic]}"
        return RankCorrelation(n=n, reason=few)
    constant = [name for name, values in (("localisation", x), ("outcome", y)) if np.ptp(values) == 0]
    if constant:
        return RankCorrelation(n=n, reason=f"constant {' and '.join(constant)}")
    estimate = float(stats.spearmanr(x, y).statistic if statistic == "spearman" else stats.kendalltau(x, y).statistic)
    return RankCorrelation(estimate=max(-1.0, min(1.0, estimate)), n=n)


def fisher_z(estimates: Floats) -> Floats:
    """Fisher's z = atanh of estimates clipped at ±.999."""
    return np.asarray(np.arctanh(np.clip(estimates, -CLIP, CLIP)))


def fisher_interval(estimate: float, weight: float, statistic: str) -> tuple[float, float, float]:
    """(lower bound, upper bound, two-sided p-value) from the normal law of Fisher's z, for independent trials.

    The bounds are tanh(z ± 1.96 sqrt(c / weight)); the p-value is that of z / sqrt(c / weight). The weight is n − d,
    or its sum over cells.
    """
    z, error = float(fisher_z(np.asarray(estimate))), math.sqrt(FISHER_C[statistic] / weight)
    reach = float(special.ndtri(0.5 + LEVEL / 2)) * error
    return math.tanh(z - reach), math.tanh(z + reach), float(2 * special.ndtr(-abs(z) / error))


def combine_cells(cells: Sequence[RankCorrelation], statistic: str) -> CombinedCorrelation:
    """Combine cells as tanh(sum w z / sum w) with z = atanh(estimate) and w = n − d; undefined cells are left out.

    Heterogeneity over k cells: Q = sum w (z − combined z)² / c and I² = max(0, (Q − (k − 1)) / Q) (Hedges & Olkin,
    Statistical Methods for Meta-Analysis, 1985, chapter 11; Higgins & Thompson, Stat. Med. 21, 2002).
    """
    estimates = np.asarray([cell.estimate for cell in cells if cell.estimate is not None])
    sizes = np.asarray([cell.n for cell in cells if cell.estimate is not None], dtype=np.intp)
    n_degenerate, df = len(cells) - len(estimates), len(estimates) - 1
    if df < 0:
        return CombinedCorrelation(n=0, n_degenerate=n_degenerate, reason=_why_undefined(cells))
    z, weights = fisher_z(estimates), sizes - FISHER_D[statistic]
    mean = np.average(z, weights=weights)
    q = float((weights * (z - mean) ** 2).sum() / FISHER_C[statistic])
    return CombinedCorrelation(
        estimate=math.tanh(mean),
        n=int(sizes.sum()),
        n_cells=len(estimates),
        n_degenerate=n_degenerate,
        n_clipped=int((np.abs(estimates) > CLIP).sum()),
        weight=float(weights.sum()),
        q=q if df else None,
        i_squared=max(0.0, (q - df) / q) if df and q > 0 else None,
    )


def combine_replicates(estimates: Sequence[Floats], sizes: Sequence[Floats], statistic: str) -> Floats:
    """[replicates] cells combined as by `combine_cells` in each of several replicates; NaN where no cell is defined.

    Args:
        estimates: per cell, [replicates] its correlation, NaN where undefined.
        sizes: per cell, [replicates] its number of trials.
    """
    known = np.isfinite(estimates)
    weight = np.where(known, np.maximum(np.stack(sizes) - FISHER_D[statistic], 0.0), 0.0)
    z = fisher_z(np.where(known, estimates, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.tanh((weight * z).sum(axis=0) / weight.sum(axis=0))


def _why_undefined(cells: Sequence[RankCorrelation]) -> str:
    """As in "none of the 8 cells has a correlation (6: constant outcome; 2: 3 trials, fewer than 4)"."""
    if not cells:
        return "no trials"
    reasons = "; ".join(f"{n}: {reason}" for reason, n in Counter(cell.reason for cell in cells).most_common())
    which = "its only cell has no" if len(cells) == 1 else f"none of the {len(cells)} cells has a"
    return f"{which} correlation ({reasons})"


def error_of(weight: float) -> float | None:
    """Standard error of Fisher's z of Spearman's rho among independent trials; None where the weight is not positive.

    Args:
        weight: n − 3 for n trials; the sum of n − 3 over cells for combined cells.
    """
    return math.sqrt(FISHER_C["spearman"] / weight) if weight > 0 else None


def minimal_detectable(error: float | None, df: float | None = None, *, alpha: float = ALPHA) -> float | None:
    """Smallest |rho| that a two-sided test at level `alpha` detects with probability .8.

    tanh((q_{1 − alpha/2} + q_.8) SE), with q the quantiles of Student's t, or of the normal law without `df`.

    Args:
        error: standard error of Fisher's z; None where it is unknown, and so is the result.
        df: its degrees of freedom.
    """
    if error is None:
        return None
    law = stats.norm if df is None else stats.t(df)
    return math.tanh(float(law.ppf(1 - alpha / 2) + law.ppf(POWER)) * error)
