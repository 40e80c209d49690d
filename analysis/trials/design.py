"""The design of a table: its cells and strata, and the settings along which its trials differ.

A configuration is everything about a trial but its seeds. Statistics that compare configurations share these rules:

- Axes are the columns of the configuration (`columns.configuration_in`) that vary.
- The dataset is not an axis, because chance levels of localisation scores differ between datasets.
- A setting that dataset, method, model, preset and selection together determine, such as a discriminator's width, is
  not an axis.
- Strength is nested in the method, since the same number weighs different penalties; so is a setting that some method
  lacks. The axis `strength` compares trials of one method; on the axis `method`, all strengths of a method are one
  configuration. Otherwise no penalised method would ever be compared with the baseline.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_list_like

from records import columns

Cell = tuple[str, float, str]
"""Dataset, severity, method."""
Stratum = tuple[str, float]
"""Dataset, severity."""
Rows = NDArray[np.intp]
"""Positions of trials in a table."""
Codes = NDArray[np.intp]
"""[trials] an integer per trial; equal integers stand for equal values."""

SELECTION = "selection"
DETERMINING = ("method", "model", "preset", SELECTION)
"""Axes that, with the dataset, determine other settings."""
_RULES = ("best_valid_id", "last", "best_valid_ood")
"""Order of selection rules that cover equally many cells; best_valid_ood is an oracle."""


def cell_rows(table: pd.DataFrame) -> dict[Cell, Rows]:
    """The trials of each cell, cells in ascending order."""
    indices = table.groupby(["dataset", "severity", "method"], sort=True).indices
    cells = cast("dict[tuple[str, float, str], Rows]", indices)
    return {(str(d), float(s), str(m)): np.asarray(rows, dtype=np.intp) for (d, s, m), rows in cells.items()}


def strata_of(cells: Iterable[Cell]) -> dict[Stratum, list[Cell]]:
    """The cells of each stratum, in the order of `cells`."""
    strata: dict[Stratum, list[Cell]] = {}
    for cell in cells:
        strata.setdefault(cell[:2], []).append(cell)
    return strata


def selection_of(table: pd.DataFrame) -> pd.Series:
    """The selection rule of each trial."""
    return table[SELECTION].astype(object).fillna("not recorded").astype(str)


def rules_of(table: pd.DataFrame) -> list[str]:
    """The selection rules of a table by the number of cells that they cover.

    Trials that differ in their selection rule alone share a training. So that no training counts twice, the first rule
    is analysed, and the others are compared with it.
    """
    if SELECTION not in table:
        return []
    cells = table[["dataset", "severity", "method"]].assign(**{SELECTION: selection_of(table)}).drop_duplicates()
    covered = cells[SELECTION].value_counts()
    order = {rule: position for position, rule in enumerate(_RULES)}
    return sorted(covered.index, key=lambda rule: (-int(covered[rule]), order.get(rule, len(order)), rule))


@dataclass(frozen=True)
class Design:
    """The axes of a table and the value of each trial on them."""

    axes: tuple[str, ...]
    codes: dict[str, Codes]
    """[trials] the value on each axis; a missing value is a distinct value."""
    dataset: Codes
    nested: frozenset[str]
    """Axes nested in the method: strength, and any that some method lacks."""

    def configurations(self) -> Codes:
        """The configuration of each trial, as an integer."""
        return combined(self.dataset, *(self.codes[axis] for axis in self.axes))


@dataclass(frozen=True)
class AxisPoints:
    """The levels of one axis at every setting of the others."""

    axis: str
    point: Codes
    """[trials] the point of each: a level at a setting of the other axes."""
    cell: Codes
    """[points] the setting of the other axes, ascending."""


def design_of(table: pd.DataFrame) -> Design:
    """The axes along which the trials of a table differ."""
    names = columns.ordered(set(columns.configuration_in(table)) - {"dataset"})
    codes = {name: _codes(table[name]) for name in names}
    dataset = _codes(table["dataset"])
    determining = [name for name in DETERMINING if name in table]
    groups = combined(dataset, *(codes[name] for name in determining))
    axes = tuple(n for n in names if _varies(codes[n], dataset if n in determining else groups))
    lacking = {a for a in axes if table[a].isna().groupby(codes["method"]).all().any()}
    return Design(axes, {a: codes[a] for a in axes}, dataset, frozenset(lacking | ({"strength"} & set(axes))))


def axis_points(design: Design, axis: str) -> AxisPoints:
    """Group the trials by their level on one axis and their setting of the others."""
    ignored = design.nested if axis == "method" else frozenset()
    others = [design.codes[a] for a in design.axes if a != axis and a not in ignored]
    cell = combined(design.dataset, *others)
    levels = design.codes[axis]
    width = int(levels.max(initial=0)) + 1
    points, point = np.unique(cell * width + levels, return_inverse=True)
    return AxisPoints(axis, point.astype(np.intp), (points // width).astype(np.intp))


def pairs_within(cell: Codes) -> tuple[Codes, Codes]:
    """All pairs of positions, first < second, with the same value in the ascending array `cell`."""
    ends = np.searchsorted(cell, cell, side="right")
    later = ends - np.arange(len(cell)) - 1
    first = np.repeat(np.arange(len(cell)), later)
    start = np.cumsum(later) - later
    second = first + 1 + np.arange(int(later.sum())) - np.repeat(start, later)
    return first.astype(np.intp), second.astype(np.intp)


def n_pairs_within(cell: Codes) -> int:
    """The number of pairs that `pairs_within` would list."""
    sizes = np.unique(cell, return_counts=True)[1].astype(np.int64)
    return int((sizes * (sizes - 1) // 2).sum())


def hashable(column: pd.Series) -> pd.Series:
    """The column with lists, which a setting may hold, as text."""
    return column.map(lambda value: str(list(value)) if is_list_like(value) else value)


def _codes(column: pd.Series) -> Codes:
    """Codes by value, alphabetical for texts, so that draws by code do not depend on the order of rows."""
    values = hashable(column)
    codes, levels = pd.factorize(values, use_na_sentinel=False)
    is_number = pd.api.types.is_numeric_dtype(values)
    keys = pd.Series(levels).astype("float64").to_numpy() if is_number else np.asarray(list(map(str, levels)))
    rank = np.argsort(np.argsort(keys, kind="stable"))
    return np.asarray(rank[codes], dtype=np.intp)


def combined(*parts: Codes) -> Codes:
    """An integer per distinct combination, renumbered at every step so that products stay small."""
    combined = parts[0]
    for part in parts[1:]:
        width = int(part.max(initial=0)) + 1
        combined = np.unique(combined * width + part, return_inverse=True)[1].astype(np.intp)
    return combined


def _varies(codes: Codes, groups: Codes) -> bool:
    """Whether any group has more than one value."""
    return len(np.unique(combined(groups, codes))) > len(np.unique(groups))
