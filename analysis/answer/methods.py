"""Method: do methods with better maps generalize better?

Spearman's rho among the methods of a stratum, averaged over settings and seeds and cross-fitted as settings are.
"""

import numpy as np

from analysis.answer.cells import CellValues, Data, collect
from analysis.answer.settings import averaged
from analysis.stats.replicated import Interval, of_units


def method_values(data: Data, without: str | None = None) -> CellValues:
    """The values of the strata, in place of cells; without the trials of one method, if named."""
    method = np.unique(data.table["method"].astype(str), return_inverse=True)[1].astype(np.intp)
    results = []
    for (dataset, severity), cells in data.strata.items():
        rows = [cell_rows for cell, cell_rows in cells.items() if cell[2] != without]
        if rows:
            stratum = (dataset, severity, "")
            results.append((stratum, averaged(data, stratum, np.concatenate(rows), method, "method")))
    return collect(results, fisher=False)


def over_methods(data: Data, rho: float, interval: Interval) -> Interval | None:
    """The interval over data seeds, widened: other methods would have given other values.

    Methods are left out in turn as data seeds are. Near a perfect order z is clipped, so the variance is at most that
    of as many independent pairs (Bonett & Wright, Psychometrika 65, 2000), which also replaces a variance of 0. None
    where the correlation is undefined without one of the methods.
    """
    ranked = {cell: rows for cell, rows in data.cells.items() if len(np.unique(data.resamples.cluster[rows])) > 1}
    names = sorted({cell[2] for cell in ranked if cell[1] > 0})
    deleted = [method_values(data, without=name).shifted for name in names]
    if not all(values.values for values in deleted):
        return None
    rho_without = np.asarray([rho, *(values.rho.whole for values in deleted)])
    variance = float((of_units(rho_without).influence("fisher") ** 2).sum())
    bound = (1 + rho**2 / 2) / (len(names) - 3)
    return interval.widened(min(variance, bound) if variance > 1e-9 else bound, len(names) - 1)
