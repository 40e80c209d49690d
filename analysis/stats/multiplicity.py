"""Adjustment of p-values for the number of comparisons."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from analysis.stats.rank_correlation import Floats


def adjust(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values to control the false discovery rate (Benjamini & Hochberg, J. R. Stat. Soc. B 57, 1995).

    Undefined p-values stay None and do not count as comparisons. The procedure holds under independence and under
    positive dependence (Benjamini & Yekutieli, Ann. Stat. 29, 2001), as among localisation metrics of the same trials.
    """
    known = [p for p in p_values if p is not None]
    if not known:
        return [None] * len(p_values)
    adjusted = iter(stats.false_discovery_control(known, method="bh"))
    return [None if p is None else float(next(adjusted)) for p in p_values]


def holm_levels(p_values: Sequence[float], alpha: float = 0.05) -> list[float]:
    """Level at which Holm's step-down procedure (Scand. J. Stat. 6, 1979) tests each hypothesis.

    In ascending order of p, the i-th of m hypotheses is tested at alpha / (m − i + 1) until one is not rejected; that
    one and all after it keep the level of that step. An interval at its level excludes what the procedure rejects.
    """
    levels = [alpha] * len(p_values)
    remaining, stopped = len(p_values), False
    for position in sorted(range(len(p_values)), key=lambda i: p_values[i]):
        levels[position] = alpha / remaining
        stopped = stopped or p_values[position] > levels[position]
        remaining -= not stopped
    return levels


def max_t(observed: Floats, permuted: Floats) -> list[float | None]:
    """p-values that control the family-wise error rate: single-step max-T (Westfall & Young, Resampling-Based Multiple
    Testing, 1993, section 2.5).

    Each statistic is divided by its standard deviation over permutations, so that no comparison dominates; p is the
    share of permutations whose largest |statistic| over all comparisons is at least the observed one, to 1e-12. The
    observed order counts as one of them.

    Args:
        observed: [comparisons].
        permuted: [comparisons, permutations], the same permutations for all comparisons.

    Returns:
        p-values in (0, 1]; None where a statistic is undefined or does not vary.
    """
    spread = permuted.std(axis=1) if permuted.size else np.zeros(len(observed))
    usable = np.isfinite(observed) & np.isfinite(spread) & (spread > 1e-12)
    result: list[float | None] = [None] * len(observed)
    if not usable.any():
        return result
    scaled = np.abs(observed[usable]) / spread[usable]
    largest = np.sort((np.abs(permuted[usable]) / spread[usable, None]).max(axis=0))
    at_least = len(largest) - np.searchsorted(largest, scaled - 1e-12, side="left")
    for position, hits in zip(np.flatnonzero(usable).tolist(), at_least.tolist(), strict=True):
        result[position] = (hits + 1) / (len(largest) + 1)
    return result
