"""Cells and strata of a table: a cell is one (dataset, severity, method), a stratum one (dataset, severity)."""

from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Cell = tuple[str, float, str]
Stratum = tuple[str, float]
Rows = NDArray[np.intp]
"""Positions of trials in the table."""


def cell_rows(table: pd.DataFrame) -> dict[Cell, Rows]:
    """The trials of each cell, cells in ascending order."""
    rows = table.groupby(["dataset", "severity", "method"], sort=True).indices
    found = cast("dict[tuple[str, float, str], Rows]", rows)
    return {(str(d), float(s), str(m)): np.asarray(positions, dtype=np.intp) for (d, s, m), positions in found.items()}


def strata_of(cells: dict[Cell, Rows]) -> dict[Stratum, list[Cell]]:
    """The cells of each stratum, in the order of `cells`."""
    found: dict[Stratum, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell[:2], []).append(cell)
    return found
