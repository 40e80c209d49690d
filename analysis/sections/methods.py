"""Each method's performance and localisation, of its cell and by strength: mean ± standard deviation over trials."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.trials.design import Cell, cell_rows
from analysis.trials.trials import Primary
from records import columns


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n − 1 in the denominator) of the values present; None where undefined."""

    mean: float | None
    sd: float | None
    n: int


@dataclass(frozen=True)
class MethodRow:
    """One cell's summary; a column the table lacks has n = 0."""

    dataset: str
    severity: float
    method: str
    n: int
    """Trials in the cell."""
    ood: Spread
    """The outcome, by default AUC on the OOD test set."""
    id: Spread
    """AUC on the ID test set."""
    localisation: Spread
    """The primary's localisation score."""
    chance: float | None
    """Median chance level of IoU, where the metric is IoU and the level is recorded."""
    strength: float | None = None
    """The trials' strength; None for all of the cell's."""


def method_rows(table: pd.DataFrame, primary: Primary) -> Iterator[MethodRow]:
    """One row per (dataset, severity, method), in this order, `baseline` before the other methods."""
    cells = cell_rows(table)
    for cell in sorted(cells, key=_in_order):
        yield _row(cell, table.iloc[cells[cell]], primary)


def strength_rows(table: pd.DataFrame, primary: Primary) -> Iterator[MethodRow]:
    """The same for each strength of the cells that have several, the smallest first; other settings are averaged."""
    if "strength" not in table:
        return
    cells = cell_rows(table)
    for cell in sorted(cells, key=_in_order):
        part = table.iloc[cells[cell]]
        strengths = sorted(part["strength"].dropna().unique())
        if len(strengths) > 1:
            for strength in strengths:
                yield replace(_row(cell, part[part["strength"] == strength], primary), strength=float(strength))


def _in_order(cell: Cell) -> tuple[str, float, bool, str]:
    return (*cell[:2], cell[2] != "baseline", cell[2])


def _row(cell: Cell, part: pd.DataFrame, primary: Primary) -> MethodRow:
    levels = _values(part, columns.chance_iou(primary.split)) if primary.metric == "iou" else np.empty(0)
    return MethodRow(
        dataset=cell[0],
        severity=cell[1],
        method=cell[2],
        n=len(part),
        ood=spread(_values(part, primary.outcome)),
        id=spread(_values(part, columns.performance("test_id", "auc"))),
        localisation=spread(_values(part, primary.column)),
        chance=float(np.median(levels)) if len(levels) else None,
    )


def spread(values: np.ndarray) -> Spread:
    """Mean, standard deviation and number of values; no mean without values, no deviation under two."""
    n = len(values)
    return Spread(mean=float(values.mean()) if n else None, sd=float(values.std(ddof=1)) if n > 1 else None, n=n)


def _values(part: pd.DataFrame, column: str) -> np.ndarray:
    return part[column].dropna().to_numpy(dtype=float) if column in part else np.empty(0)
