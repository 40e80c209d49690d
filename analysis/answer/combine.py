"""Combines the values of a comparison's cells: the estimate, its interval, the spread over cells, Holm's levels."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from analysis.answer.cells import SMALLEST_SPREAD, CellValues, Data
from analysis.answer.given_id import CONTROL, FALLBACK_CONTROL, control_of, given_id_values, matched_pairs
from analysis.answer.methods import method_values
from analysis.answer.seeds import seed_values
from analysis.answer.settings import setting_values
from analysis.numbers import column_name, count
from analysis.numbers import name as display_name
from analysis.stats.heterogeneity import MINIMUM as FEWEST_TO_PREDICT
from analysis.stats.heterogeneity import of_both_signs, one_more
from analysis.stats.multiplicity import holm_levels
from analysis.stats.rank_correlation import ALPHA
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
MINIMUM_DATASETS = 5
"""Fewest datasets with a prediction for a new one."""
DIFFER = 0.05
"""Level of the tests that signs differ, by Holm's procedure over all levels of all comparisons."""


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


@dataclass(frozen=True)
class Signs:
    """Whether the correlations of methods, of strata or of cells have different signs."""

    among: str
    n: int
    """Number of correlations that have an interval."""
    p_value: float
    """Of one sign for all (see `of_both_signs`)."""
    least: Level
    """The correlation that is furthest below the others by its interval."""
    greatest: Level


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The rank correlation of maps with performance among models that differ in one thing; None where not estimated."""

    comparison: str
    estimate: float | None = None
    ci_low: float | None = None
    """95 % interval for the draw of data seeds, of settings or methods, and of training seeds that recur."""
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
    new_method_positive: float | None = None
    """Probability that the correlation of a new method is above 0."""
    new_method_relevant: float | None = None
    """Probability that it is above the smallest effect of interest."""
    signs: tuple[Signs, ...] = ()
    generality: str = "too few to say"
    """How general the average is: "same sign", "signs differ" or "too few to say"."""
    differ_among: str | None = None
    """Where signs differ: among methods, strata or cells, the first of them whose test rejects one sign."""
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
    matched_pairs: float | None = None
    """Of pairs of trials with nearly equal control, the share whose better map has the better outcome."""
    n_matched_pairs: int = 0
    reason: str | None = None
    """Why there is no answer."""
    answer: str = "undecided"
    sentence: str = ""


def values_of(data: Data, declared: Sequence[str] = columns.COMPARISONS) -> dict[str, CellValues]:
    """The values of the declared comparisons' cells."""
    return {name: CELL_VALUES[name](data) for name in declared}


def combine(
    data: Data,
    values: Mapping[str, CellValues],
    *,
    smallest_effect: float,
    data_seeds_known: bool = True,
    level_of: Callable[[float], float] = float,
) -> tuple[Comparison, ...]:
    """The comparisons of a score with the outcome, their intervals holding jointly.

    `values` are those of `values_of` for the same data; `smallest_effect` is in (0, 1). `level_of` gives the level at
    which this look at growing data tests what all looks together test at a level.
    """
    reason = data.unfit() or _shortage(data, data_seeds_known)
    results = [_comparison(data, name, of_cells, reason, smallest_effect) for name, of_cells in values.items()]
    p_values = [_p_of_word(interval, smallest_effect) for _, interval in results if interval]
    levels = iter(holm_levels(p_values, level_of=level_of))
    no_bounds: tuple[None, None] = (None, None)
    bounds = (
        (interval.bounds(1 - level_of(ALPHA)), interval.bounds(1 - next(levels))) if interval else (no_bounds,) * 2
        for _, interval in results
    )
    tests = [signs.p_value for comparison, _ in results for signs in comparison.signs]
    of_signs = iter(zip(tests, holm_levels(tests, DIFFER, level_of), strict=True))
    return tuple(
        replace(
            _general(comparison, [p <= level for _, (p, level) in zip(comparison.signs, of_signs, strict=False)]),
            ci_low=low,
            ci_high=high,
            joint_low=joint_low,
            joint_high=joint_high,
        )
        for (comparison, _), ((low, high), (joint_low, joint_high)) in zip(results, bounds, strict=True)
    )


def _general(result: Comparison, differ: Sequence[bool]) -> Comparison:
    """The comparison with its generality; `differ` says of each test of signs whether it rejects one sign."""
    among = next((signs.among for signs, rejected in zip(result.signs, differ, strict=True) if rejected), None)
    if among is not None:
        return replace(result, generality="signs differ", differ_among=among)
    shown = [level for level in (*result.strata, *result.methods) if level.severity != 0]
    bounds = [(level.ci_low, level.ci_high) for level in shown]
    of_one_sign = any(
        all(low is not None and high is not None and side * (low if side > 0 else high) > 0 for low, high in bounds)
        for side in (1, -1)
    )
    is_same = result.ci_low is not None and len(shown) >= MINIMUM_CELLS and of_one_sign
    return replace(result, generality="same sign" if is_same else "too few to say")


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


def _comparison(
    data: Data, name: str, values: CellValues, reason: str | None, smallest_effect: float
) -> tuple[Comparison, Interval | None]:
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
    if name == "given_id":
        share, n_pairs = matched_pairs(data)
        result = replace(result, matched_pairs=share if n_pairs else None, n_matched_pairs=n_pairs)
    reason = reason or _unanswerable(result)
    if reason:
        return replace(result, reason=reason), None
    interval = shifted.interval()
    if interval is None:
        return replace(result, reason=UNDEFINED_WITHOUT_ONE), None
    (low, high), error = interval.bounds(), interval.standard_error
    result = replace(result, ci_low=low, ci_high=high, standard_error=error, df=interval.df)
    return _with_spread(result, shifted, smallest_effect), interval


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
        low, high = (None, None) if interval is None else interval.bounds()
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


def _with_spread(result: Comparison, values: CellValues, smallest_effect: float) -> Comparison:
    """The comparison with what a new method and a new dataset would have, and the tests of signs."""
    fields: dict[str, Any] = {}
    by_dataset = values.grouped(lambda cell: cell[0])
    groups = {"prediction": values.grouped(lambda cell: cell[2]) if result.comparison != "method" else {}}
    groups |= {"prediction_dataset": by_dataset if len(by_dataset) >= MINIMUM_DATASETS else {}}
    for name, members in groups.items():
        means = [group.mean for group in members.values()]
        new = one_more(np.asarray([m.whole for m in means]), np.asarray([m.influence() for m in means]))
        if new is None:
            continue
        low, high = np.tanh(new.bounds()) if values.fisher else np.clip(new.bounds(), -1, 1)
        fields |= {f"{name}_low": float(low), f"{name}_high": float(high)}
        if name == "prediction":
            limit = float(np.arctanh(smallest_effect)) if values.fisher else smallest_effect
            fields |= {"new_method_positive": new.p_above(0.0), "new_method_relevant": new.p_above(limit)}
    levels: dict[str, Callable[[Cell], Place]] = {
        "methods": lambda cell: (None, None, cell[2]),
        "strata": lambda cell: (*cell[:2], None),
        "cells": lambda cell: cell,
    }
    if result.comparison == "method":
        levels = {"strata": levels["strata"]}
    tests = (_signs(values, among, place_of) for among, place_of in levels.items())
    return replace(result, **fields, signs=tuple(signs for signs in tests if signs is not None))


def _signs(values: CellValues, among: str, place_of: Callable[[Cell], Place]) -> Signs | None:
    """The test that the groups of cells differ in sign, those with an interval; None for fewer than two."""
    tested = {}
    for place, group in values.grouped(place_of).items():
        if (interval := group.interval()) is not None:
            tested[place] = interval
    if len(tested) < 2:
        return None
    levels = {(level.dataset, level.severity, level.method): level for level in _levels(values, place_of)}
    by_ratio = sorted(tested, key=lambda place: tested[place].at / tested[place].standard_error)
    least, greatest = levels[by_ratio[0]], levels[by_ratio[-1]]
    return Signs(among, len(tested), of_both_signs(list(tested.values())), least, greatest)
