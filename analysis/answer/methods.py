"""Method: do methods with better maps generalize better?

Spearman's rho among the methods of a stratum, averaged over settings and seeds and cross-fitted as settings are.
"""

import numpy as np

from analysis.answer.cells import CellValues, Data, collect
from analysis.answer.settings import averaged


def method_values(data: Data) -> CellValues:
    """The values of the strata, in place of cells."""
    method = np.unique(data.table["method"].astype(str), return_inverse=True)[1].astype(np.intp)
    results = []
    for (dataset, severity), cells in data.strata.items():
        stratum = (dataset, severity, "")
        results.append((stratum, averaged(data, stratum, np.concatenate(list(cells.values())), method, "method")))
    return collect(results, fisher=False)
