"""Given ID: does the map predict anything beyond validation AUC?

Spearman's rho among the trials of a cell, the ranks of map and outcome adjusted for a polynomial of those of validation
AUC, combined on Fisher's z scale.
"""

from dataclasses import replace

import numpy as np

from analysis.answer.cells import MINIMUM_UNITS, CellValue, CellValues, Data, collect, hardly_varies, too_few
from analysis.answer.seeds import ranked, unranked, without_images
from analysis.stats.rank_correlation import Floats
from analysis.stats.replicated import of_units
from analysis.stats.without_each import rank_correlation_without_each
from analysis.trials.design import Cell, Codes, Rows
from records import columns

CONTROL = columns.performance("valid_id", "auc")
"""Validation performance, which every user has."""
FALLBACK_CONTROL = columns.performance("test_id", "auc")
EQUAL = 0.01
"""Largest difference of validation AUC within a matched pair."""
NEIGHBOURS = 5
MOST_LEVELS = 100
"""Most levels that are left out in turn; more are left out in groups."""


def control_of(data: Data) -> str | None:
    """The column that ranks are adjusted for: validation AUC, or AUC on the ID test set in a table without it."""
    for name in (CONTROL, FALLBACK_CONTROL):
        if name in data.table and name != data.outcome and data.table[name].notna().any():
            return name
    return None


def given_id_values(data: Data) -> CellValues:
    """The values of the cells; none without a control."""
    name = control_of(data)
    if name is None:
        return collect((), fisher=True)
    centred = without_images(data, name)
    control = centred.table[name].to_numpy(dtype=np.float64)
    return collect(((cell, _of_cell(data, centred, cell, control)) for cell in data.cells), fisher=True)


def matched_pairs(data: Data) -> tuple[float, int]:
    """Of pairs of trials of a cell with nearly equal validation AUC, the share whose better map has the better outcome.

    Each trial is compared with the `NEIGHBOURS` that follow it in validation AUC, if they are within `EQUAL`; ties of
    map or outcome count half. Returns the share, NaN without pairs, and the number of pairs.
    """
    name = control_of(data)
    agreement: list[Floats] = []
    for (_, severity, _), rows in data.cells.items() if name is not None else ():
        control = data.table[name].to_numpy(dtype=np.float64)
        rows = rows[np.isfinite(control[rows])]
        if severity == 0 or hardly_varies(data.y[rows].std()):
            continue
        ordered = rows[np.argsort(control[rows], kind="stable")]
        for distance in range(1, NEIGHBOURS + 1):
            one, other = ordered[:-distance], ordered[distance:]
            equal = control[other] - control[one] <= EQUAL
            signs = np.sign(data.x[other] - data.x[one]) * np.sign(data.y[other] - data.y[one])
            agreement.append((1 + signs[equal]) / 2)
    pairs = np.concatenate(agreement) if agreement else np.empty(0)
    return (float(pairs.mean()) if len(pairs) else float("nan")), len(pairs)


def _of_cell(data: Data, centred: Data, cell: Cell, control: Floats) -> CellValue | str:
    rows = data.cells[cell]
    rows = rows[np.isfinite(control[rows]) & centred.present[rows]]
    reason = too_few(len(rows), "trials", MINIMUM_UNITS + 1) or unranked(data, rows)
    value = reason or ranked(centred, cell, rows, control[rows])
    return value if isinstance(value, str) else replace(value, drawn={cell: _by_draw(centred, control, rows)})


def _by_draw(data: Data, control: Floats, rows: Rows) -> float:
    """Standard deviation of Fisher's z of a cell's trials by the draw of its settings.

    Settings have the levels of their axes in common, strengths and learning rates, so trials are clustered in several
    ways at once: the variance is the sum of those by the levels of each axis, less that by configuration for all axes
    but one (Cameron, Gelbach & Miller, J. Bus. Econ. Stat. 29, 2011, section 2.3), and not less than that.
    """

    def variance(codes: Codes) -> float:
        level = (np.unique(codes[rows], return_inverse=True)[1] % MOST_LEVELS).astype(np.intp)
        result = rank_correlation_without_each(data.x[rows], data.y[rows], level, control[rows])
        return float((of_units(result.rho).influence("fisher") ** 2).sum())

    by_configuration = variance(data.configuration)
    by_axis = [variance(axis) for axis in data.axes if len(np.unique(axis[rows])) > 1]
    return float(np.sqrt(max(by_configuration, sum(by_axis) - (len(by_axis) - 1) * by_configuration)))
