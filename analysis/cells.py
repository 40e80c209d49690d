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
    found: dict[Cell, list[int]] = {}
    for row, (dataset, severity, method) in enumerate(
        zip(table["dataset"], table["severity"], table["method"], strict=True)
    ):
        found.setdefault((str(dataset), float(severity), str(method)), []).append(row)
    return {cell: np.asarray(found[cell], dtype=np.intp) for cell in sorted(found)}


def strata_of(cells: dict[Cell, Rows]) -> dict[Stratum, list[Cell]]:
    """The cells of each stratum, in the order of `cells`."""
    found: dict[Stratum, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell[:2], []).append(cell)
    return found
