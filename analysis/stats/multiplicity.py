"""Adjustment of p-values for the number of comparisons."""

from collections.abc import Callable, Sequence

from scipy import stats


def adjust(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values to control the false discovery rate (Benjamini & Hochberg, J. R. Stat. Soc. B 57, 1995).

    Undefined p-values stay None and do not count as comparisons. The procedure holds under independence and under
    positive dependence (Benjamini & Yekutieli, Ann. Stat. 29, 2001), as among localisation metrics of the same trials.
    """
    known = [p for p in p_values if p is not None]
    adjusted = iter(stats.false_discovery_control(known) if known else ())
    return [None if p is None else float(next(adjusted)) for p in p_values]


def holm_levels(
    p_values: Sequence[float], alpha: float = 0.05, level_of: Callable[[float], float] = float
) -> list[float]:
    """Level at which Holm's step-down procedure (Scand. J. Stat. 6, 1979) tests each hypothesis.

    In ascending order of p, the i-th of m hypotheses is tested at alpha / (m − i + 1) until one is not rejected; that
    one and all after it keep the level of that step. An interval at its level excludes what the procedure rejects.
    `level_of` turns each of these levels into that of one look at growing data (Maurer & Bretz, Stat. Biopharm. Res. 5,
    2013).
    """
    levels = [level_of(alpha)] * len(p_values)
    remaining, stopped = len(p_values), False
    for position in sorted(range(len(p_values)), key=lambda i: p_values[i]):
        levels[position] = level_of(alpha / remaining)
        stopped = stopped or p_values[position] > levels[position]
        remaining -= not stopped
    return levels
