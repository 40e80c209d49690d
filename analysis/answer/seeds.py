"""Seed: of two runs of the same recipe, does the one with the better map generalize better?

Spearman's rho among the trials of each configuration, which differ in seeds alone, combined on Fisher's z scale.
Trials of other data seeds also have other images. What these do to all configurations alike is taken out first.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.answer.cells import CellValue, CellValues, Data, collect, hardly_varies, too_few
from analysis.stats.rank_correlation import Floats, fisher_z
from analysis.stats.without_each import rank_correlation_without_each
from analysis.trials.design import Cell, Rows


def seed_values(data: Data) -> CellValues:
    """The values of the cells, each of its configurations combined."""
    return replace(_seed_values(data), by_training_seed=tuple(map(_seed_values, data.by_training_seed)))


def _seed_values(data: Data) -> CellValues:
    centred = without_images(data)
    groups = (
        (cell, members.to_numpy(dtype=np.intp))
        for cell, rows in data.cells.items()
        for _, members in pd.Series(rows).groupby(data.configuration[rows])
    )
    return collect(((cell, _of_configuration(data, centred, cell, rows)) for cell, rows in groups), fisher=True)


def without_images(data: Data, *others: str) -> Data:
    """The trials without what images do to all configurations alike, in score, outcome and `others`, columns.

    From each value the mean that its data seed has in the stratum's other configurations is subtracted, each
    configuration less its own mean. A trial whose data seed no other configuration has is left out.
    """
    table = data.table.loc[data.present, ["dataset", "severity", "data_seed"]]
    unit = table.assign(configuration=data.configuration[data.present])
    stratum = ["dataset", "severity"]
    centred = {}
    for column in {data.score, data.outcome, *others} & set(data.table):
        unit["value"] = data.table.loc[data.present, column].astype(np.float64)
        unit["value"] -= unit.groupby([*stratum, "configuration"])["value"].transform("mean")
        images = unit.groupby([*stratum, "data_seed"])["value"]
        own = unit.groupby([*stratum, "data_seed", "configuration"])["value"]
        n_others = images.transform("count") - own.transform("count")
        effect = (images.transform("sum") - own.transform("sum")) / n_others.where(n_others > 0)
        centred[column] = data.table[column] - effect
    return Data(data.table.assign(**centred), data.score, data.outcome, data.resamples, data.seed)


def _of_configuration(data: Data, centred: Data, cell: Cell, rows: Rows) -> CellValue | str:
    rows = rows[centred.present[rows]]
    reason = too_few(len(rows), "trials that share data seeds") or unranked(data, rows)
    return reason or ranked(centred, cell, rows)


def unranked(data: Data, rows: Rows) -> str | None:
    """Why these trials have no order by score or outcome, whatever images do to others; None if they have both."""
    return hardly_varies(data.y[rows].std(ddof=1)) or ("constant score" if np.ptp(data.x[rows]) == 0 else None)


def ranked(data: Data, cell: Cell, rows: Rows, control: Floats | None = None) -> CellValue | str:
    """Rho of these trials, given the control if there is one, weighted by n − d; or why it is undefined."""
    result = rank_correlation_without_each(data.x[rows], data.y[rows], data.resamples.cluster[rows], control)
    if not np.isfinite(result.rho[0]):
        return "constant score" if control is None else "score or outcome that validation AUC determines"
    weight = np.where(np.isfinite(result.rho), result.weight, 0.0)
    z = fisher_z(np.nan_to_num(result.rho))
    return CellValue(
        cell=cell,
        weighted=data.resamples.replicated(weight * z, result.clusters),
        weight=data.resamples.replicated(weight, result.clusters),
        cross=data.resamples.replicated(result.cross, result.clusters),
        squares=data.resamples.replicated(result.squares, result.clusters),
        n_trials=len(rows),
        n_units=len(rows),
    )
