"""One rank correlation from many cells: Fisher's z of each cell, combined by weight."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.stats.rank_correlation import (
    CLIP,
    LOST,
    VARIANCE,
    Floats,
    RankCorrelation,
    fisher_interval,
    fisher_z,
)


@dataclass(frozen=True)
class WithinCell:
    """The combined correlation and its evidence; `estimate` is None, with a `reason`, if no cell has one."""

    statistic: str
    estimate: float | None
    n: int
    """Trials in the cells combined."""
    n_cells: int
    """Cells combined."""
    n_degenerate: int
    """Cells left out because their own correlation is undefined."""
    n_clipped: int
    """Cells whose |estimate| exceeded .999."""
    weight: float
    """Sum of the cells' weights n − 3 (n − 4 for tau-b)."""
    q: float | None = None
    """Cochran's heterogeneity statistic, on n_cells − 1 degrees of freedom."""
    i_squared: float | None = None
    """Share of q that chance does not explain, in [0, 1]."""
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    reason: str | None = None


def combine_cells(cells: Sequence[RankCorrelation], statistic: str) -> WithinCell:
    """Combine the cells' correlations as tanh(sum w z / sum w) with z = atanh(estimate) and w = n − d.

    The standard error of the combined z is sqrt(c / sum w), Q = sum w (z − combined z)² / c and
    I² = max(0, (Q − (k − 1)) / Q) for k cells, with c = 1.06, d = 3 for Spearman's rho and c = .437, d = 4
    for tau-b (Fieller, Hartley & Pearson 1957; Hedges & Olkin 1985, chapter 11; Higgins & Thompson 2002 for
    I²). Undefined cells are left out and counted. Interval and p-value assume independent trials.
    """
    defined = [cell for cell in cells if cell.estimate is not None]
    n_degenerate = len(cells) - len(defined)
    if not defined:
        reason = _why_none(cells)
        return WithinCell(statistic, None, 0, 0, n_degenerate, 0, 0.0, reason=reason)
    pairs = [fisher_z(cell.estimate) for cell in defined if cell.estimate is not None]
    weights = [cell.n - LOST[statistic] for cell in defined]
    total = float(sum(weights))
    mean = sum(w * z for w, (z, _) in zip(weights, pairs, strict=True)) / total
    squares = sum(w * (z - mean) ** 2 for w, (z, _) in zip(weights, pairs, strict=True))
    q = squares / VARIANCE[statistic]
    low, high, p_value = fisher_interval(math.tanh(mean), total, statistic)
    return WithinCell(
        statistic=statistic,
        estimate=math.tanh(mean),
        n=sum(cell.n for cell in defined),
        n_cells=len(defined),
        n_degenerate=n_degenerate,
        n_clipped=sum(clipped for _, clipped in pairs),
        weight=total,
        q=q if len(defined) > 1 else None,
        i_squared=max(0.0, (q - (len(defined) - 1)) / q) if len(defined) > 1 and q > 0 else None,
        ci_low=low,
        ci_high=high,
        p_value=p_value,
    )


def _why_none(cells: Sequence[RankCorrelation]) -> str:
    """For people: "none of the 8 cells has a correlation (6: constant outcome; 2: 3 trials, fewer than 4)"."""
    if not cells:
        return "no trials"
    reasons = Counter(cell.reason for cell in cells).most_common()
    told = "; ".join(f"{n}: {reason}" for reason, n in reasons)
    which = "its only cell" if len(cells) == 1 else f"none of the {len(cells)} cells"
    return f"{which} has {'no' if len(cells) == 1 else 'a'} correlation ({told})"


def combine_replicates(estimates: Sequence[Floats], sizes: Sequence[Floats], statistic: str) -> Floats:
    """The combined correlation of each bootstrap replicate.

    Args:
        estimates: per cell, its correlation in each replicate, NaN where it is undefined there.
        sizes: per cell, its number of trials in each replicate.

    Returns:
        One combined correlation per replicate, NaN where no cell has one.
    """

    numerator, denominator = np.zeros_like(estimates[0]), np.zeros_like(estimates[0])
    for estimate, size in zip(estimates, sizes, strict=True):
        weight = np.where(np.isfinite(estimate), np.maximum(size - LOST[statistic], 0.0), 0.0)
        z = np.arctanh(np.clip(np.nan_to_num(estimate), -CLIP, CLIP))
        numerator += weight * z
        denominator += weight
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.tanh(numerator / denominator)
