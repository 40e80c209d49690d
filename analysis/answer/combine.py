"""Combines the values of a comparison's cells: the estimate, its interval, the spread over cells, Holm's levels."""

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from analysis.answer.cells import SMALLEST_SPREAD, CellValues, Data
from analysis.answer.given_id import CONTROL, FALLBACK_CONTROL, control_of, given_id_values
from analysis.answer.methods import method_values, over_methods
from analysis.answer.seeds import seed_values
from analysis.answer.settings import setting_values
from analysis.numbers import column_name, count
from analysis.numbers import name as display_name
from analysis.stats.heterogeneity import MINIMUM as FEWEST_TO_PREDICT
from analysis.stats.heterogeneity import Heterogeneity, heterogeneity
from analysis.stats.multiplicity import holm_levels
from analysis.stats.rank_correlation import FISHER_C
from analysis.stats.replicated import MINIMUM_CLUSTERS, UNDEFINED_WITHOUT_ONE, Interval
from analysis.trials.design import Cell
from analysis.trials.trials import UNKNOWN_DATA_SEEDS
from records import columns

CELL_VALUES: Mapping[str, Callable[[Data], CellValues]] = {
    "seed": seed_values,
    "setting": setting_values,
    "method": method_values,
    "given_id": given_id_values,
}
MINIMUM_CELLS = 3
"""Fewest cells with an interval for a comparison."""
MINIMUM_METHODS = 5
"""Fewest methods with an interval for the comparison between methods."""


@dataclass(frozen=True)
class Level:
    """One comparison at one level of a factor: a stratum, or a method."""

    dataset: str | None
    severity: float | None
    method: str | None
    estimate: float
    ci_low: float | None
    ci_high: float | None
    n_trials: int
    n_cells: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The rank correlation of maps with performance among models that differ in one thing; None where not estimated."""

    comparison: str
    estimate: float | None = None
    ci_low: float | None = None
    """95 % interval over data seeds; between methods, over data seeds and methods."""
    ci_high: float | None = None
    joint_low: float | None = None
    """The interval at the level of Holm's procedure among all declared comparisons, from which the word follows."""
    joint_high: float | None = None
    prediction_low: float | None = None
    """95 % prediction interval for a new method, averaged over these strata."""
    prediction_high: float | None = None
    prediction_dataset_low: float | None = None
    """95 % prediction interval for a new dataset."""
    prediction_dataset_high: float | None = None
    cells_low: float | None = None
    """95 % prediction interval for one more cell."""
    cells_high: float | None = None
    cells_p_value: float | None = None
    """Of no difference between cells, methods and strata except by seeds and the draw of settings or methods."""
    auc_per_tenth: float | None = None
    """Difference of the outcome that goes with 0.1 more of the localisation score."""
    auc_per_tenth_low: float | None = None
    auc_per_tenth_high: float | None = None
    n_trials: int = 0
    n_units: int = 0
    """Ranked trials, configurations or methods."""
    n_cells: int = 0
    """Cells with a value; between methods, strata."""
    n_clusters: int = 0
    """Data seeds of the dataset that has the fewest."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Number of cells, configurations or strata without a value, by reason."""
    standard_error: float | None = None
    """Of Fisher's z."""
    df: float | None = None
    strata: tuple[Level, ...] = ()
    """Those without a shift included."""
    methods: tuple[Level, ...] = ()
    """Over the strata with a shift."""
    without_one_low: float | None = None
    """Smallest and largest estimate without one of the methods."""
    without_one_high: float | None = None
    control: str | None = None
    """The column that ranks were adjusted for."""
    reason: str | None = None
    """Why there is no answer."""
    answer: str = "undecided"
    sentence: str = ""


def values_of(data: Data, declared: Sequence[str] = columns.COMPARISONS) -> dict[str, CellValues]:
    """The values of the declared comparisons' cells."""
    return {name: CELL_VALUES[name](data) for name in declared}


def combine(
    data: Data, values: Mapping[str, CellValues], *, smallest_effect: float, data_seeds_known: bool = True
) -> tuple[Comparison, ...]:
    """The comparisons of a score with the outcome, their intervals holding jointly.

    `values` are those of `values_of` for the same data; `smallest_effect` is in (0, 1).
    """
    reason = data.unfit() or _shortage(data, data_seeds_known)
    results = [_comparison(data, name, of_cells, reason) for name, of_cells in values.items()]
    levels = iter(holm_levels([_p_of_word(interval, smallest_effect) for _, interval in results if interval]))
    joint = (interval.bounds(1 - next(levels)) if interval else (None, None) for _, interval in results)
    return tuple(
        replace(comparison, joint_low=low, joint_high=high)
        for (comparison, _), (low, high) in zip(results, joint, strict=True)
    )


def _p_of_word(interval: Interval, smallest_effect: float) -> float:
    """Two-sided p-value of the word that the interval is closest to."""
    z, limit = interval.at, float(np.arctanh(smallest_effect))
    return interval.p_beyond(max(z - limit, -z - limit, min(z + limit, limit - z)))


def _shortage(data: Data, data_seeds_known: bool) -> str | None:
    """Why no comparison has an interval; None if some may."""
    if not data_seeds_known:
        return UNKNOWN_DATA_SEEDS
    shifted = [np.concatenate(list(cells.values())) for (_, severity), cells in data.strata.items() if severity > 0]
    most = max(map(data.resamples.fewest, shifted))
    if most < MINIMUM_CLUSTERS:
        return f"no dataset with a shift has more than {count(most, 'data seed')}; an interval needs {MINIMUM_CLUSTERS}"
    if all(float(data.y[rows].std()) < SMALLEST_SPREAD for rows in shifted):
        return f"{column_name(data.outcome)} varies by less than {SMALLEST_SPREAD:g} wherever there is a shift"
    return None


def _comparison(data: Data, name: str, values: CellValues, reason: str | None) -> tuple[Comparison, Interval | None]:
    """The comparison, and its interval on Fisher's scale; it has none where it has a reason."""
    if not data.cells or data.score not in data.table:
        return Comparison(comparison=name, reason=reason), None
    control = control_of(data) if name == "given_id" else None
    if name == "given_id" and control is None:
        absent = f"no trial has the column {CONTROL!r} or {FALLBACK_CONTROL!r}"
        return Comparison(comparison=name, reason=reason or absent), None
    shifted = values.shifted
    result = Comparison(
        comparison=name,
        n_trials=sum(value.n_trials for value in shifted.values),
        n_units=sum(value.n_units for value in shifted.values),
        n_cells=len(shifted.values),
        left_out=values.left_out,
        control=control,
        reason=reason,
        strata=tuple(_levels(values, lambda cell: (*cell[:2], None))),
        methods=() if name == "method" else tuple(_levels(shifted, lambda cell: (None, None, cell[2]))),
    )
    if not shifted.values:
        return replace(result, reason=reason or _nothing_usable(name, values.left_out)), None
    rho = shifted.rho
    result = _with_slope(replace(result, estimate=rho.whole, n_clusters=rho.n_clusters), shifted)
    if name != "method":
        result = _without_one(result, shifted)
    reason = reason or _unanswerable(result)
    if reason:
        return replace(result, reason=reason), None
    interval = shifted.interval()
    if interval is not None and not interval.standard_error:
        # No data seed makes a difference: the interval of as many pairs as there are data seeds.
        error = math.sqrt(FISHER_C["spearman"] / (rho.n_clusters - 3))
        interval = replace(interval, standard_error=error, df=rho.n_clusters - 1)
    if interval is not None and name == "method":
        interval = over_methods(data, rho.whole, interval)
    if interval is None:
        return replace(result, reason=UNDEFINED_WITHOUT_ONE), None
    (low, high), error = interval.bounds(), interval.standard_error
    result = replace(result, ci_low=low, ci_high=high, standard_error=error, df=interval.df)
    return _with_predictions(result, shifted), interval


def _unanswerable(result: Comparison) -> str | None:
    """The requirement that an estimate does not meet; None if it meets all."""
    if result.comparison == "method":
        methods = result.n_units / max(result.n_cells, 1)
        if methods < MINIMUM_METHODS:
            # Cut off, since 4.96 rounded would be no fewer than 5.
            on_average = "" if methods.is_integer() else " on average"
            return f"{math.floor(10 * methods) / 10:g} methods are compared{on_average}, fewer than {MINIMUM_METHODS}"
    elif result.n_cells < MINIMUM_CELLS:
        return f"{count(result.n_cells, 'cell has', 'cells have')} a value, fewer than {MINIMUM_CELLS}"
    elif len(result.methods) == 1:
        return f"only one method, {display_name(str(result.methods[0].method))}, contributes"
    if result.n_clusters < MINIMUM_CLUSTERS:
        return f"a dataset has {count(result.n_clusters, 'data seed')}, fewer than {MINIMUM_CLUSTERS}"
    return None


def _nothing_usable(name: str, left_out: Mapping[str, int]) -> str:
    """As in "fewer than 4 settings in all 6 cells" or "fewer than 4 methods in the only stratum"."""
    plurals = {"seed": ("configuration", "configurations"), "method": ("stratum", "strata")}
    one, many = plurals.get(name, ("cell", "cells"))
    if len(left_out) > 1:
        reasons = sorted(left_out.items(), key=lambda item: -item[1])
        return ", ".join(f"{why} in {count(times, one, many)}" for why, times in reasons)
    ((why, n),) = left_out.items()
    return f"{why} in the only {one}" if n == 1 else f"{why} in all {n:,} {many}"


Place = tuple[str | None, float | None, str | None]
"""A cell as far as a level fixes it."""


def _levels(values: CellValues, place_of: Callable[[Cell], Place]) -> Iterator[Level]:
    """The combined value of the cells of each place."""
    for place, cells in values.grouped(place_of).items():
        interval, rho = cells.interval(), cells.rho.whole
        low, high = interval.bounds() if interval is not None and interval.standard_error else (None, None)
        if np.isfinite(rho):
            yield Level(*place, rho, low, high, sum(v.n_trials for v in cells.values), len(cells.values))


def _with_slope(result: Comparison, values: CellValues) -> Comparison:
    slope = values.slope / 10
    if not np.isfinite(slope.whole):
        return result
    interval = slope.interval()
    low, high = (None, None) if interval is None else interval.bounds()
    return replace(result, auc_per_tenth=slope.whole, auc_per_tenth_low=low, auc_per_tenth_high=high)


def _without_one(result: Comparison, values: CellValues) -> Comparison:
    methods = {value.cell[2] for value in values.values}
    if len(methods) < FEWEST_TO_PREDICT:
        return result
    estimates = [values.where(lambda cell: cell[2] != method).rho.whole for method in methods]  # noqa: B023
    return replace(result, without_one_low=min(estimates), without_one_high=max(estimates))


def _with_predictions(result: Comparison, values: CellValues) -> Comparison:
    """The comparison with its prediction intervals for a new method, a new dataset and one more cell."""
    key_of: dict[str, Callable[[Cell], Hashable]] = {
        "cells": lambda cell: cell,
        "prediction_dataset": lambda cell: cell[0],
    }
    if result.comparison != "method":
        key_of |= {"prediction": lambda cell: cell[2], "stratum": lambda cell: cell[:2]}
    spreads = {name: spread for name, key in key_of.items() if (spread := _spread(values, key)) is not None}
    # Differences by severity or method show up there before they do among many cells; Bonferroni's correction.
    tested = [spread.p_value for name, spread in spreads.items() if name != "prediction_dataset"]
    spreads.pop("stratum", None)
    bounds: dict[str, Any] = {}
    for name, spread in spreads.items():
        ends = np.asarray([spread.low, spread.high])
        low, high = np.tanh(ends) if values.fisher else np.clip(ends, -1, 1)
        bounds |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    p_value = min(1.0, len(tested) * min(tested)) if tested else None
    return replace(result, **bounds, cells_p_value=p_value)


def _spread(values: CellValues, key_of: Callable[[Cell], Hashable]) -> Heterogeneity | None:
    """How much the groups of cells with the same key differ."""
    groups = list(values.grouped(key_of).values())
    units = list(dict.fromkeys(unit for value in values.values for unit in value.drawn))
    drawn = [
        [sum(share * v.drawn.get(unit, 0.0) for v, share in zip(g.values, g.shares, strict=True)) for unit in units]
        for g in groups
    ]
    present = values.rho.present
    df = float(present.sum() - len(np.unique(values.rho.dataset[present])))
    means, influence = [g.mean.whole for g in groups], [g.mean.influence() for g in groups]
    return heterogeneity(np.asarray(means), np.asarray(influence), df, np.asarray(drawn, dtype=np.float64))
