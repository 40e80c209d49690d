"""Adjustment of p-values for the number of comparisons in the grid."""

from collections.abc import Sequence

from scipy import stats


def adjust(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted to control the false discovery rate (Benjamini & Hochberg, J. R. Stat. Soc. B 57,
    1995).

    Undefined ones stay None and do not count as comparisons. The procedure holds under independence and under
    positive dependence (Benjamini & Yekutieli, Ann. Stat. 29, 2001), which is what a grid of localisation
    metrics over the same trials has.
    """
    known = [p for p in p_values if p is not None]
    if not known:
        return [None] * len(p_values)
    adjusted = iter(stats.false_discovery_control(known, method="bh"))
    return [None if p is None else float(next(adjusted)) for p in p_values]
