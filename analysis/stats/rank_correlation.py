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
"""The c of the variance c / (n − d)."""
FISHER_D = {"spearman": 3, "kendall_tau_b": 4}
"""The d of the variance c / (n − d)."""
MINIMUM = {name: d + 1 for name, d in FISHER_D.items()}
"""Smallest sample with an estimate; a smaller one would have no positive weight."""
CLIP = 0.999
"""|estimate| is clipped here before Fisher's z is taken, since a perfect correlation would weigh infinitely."""
LEVEL = 0.95
"""Confidence level of every interval."""


@dataclass(frozen=True)
class RankCorrelation:
    """Rank correlation of one sample; where undefined, `estimate` is None and `reason` says why."""

    statistic: str
    estimate: float | None
    n: int
    reason: str | None = None


@dataclass(frozen=True)
class CombinedCorrelation:
    """Rank correlation combined over cells; where no cell has one, `estimate` is None and `reason` says why."""

    statistic: str
    estimate: float | None
    n: int
    """Trials in the combined cells."""
    n_cells: int
    """Combined cells."""
    n_degenerate: int
    """Cells left out because their own correlation is undefined."""
    n_clipped: int
    """Cells whose |estimate| exceeds .999."""
    weight: float
    """Sum of the cells' weights n − d."""
    q: float | None = None
    """Cochran's heterogeneity statistic on n_cells − 1 degrees of freedom."""
    i_squared: float | None = None
    """Share of q beyond what chance explains, in [0, 1]."""
    reason: str | None = None


def rank_correlation(x: Floats, y: Floats, statistic: str) -> RankCorrelation:
    """Spearman's rho or Kendall's tau-b of paired values.

    rho is Pearson's correlation of the midranks. With C concordant and D discordant pairs, and n_x and n_y the pairs
    not tied in x and in y, tau-b = (C − D) / sqrt(n_x n_y) (Kendall, Biometrika 33, 1945); a tied pair is neither
    concordant nor discordant.

    Args:
        x, y: [n], none missing.
        statistic: "spearman" or "kendall_tau_b".

    Returns:
        An estimate in [−1, 1]; none for fewer than 4 (rho) or 5 (tau-b) trials, or where x or y is
        constant.
    """
    n = len(x)
    reason = undefined(x, y, statistic)
    if reason is not None:
        return RankCorrelation(statistic, None, n, reason=reason)
    estimate = float(stats.spearmanr(x, y).statistic if statistic == "spearman" else stats.kendalltau(x, y).statistic)
    return RankCorrelation(statistic, max(-1.0, min(1.0, estimate)), n)


def undefined(x: Floats, y: Floats, statistic: str) -> str | None:
    """Why the rank correlation of a localisation score x and an outcome y is undefined, or None where it is defined."""
    if len(x) < MINIMUM[statistic]:
        return f"{len(x)} {'trial' if len(x) == 1 else 'trials'}, fewer than {MINIMUM[statistic]}"
    constant = [name for name, values in (("localisation", x), ("outcome", y)) if np.ptp(values) == 0]
    return f"constant {' and '.join(constant)}" if constant else None


def fisher_z(estimate: float) -> tuple[float, bool]:
    """(atanh of the estimate clipped at ±.999, whether it was clipped)."""
    clipped = max(-CLIP, min(CLIP, estimate))
    return math.atanh(clipped), clipped != estimate


def fisher_interval(estimate: float, weight: float, statistic: str) -> tuple[float, float, float]:
    """(lower bound, upper bound, two-sided p-value) from the normal law of Fisher's z, for independent trials.

    The bounds are tanh(z ± 1.96 sqrt(c / weight)); the p-value is that of z / sqrt(c / weight).

    Args:
        estimate: in [−1, 1]; clipped at ±.999.
        weight: n − d, or its sum over cells; positive.
        statistic: selects c.
    """
    z, _ = fisher_z(estimate)
    error = math.sqrt(FISHER_C[statistic] / weight)
    reach = float(special.ndtri(0.5 + LEVEL / 2)) * error
    return math.tanh(z - reach), math.tanh(z + reach), float(2 * special.ndtr(-abs(z) / error))


def combine_cells(cells: Sequence[RankCorrelation], statistic: str) -> CombinedCorrelation:
    """Combine cells as tanh(sum w z / sum w) with z = atanh(estimate) and w = n − d.

    Heterogeneity over k cells: Q = sum w (z − combined z)² / c and I² = max(0, (Q − (k − 1)) / Q) (Hedges & Olkin,
    Statistical Methods for Meta-Analysis, 1985, chapter 11; Higgins & Thompson, Stat. Med. 21, 2002). Undefined cells
    are left out and counted.
    """
    defined = [cell for cell in cells if cell.estimate is not None]
    n_degenerate = len(cells) - len(defined)
    if not defined:
        return CombinedCorrelation(statistic, None, 0, 0, n_degenerate, 0, 0.0, reason=_why_undefined(cells))
    pairs = [fisher_z(cell.estimate) for cell in defined if cell.estimate is not None]
    weights = [cell.n - FISHER_D[statistic] for cell in defined]
    total = float(sum(weights))
    mean = sum(w * z for w, (z, _) in zip(weights, pairs, strict=True)) / total
    squares = sum(w * (z - mean) ** 2 for w, (z, _) in zip(weights, pairs, strict=True))
    q, df = squares / FISHER_C[statistic], len(defined) - 1
    return CombinedCorrelation(
        statistic=statistic,
        estimate=math.tanh(mean),
        n=sum(cell.n for cell in defined),
        n_cells=len(defined),
        n_degenerate=n_degenerate,
        n_clipped=sum(clipped for _, clipped in pairs),
        weight=total,
        q=q if df else None,
        i_squared=max(0.0, (q - df) / q) if df and q > 0 else None,
    )


def combine_replicates(estimates: Sequence[Floats], sizes: Sequence[Floats], statistic: str) -> Floats:
    """Combine cells as `combine_cells` does, in each of several replicates.

    Args:
        estimates: per cell, [replicates] its correlation, NaN where undefined.
        sizes: per cell, [replicates] its number of trials.

    Returns:
        [replicates], NaN where no cell is defined.
    """
    rho, known = np.stack(estimates), np.isfinite(estimates)
    weight = np.where(known, np.maximum(np.stack(sizes) - FISHER_D[statistic], 0.0), 0.0)
    z = np.arctanh(np.clip(np.where(known, rho, 0.0), -CLIP, CLIP))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.tanh((weight * z).sum(axis=0) / weight.sum(axis=0))


def _why_undefined(cells: Sequence[RankCorrelation]) -> str:
    """As in "none of the 8 cells has a correlation (6: constant outcome; 2: 3 trials, fewer than 4)"."""
    if not cells:
        return "no trials"
    counts = Counter(cell.reason for cell in cells).most_common()
    reasons = "; ".join(f"{n}: {reason}" for reason, n in counts)
    if len(cells) == 1:
        return f"its only cell has no correlation ({reasons})"
    return f"none of the {len(cells)} cells has a correlation ({reasons})"
