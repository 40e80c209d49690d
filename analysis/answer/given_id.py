"""Given ID: does the map predict anything beyond validation AUC?

Spearman's rho among the trials of a cell, the ranks of map and outcome adjusted for a polynomial of those of validation
AUC, combined on Fisher's z scale.
"""

from dataclasses import replace

import numpy as np

from analysis.answer.cells import MINIMUM_UNITS, CellValue, CellValues, Data, by_draw, collect, hardly_varies, too_few
from analysis.answer.seeds import ranked, unranked, without_images
from analysis.stats.rank_correlation import Floats
from analysis.trials.design import Cell
from records import columns

CONTROL = columns.performance("valid_id", "auc")
"""Validation performance, which every user has."""
FALLBACK_CONTROL = columns.performance("test_id", "auc")
EQUAL = 0.01
"""Largest difference of validation AUC within a matched pair."""
NEIGHBOURS = 5


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

    def values(data: Data) -> CellValues:
        centred = without_images(data, name)
        control = centred.table[name].to_numpy(dtype=np.float64)
        return collect(((cell, _of_cell(data, centred, cell, control)) for cell in data.cells), fisher=True)

    return replace(values(data), by_training_seed=tuple(map(values, data.by_training_seed)))


def matched_pairs(data: Data) -> tuple[float, int]:
    """Of pairs of trials of a cell with nearly equal validation AUC, the share whose better map has the better outcome.

    Each trial is compared with the `NEIGHBOURS` that follow it in validation AUC, if they are within `EQUAL`; ties of
    map or outcome count half. What images do to all configurations alike is taken out of the three first, as for the
    correlation. Returns the share, NaN without pairs, and the number of pairs.
    """
    name = control_of(data)
    if name is None:
        return float("nan"), 0
    centred = without_images(data, name)
    control = centred.table[name].to_numpy(dtype=np.float64)
    agreement: list[Floats] = []
    for (_, severity, _), rows in data.cells.items():
        rows = rows[np.isfinite(control[rows]) & centred.present[rows]]
        if severity == 0 or len(rows) == 0 or hardly_varies(data.y[rows].std()):
            continue
        ordered = rows[np.argsort(control[rows], kind="stable")]
        for distance in range(1, NEIGHBOURS + 1):
            one, other = ordered[:-distance], ordered[distance:]
            equal = control[other] - control[one] <= EQUAL
            # Rounded, since the subtraction leaves ties that differ in the last digits.
            signs = np.prod([np.sign((v[other] - v[one]).round(12)) for v in (centred.x, centred.y)], axis=0)
            agreement.append((1 + signs[equal]) / 2)
    pairs = np.concatenate(agreement) if agreement else np.empty(0)
    return (float(pairs.mean()) if len(pairs) else float("nan")), len(pairs)


def _of_cell(data: Data, centred: Data, cell: Cell, control: Floats) -> CellValue | str:
    rows = data.cells[cell]
    rows = rows[np.isfinite(control[rows]) & centred.present[rows]]
    reason = too_few(len(rows), "trials", MINIMUM_UNITS + 1) or unranked(data, rows)
    value = reason or ranked(centred, cell, rows, control[rows])
    if isinstance(value, str):
        return value
    axes = {axis: levels[rows] for axis, levels in data.axes.items()}
    return replace(value, drawn=by_draw(centred.x[rows], centred.y[rows], axes, "fisher", control[rows]))
