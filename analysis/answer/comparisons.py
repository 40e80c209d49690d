"""The four comparisons: what a better map says, by what varies between the models that are compared.

- seed: trials of one configuration, which differ in seeds alone; combined over configurations
- setting: configurations of a cell, averaged over seeds
- method: methods of a stratum, averaged over seeds and settings
- given_id: trials of a cell, ranks adjusted for AUC on the ID validation set with one slope a cell

Each is first made into `Parts`: one value per cell (per stratum, between methods), whole and without each data seed.
Everything else, the estimate, its interval, the spread over methods and the effect, combines these.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.answer.parts import (
    CONTROL,
    FALLBACK_CONTROL,
    MINIMUM_CELLS,
    MINIMUM_METHODS,
    SMALLEST_SPREAD,
    Data,
    Parts,
    between_methods,
    control_of,
    influence_of,
    parts_of,
    shifted_parts,
    unfit,
)
from analysis.numbers import column_name, count
from analysis.numbers import name as display_name
from analysis.stats.cluster_jackknife import MINIMUM_CLUSTERS, satterthwaite
from analysis.stats.estimate import jackknife_bounds
from analysis.stats.heterogeneity import MINIMUM as FEWEST_TO_PREDICT
from analysis.stats.heterogeneity import Heterogeneity, heterogeneity
from analysis.stats.multiplicity import holm_levels
from analysis.stats.rank_correlation import CLIP, LEVEL
from analysis.trials.trials import UNKNOWN_DATA_SEEDS
from records import columns


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
    """The interval at the level at which Holm's procedure tests this comparison among all that are declared; the word
    rests on it."""
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
    """Of no difference between cells, methods and strata but by seeds and by the draw of settings or methods."""
    auc_per_tenth: float | None = None
    """Difference of the outcome that goes with 0.1 more of the localisation score."""
    auc_per_tenth_low: float | None = None
    auc_per_tenth_high: float | None = None
    n_trials: int = 0
    n_units: int = 0
    """Units that are ranked: trials, or configurations, or methods."""
    n_cells: int = 0
    """Cells that carry the estimate; between methods, strata."""
    n_clusters: int = 0
    """Data seeds of the dataset that has the fewest."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Cells, configurations or strata without a say, by reason."""
    standard_error: float | None = None
    """Of Fisher's z."""
    df: float | None = None
    strata: tuple[Level, ...] = ()
    """Each stratum by itself, those without a shift included."""
    methods: tuple[Level, ...] = ()
    """Each method by itself, over the strata with a shift."""
    without_one_low: float | None = None
    """Least and greatest estimate where one method is left out."""
    without_one_high: float | None = None
    control: str | None = None
    """The column that ranks were adjusted for."""
    reason: str | None = None
    """Why there is no answer."""
    answer: str = "undecided"
    sentence: str = ""


def compare(
    data: Data,
    *,
    smallest_effect: float,
    declared: Sequence[str] = columns.COMPARISONS,
    data_seeds_known: bool = True,
) -> tuple[Comparison, ...]:
    """The declared comparisons of a score with the outcome, their intervals holding jointly.

    Args:
        data: the trials with their score and outcome.
        smallest_effect: smallest correlation of interest, in (0, 1).
        declared: some of `records.columns.COMPARISONS`.
        data_seeds_known: whether it is known which trials share a data seed.
    """
    reason = unfit(data) or _shortage(data, data_seeds_known)
    results = [_comparison(data, name, reason) for name in declared]
    return _with_joint_intervals(results, smallest_effect)


def _shortage(data: Data, data_seeds_known: bool) -> str | None:
    """Why no comparison has an interval; None if some may."""
    if not data_seeds_known:
        return UNKNOWN_DATA_SEEDS
    shifted = [np.concatenate(list(cells.values())) for (_, severity), cells in data.strata.items() if severity > 0]
    most = max(map(data.resamples.fewest, shifted))
    if most < MINIMUM_CLUSTERS:
        return f"no dataset with a shift has more than {count(most, 'data seed')}; an interval takes {MINIMUM_CLUSTERS}"
    if all(float(data.y[rows].std()) < SMALLEST_SPREAD for rows in shifted):
        return f"{column_name(data.outcome)} varies by less than {SMALLEST_SPREAD:g} wherever there is a shift"
    return None


def _comparison(data: Data, name: str, reason: str | None) -> Comparison:
    if not data.cells or data.score not in data.table:
        return Comparison(comparison=name, reason=reason)
    control = control_of(data) if name == "given_id" else None
    if name == "given_id" and control is None:
        absent = f"no trial has the column {CONTROL!r} or {FALLBACK_CONTROL!r}"
        return Comparison(comparison=name, reason=reason or absent)
    parts = parts_of(data, name, control)
    shifted = shifted_parts(parts)
    result = Comparison(
        comparison=name,
        n_trials=int(shifted.n_trials.sum()),
        n_units=int(shifted.n_units.sum()),
        n_cells=len(shifted.cells),
        left_out=parts.left_out,
        control=control,
        reason=reason,
        strata=tuple(_levels(data, parts, (0, 1))),
        methods=() if name == "method" else tuple(_levels(data, shifted, (2,))),
    )
    if not shifted.cells:
        return replace(result, reason=reason or _nothing_usable(name, parts))
    own: NDArray[np.bool_] = np.asarray(shifted.clusters.any(axis=0))
    fewest = int(np.unique(data.resamples.dataset[own], return_counts=True)[1].min())
    result = replace(result, estimate=float(shifted.rho[0]), n_clusters=fewest, **_slope(data, shifted, own))
    if name != "method":
        result = replace(result, **_without_one(shifted))
    if not reason:
        reason = _unanswerable(name, result)
    if reason:
        return replace(result, reason=reason)
    interval = _interval(data, name, shifted, fewest)
    if interval is None:
        return replace(result, reason="without one of the data seeds it is undefined")
    z, error, df = interval
    reach = float(special.stdtrit(df, 0.5 + LEVEL / 2)) * error
    return replace(
        result,
        ci_low=float(np.tanh(z - reach)),
        ci_high=float(np.tanh(z + reach)),
        standard_error=error,
        df=df,
        **_predictions(data, name, shifted),
    )


def _interval(data: Data, name: str, parts: Parts, fewest: int) -> tuple[float, float, float] | None:
    """(Fisher's z, its standard error, degrees of freedom); None where it is undefined without one data seed."""
    z = float(np.arctanh(np.clip(parts.rho[0], -CLIP, CLIP)))
    result = parts.interval(data.resamples)
    if result is not None:
        error, df = result.standard_error, result.df
    elif np.isfinite(parts.rho).all():
        # No data seed makes a difference: the interval of as many pairs as there are data seeds.
        error, df = float(np.sqrt(1.06 / (fewest - 3))), float(fewest - 1)
    else:
        return None
    if name != "method":
        return z, error, df
    # Other methods would have given other values, so methods are left out in turn as data seeds are. Near a perfect
    # order that takes z to where it is clipped, and as many independent pairs bound the variance (Bonett & Wright,
    # Psychometrika 65, 2000); they stand in for it where no method makes a difference.
    method = data.table["method"].astype(str).to_numpy()
    ranked = {cell: rows for cell, rows in data.cells.items() if len(np.unique(data.resamples.cluster[rows])) > 1}
    names = sorted({cell[2] for cell in ranked if cell[1] > 0})
    deleted = [between_methods(data, method, without=absent) for absent in names]
    shifted = [shifted_parts(part) for part in deleted]
    if not all(part.cells for part in shifted):
        return None
    values = np.arctanh(np.clip([float(part.rho[0]) for part in shifted], -CLIP, CLIP))
    variance = (len(values) - 1) / len(values) * float(((values - values.mean()) ** 2).sum())
    bound = (1 + float(parts.rho[0]) ** 2 / 2) / (len(values) - 3)
    variances = np.asarray([error**2, min(variance, bound) if variance > 1e-9 else bound])
    return z, float(np.sqrt(variances.sum())), satterthwaite(variances, np.asarray([df, len(values) - 1.0]))


def _unanswerable(name: str, result: Comparison) -> str | None:
    """The requirement that an estimate does not meet; None if it meets all."""
    if name == "method":
        methods = result.n_units / max(result.n_cells, 1)
        if methods < MINIMUM_METHODS:
            # Cut off, since 4.96 rounded would be no fewer than 5.
            on_average = "" if methods.is_integer() else " on average"
            return f"{math.floor(10 * methods) / 10:g} methods are compared{on_average}, fewer than {MINIMUM_METHODS}"
    elif result.n_cells < MINIMUM_CELLS:
        return f"{count(result.n_cells, 'cell carries', 'cells carry')} it, fewer than {MINIMUM_CELLS}"
    elif len(result.methods) == 1:
        return f"only one method, {display_name(str(result.methods[0].method))}, contributes"
    if result.n_clusters < MINIMUM_CLUSTERS:
        return f"a dataset has {count(result.n_clusters, 'data seed')}, fewer than {MINIMUM_CLUSTERS}"
    return None


_LEFT_OUT = {"seed": ("configuration", "configurations"), "method": ("stratum", "strata")}
"""What `Parts.left_out` counts; in the other comparisons, cells."""


def _nothing_usable(name: str, parts: Parts) -> str:
    """As in "fewer than 4 settings in all 6 cells" or "fewer than 4 methods in the only stratum"."""
    one, many = _LEFT_OUT.get(name, ("cell", "cells"))
    if len(parts.left_out) > 1:
        reasons = Counter(parts.left_out).most_common()
        return ", ".join(f"{why} in {count(times, one, many)}" for why, times in reasons)
    ((why, n),) = parts.left_out.items()
    return f"{why} in the only {one}" if n == 1 else f"{why} in all {n:,} {many}"


def _levels(data: Data, parts: Parts, by: Sequence[int]) -> Iterable[Level]:
    """The combined value of each dataset and severity (by 0 and 1), or of each method (by 2)."""
    places = [tuple(part if i in by else None for i, part in enumerate(cell)) for cell in parts.cells]
    for place in dict.fromkeys(places):
        own = parts.take(np.asarray([other == place for other in places], dtype=bool))
        interval = own.interval(data.resamples)
        rho = float(own.rho[0])
        if np.isfinite(rho):
            cell = own.cells[0]
            yield Level(
                dataset=cell[0] if 0 in by else None,
                severity=cell[1] if 1 in by else None,
                method=cell[2] if 2 in by else None,
                estimate=rho,
                ci_low=None if interval is None else interval.low,
                ci_high=None if interval is None else interval.high,
                n_trials=int(own.n_trials.sum()),
                n_cells=len(own.cells),
            )


def _slope(data: Data, parts: Parts, own: NDArray[np.bool_]) -> dict[str, Any]:
    slope = parts.slope / 10
    if not np.isfinite(slope[0]):
        return {}
    clusters = np.flatnonzero(own)
    bounds = jackknife_bounds(float(slope[0]), slope[1 + clusters], data.resamples.dataset[clusters])
    return {
        "auc_per_tenth": float(slope[0]),
        "auc_per_tenth_low": bounds.get("ci_low"),
        "auc_per_tenth_high": bounds.get("ci_high"),
    }


def _without_one(parts: Parts) -> dict[str, Any]:
    names = [cell[2] for cell in parts.cells]
    if len(set(names)) < FEWEST_TO_PREDICT:
        return {}
    estimates = [float(parts.take(np.asarray([n != left for n in names])).rho[0]) for left in sorted(set(names))]
    return {"without_one_low": min(estimates), "without_one_high": max(estimates)}


def _predictions(data: Data, name: str, parts: Parts) -> dict[str, Any]:
    """Prediction intervals for a new method, a new dataset and one more cell."""
    by_method = None if name == "method" else _spread(data, parts, [cell[2] for cell in parts.cells])
    by_stratum = None if name == "method" else _spread(data, parts, [cell[:2] for cell in parts.cells])
    by_dataset = _spread(data, parts, [cell[0] for cell in parts.cells])
    cells = _spread(data, parts, list(range(len(parts.cells))))
    back = np.tanh if parts.fisher else lambda value: np.clip(value, -1.0, 1.0)
    # Differences by severity or method show up there before they do among many cells; Bonferroni's correction.
    tested = [spread.p_value for spread in (cells, by_method, by_stratum) if spread is not None]
    result: dict[str, Any] = {"cells_p_value": min(1.0, len(tested) * min(tested))} if tested else {}
    for label, spread in (("prediction", by_method), ("prediction_dataset", by_dataset), ("cells", cells)):
        if spread is not None:
            result |= {f"{label}_low": float(back(spread.low)), f"{label}_high": float(back(spread.high))}
    return result


def _spread(data: Data, parts: Parts, keys: Sequence[object]) -> Heterogeneity | None:
    """How much the groups of cells with the same key differ."""
    values, influences, drawn = [], [], []
    for key in dict.fromkeys(keys):
        own = parts.take(np.asarray([other == key for other in keys], dtype=bool))
        with np.errstate(invalid="ignore", divide="ignore"):
            value = own.value.sum(axis=0) / own.weight.sum(axis=0)
        influence = np.zeros(data.n_clusters)
        for dataset in np.unique(data.resamples.dataset[own.clusters.any(axis=0)]):
            clusters = np.flatnonzero(own.clusters.any(axis=0) & (data.resamples.dataset == dataset))
            influence[clusters] = influence_of(value[1 + clusters])
        values.append(value[0])
        influences.append(influence)
        drawn.append(own.weight[:, 0] @ own.drawn / own.weight[:, 0].sum())
    used = parts.clusters.any(axis=0)
    df = used.sum() - len(np.unique(data.resamples.dataset[used]))
    return heterogeneity(np.asarray(values), np.asarray(influences), float(df), np.asarray(drawn))


def _with_joint_intervals(results: Sequence[Comparison], smallest_effect: float) -> tuple[Comparison, ...]:
    """Each comparison tested against the smallest effect of interest, at the levels of Holm's procedure."""
    tested = [i for i, result in enumerate(results) if result.standard_error is not None]
    levels = holm_levels([_p_of_word(results[i], smallest_effect) for i in tested])
    joined = list(results)
    for i, level in zip(tested, levels, strict=True):
        result = results[i]
        if result.estimate is None or result.standard_error is None or result.df is None:
            continue
        z = float(np.arctanh(np.clip(result.estimate, -CLIP, CLIP)))
        reach = float(special.stdtrit(result.df, 1 - level / 2)) * result.standard_error
        joined[i] = replace(result, joint_low=float(np.tanh(z - reach)), joint_high=float(np.tanh(z + reach)))
    return tuple(joined)


def _p_of_word(result: Comparison, smallest_effect: float) -> float:
    """Two-sided p-value of the word that the interval is nearest to: the level at which it just says it."""
    z = float(np.arctanh(np.clip(result.estimate or 0.0, -CLIP, CLIP)))
    limit = float(np.arctanh(smallest_effect))
    farthest = max(z - limit, -z - limit, min(z + limit, limit - z))
    return min(1.0, float(2 * special.stdtr(result.df, -farthest / (result.standard_error or 1.0))))
