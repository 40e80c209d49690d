"""One score against another as a predictor of the outcome, in each comparison."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from analysis.answer.parts import Data, control_of, parts_of, shifted_parts, unfit
from analysis.stats.estimate import jackknife_error
from analysis.stats.rank_correlation import CLIP, LEVEL
from records import columns


@dataclass(frozen=True)
class Advantage:
    """By how much one score predicts the outcome better than another, in one comparison."""

    comparison: str
    first: float | None
    """Rank correlation of the first score with the outcome."""
    second: float | None
    low: float | None = None
    """95 % interval of the difference of their Fisher's z, over data seeds; for these settings and methods."""
    high: float | None = None
    p_value: float | None = None
    """Two-sided, of no difference."""


def advantages(first: Data, second: Data, declared: Sequence[str] = columns.COMPARISONS) -> tuple[Advantage, ...]:
    """Compare two scores as predictors of the outcome, in each declared comparison and over the strata with a shift.

    Both are taken on the trials that have both, and over the cells where both have a correlation. Each data seed is
    left out of both correlations at once, so what the scores share cancels. Without an interval with fewer than 6 data
    seeds on a dataset, where one of the correlations is not estimated, or where one method alone contributes.

    Args:
        first, second: the same trials with either score.
        declared: some of `records.columns.COMPARISONS`.
    """
    both = first.present & second.present
    sides = [data if (data.present == both).all() else data.where(both) for data in (first, second)]
    fit = all(unfit(data) is None for data in sides)
    return tuple(_advantage(sides, name) if fit else Advantage(name, None, None) for name in declared)


def _advantage(sides: Sequence[Data], name: str) -> Advantage:
    controls = [control_of(data) if name == "given_id" else None for data in sides]
    if name == "given_id" and (None in controls or any(data.score in controls for data in sides)):
        return Advantage(name, None, None)
    parts = [shifted_parts(parts_of(data, name, control)) for data, control in zip(sides, controls, strict=True)]
    shared = set(parts[0].cells).intersection(parts[1].cells)
    one, other = (part.take(np.asarray([cell in shared for cell in part.cells], dtype=bool)) for part in parts)
    if not shared:
        return Advantage(name, None, None)
    z = [np.arctanh(np.clip(parts.rho, -CLIP, CLIP)) for parts in (one, other)]
    whole = Advantage(name, float(one.rho[0]), float(other.rho[0]))
    clusters = np.flatnonzero(one.clusters.any(axis=0))
    interval = jackknife_error((z[0] - z[1])[1 + clusters], sides[0].resamples.dataset[clusters])
    if interval is None or (name != "method" and len({method for _, _, method in one.cells}) == 1):
        return whole
    error, df = interval
    at, reach = float(z[0][0] - z[1][0]), float(special.stdtrit(df, 0.5 + LEVEL / 2)) * error
    p_value = float(2 * special.stdtr(df, -abs(at) / error))
    return replace(whole, low=at - reach, high=at + reach, p_value=p_value)
