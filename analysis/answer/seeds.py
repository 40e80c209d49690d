"""Seed: of two runs of one recipe, is the one with the better map better?

Spearman's rho among the trials of each configuration, which differ in seeds alone, combined on Fisher's z scale.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.answer.cells import CellValue, CellValues, Data, collect, hardly_varies, too_few
from analysis.stats.rank_correlation import CLIP, Floats
from analysis.stats.without_each import rank_correlation_without_each
from analysis.trials.design import Cell, Rows


def seed_values(data: Data) -> CellValues:
    """The values of the cells, each of its configurations combined."""
    return collect(_of_configurations(data), fisher=True)


def _of_configurations(data: Data) -> Iterator[tuple[Cell, CellValue | str]]:
    for cell, rows in data.cells.items():
        for members in pd.Series(rows).groupby(data.configuration[rows]):
            group = members[1].to_numpy(dtype=np.intp)
            reason = too_few(len(group), "trials") or hardly_varies(data.y[group].std(ddof=1))
            yield cell, reason or ranked(data, cell, group)


def ranked(data: Data, cell: Cell, rows: Rows, control: Floats | None = None) -> CellValue | str:
    """Rho of these trials, given the control if there is one, weighted by n − d; or why it is undefined."""
    part = rank_correlation_without_each(data.x[rows], data.y[rows], data.resamples.cluster[rows], control)
    if not np.isfinite(part.rho[0]):
        return "constant score" if control is None else "score or outcome that validation AUC determines"
    weight = np.where(np.isfinite(part.rho), part.weight, 0.0)
    z = np.arctanh(np.clip(np.nan_to_num(part.rho), -CLIP, CLIP))
    return CellValue(
        cell=cell,
        weighted=data.resamples.replicated(weight * z, part.clusters),
        weight=data.resamples.replicated(weight, part.clusters),
        cross=data.resamples.replicated(part.cross, part.clusters),
        squares=data.resamples.replicated(part.squares, part.clusters),
        n_trials=len(rows),
        n_units=len(rows),
    )
