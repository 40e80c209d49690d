"""Setting: can a method be tuned by looking at maps?

Spearman's rho among the configurations of a cell, averaged over seeds and cross-fitted over halves of the data seeds.
"""

import numpy as np
import pandas as pd
from scipy import stats

from analysis.answer.cells import (
    SETTING,
    SMALLEST_SPREAD,
    CellValue,
    CellValues,
    Data,
    by_draw,
    collect,
    hardly_varies,
    too_few,
)
from analysis.stats.rank_correlation import Floats
from analysis.stats.split_halves import split_halves
from analysis.trials.design import Cell, Codes, Rows

MINIMUM_RELIABILITY = 0.5
"""Least agreement of two halves of the data seeds about the order of settings or methods."""


def setting_values(data: Data) -> CellValues:
    """The values of the cells."""
    results = ((cell, averaged(data, cell, rows, data.configuration, "setting")) for cell, rows in data.cells.items())
    return collect(results, fisher=False)


def averaged(data: Data, cell: Cell, rows: Rows, unit: Codes, noun: str) -> CellValue | str:
    """Rho among units' averages over seeds, weighted by the number of units less one; or why it is undefined.

    `unit` is the setting or method of each trial of the table. A unit with one data seed has no halves, so it is not
    ranked.
    """
    x, _ = _means(data, rows, unit[rows])
    units = np.unique(unit[rows])[np.isfinite(x).sum(axis=1) > 1]
    few = too_few(len(x), f"{noun}s") or too_few(len(units), f"{noun}s with two data seeds")
    if few is not None:
        return few
    rows = rows[np.isin(unit[rows], units)]
    x, y = _means(data, rows, unit[rows])
    halves = split_halves(x, y, seed=data.seed)
    alike = hardly_varies(float(np.sqrt(max(halves.variance_y[0], 0.0))), f"mean outcome of {noun}s")
    if alike is not None:
        return alike
    if not min(halves.reliability_x[0], halves.reliability_y[0]) >= MINIMUM_RELIABILITY:
        return f"{noun}s in no stable order between halves of the data seeds"
    # Without a data seed, the cell may lack what lets it in; then it has no weight there.
    least = np.minimum(halves.reliability_x, halves.reliability_y)
    is_in = np.isfinite(halves.rho) & (least >= MINIMUM_RELIABILITY) & (halves.variance_y >= SMALLEST_SPREAD**2)
    weight = np.where(is_in, len(x) - 1.0, 0.0)
    x_mean, y_mean = np.nanmean(x, axis=1), np.nanmean(y, axis=1)
    first = rows[np.unique(unit[rows], return_index=True)[1]]
    axes = {SETTING: units} if noun == "method" else {axis: levels[first] for axis, levels in data.axes.items()}
    clusters = np.unique(data.resamples.cluster[rows])
    return CellValue(
        cell=cell,
        weighted=data.resamples.replicated(weight * np.nan_to_num(halves.rho), clusters),
        weight=data.resamples.replicated(weight, clusters),
        cross=data.resamples.replicated(halves.covariance, clusters),
        squares=data.resamples.replicated(halves.variance_x, clusters),
        n_trials=len(rows),
        n_units=len(x),
        drawn=by_draw(x_mean, y_mean, axes),
        uncorrected=float(stats.spearmanr(x_mean, y_mean).statistic),
        unresolved=halves.unresolved,
    )


def _means(data: Data, rows: Rows, unit: Codes) -> tuple[Floats, Floats]:
    """[units, clusters] mean score and outcome of each unit's trials in each cluster of these trials."""
    frame = pd.DataFrame({"x": data.x[rows], "y": data.y[rows]})
    means = frame.groupby([unit, data.resamples.cluster[rows]]).mean().unstack()
    return means["x"].to_numpy(), means["y"].to_numpy()
