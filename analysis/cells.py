"""Cells and strata of a table: a cell is one (dataset, severity, method), a stratum one (dataset, severity)."""

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
    found: dict[Cell, Rows] = {}
    for key, positions in rows.items():
        dataset, severity, method = tuple(key)  # type: ignore[arg-type]
        found[(str(dataset), float(severity), str(method))] = np.asarray(positions, dtype=np.intp)
    return found


def strata_of(cells: dict[Cell, Rows]) -> dict[Stratum, list[Cell]]:
    """The cells of each stratum, in the order of `cells`."""
    found: dict[Stratum, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell[:2], []).append(cell)
    return found
