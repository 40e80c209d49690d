"""One slope of the ID score per cell: the cells that have enough trials for one, and those left out.

How ID performance goes with OOD performance turns with the severity of the shift, so one slope over all severities
adjusts for something that holds in none of them. Strata without a shift are left out: there ID performance is the
outcome.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.numbers import column_name, count, listed, name
from analysis.stats.rank_correlation import Floats
from analysis.trials.design import Cell, Rows, cell_rows

CELL = ("dataset", "severity", "method")
MINIMUM_TRIALS = 5
"""Fewest trials of a cell: a slope and a constant leave three degrees of freedom."""
NO_SHIFT = "no shift (severity 0)"


def cells_with_slope(
    table: pd.DataFrame, rows: Rows, minimum: int = MINIMUM_TRIALS
) -> tuple[dict[Cell, Rows], dict[str, int]]:
    """(positions in `rows` of each cell's trials, the cells left out counted by reason).

    Args:
        table: trials, as in `Trials.table`.
        rows: positions of the trials that have all columns.
        minimum: fewest trials of a cell.
    """
    cells: dict[Cell, Rows] = {}
    left_out = Counter[str]()
    for cell, members in cell_rows(table.iloc[rows]).items():
        if cell[1] == 0:
            left_out[NO_SHIFT] += 1
        elif len(members) < minimum:
            left_out[f"fewer than {minimum} trials"] += 1
        else:
            cells[cell] = members
    return cells, dict(left_out)


def fixed_effects(cells: dict[Cell, Rows], covariate: Floats | None) -> Floats:
    """[trials, effects] the fixed effects cell + covariate : cell, of the trials in the order of the cells.

    Args:
        covariate: [trials] in that order; standardised in each cell, so that slopes are well conditioned. A cell where
            it does not vary has a constant alone, and so has every cell without a covariate.
    """
    cell = np.repeat(np.arange(len(cells)), list(map(len, cells.values())))
    constants = np.eye(len(cells))[cell]
    if covariate is None:
        return constants
    size = np.bincount(cell)
    centred = covariate - (np.bincount(cell, covariate) / size)[cell]
    spread = np.sqrt(np.bincount(cell, centred**2) / size)
    varies = spread > 1e-12
    slopes = constants[:, varies] * (centred / np.where(varies, spread, 1.0)[cell])[:, None]
    return np.concatenate([constants, slopes], axis=1)


def why_left_out(left_out: dict[str, int]) -> str:
    """ "7 cells: no shift (severity 0); 1 cell: fewer than 5 trials"."""
    return "; ".join(f"{count(n, 'cell')}: {why}" for why, n in left_out.items())


def basis(n_trials: int, n_cells: int, n_data_seeds: int, left_out: dict[str, int] | None) -> str:
    """ "603 trials in 25 cells with 8 data seeds in all; left out: 14 cells: no shift (severity 0)"."""
    used = f"{count(n_trials, 'trial')} in {count(n_cells, 'cell')} with {count(n_data_seeds, 'data seed')} in all"
    return used + (f"; left out: {why_left_out(left_out)}" if left_out else "")


def covariate_names(covariates: Sequence[str]) -> str:
    """Covariates as words: "ID test AUC, dataset, severity and method"."""
    return listed([column_name(c) if "." in c else name(c) for c in covariates]) or "nothing"
