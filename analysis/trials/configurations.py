"""Design axes and configurations: which trials differ in exactly one setting.

A configuration is everything about a trial but its seeds. Psi, the sign error and the conditional mutual
information compare configurations, so they share these rules:

- Axes are severity, method, strength, model, preset, selection, epochs and every `hp.*` column that varies. A seed
  is a replicate, never an axis.
- The dataset is never an axis: a localisation score has another chance level on another dataset. Only
  configurations of one dataset are compared.
- A setting that the dataset, method, model, preset and selection fix together (a discriminator's width, the
  number of classes) comes with them and is no axis.
- Strength belongs to its method: the same number weighs another penalty elsewhere, and some methods have none. So
  does a hyperparameter that some method lacks. The axis `strength` compares trials of one method; for the axis
  `method`, a method's trials of all its strengths count as one configuration. Held at one strength instead, no
  penalised method would ever meet the baseline, and 10 times one penalty would pass for 10 times another.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from records import columns

Codes = NDArray[np.intp]

FIXING = ("method", "model", "preset", "selection")
NAMED = ("severity", "method", "strength", "model", "preset", "selection", "epochs")
NOT_SETTINGS = (columns.SEARCHER,)
"""How a configuration was chosen is no part of it."""


@dataclass(frozen=True)
class Design:
    """The axes of a table and each trial's value on them, as integers."""

    axes: tuple[str, ...]
    codes: dict[str, Codes]
    """Per axis, [trials] a number for each value; a missing value is a value of its own."""
    dataset: Codes
    nested: frozenset[str]
    """Axes that belong to a method: strength, and whatever some method lacks."""

    def configurations(self) -> Codes:
        """[trials] the number of each trial's configuration."""
        return _combined(self.dataset, *(self.codes[axis] for axis in self.axes))


@dataclass(frozen=True)
class AxisPoints:
    """The levels of one axis at every setting of the others."""

    axis: str
    point: Codes
    """[trials] the point of each trial: one level at one setting; its trials differ in seeds alone."""
    cell: Codes
    """[points] the setting of the other axes, in ascending order: points of one cell differ in the axis alone."""


def design_of(table: pd.DataFrame) -> Design:
    """The axes along which this table's trials differ."""
    named = [name for name in NAMED if name in table]
    names = [*named, *_hyperparameters(table)]
    codes = {name: _codes(table[name]) for name in names}
    dataset = _codes(table["dataset"])
    fixing = [name for name in FIXING if name in named]
    groups = _combined(dataset, *(codes[name] for name in fixing))
    axes = tuple(n for n in names if _varies(codes[n], dataset if n in fixing else groups))
    lacking = {a for a in axes if a not in named and table[a].isna().groupby(codes["method"]).all().any()}
    return Design(axes, {a: codes[a] for a in axes}, dataset, frozenset(lacking | ({"strength"} & set(axes))))


def axis_points(design: Design, axis: str) -> AxisPoints:
    """Points and cells of one axis."""
    belongs = design.nested if axis == "method" else frozenset()
    others = [design.codes[a] for a in design.axes if a != axis and a not in belongs]
    cell = _combined(design.dataset, *others)
    levels = design.codes[axis]
    width = int(levels.max(initial=0)) + 1
    points, point = np.unique(cell * width + levels, return_inverse=True)
    return AxisPoints(axis, point.astype(np.intp), (points // width).astype(np.intp))


def pairs_within(cell: Codes) -> tuple[Codes, Codes]:
    """All unordered pairs of positions with the same value of the ascending array `cell`, first < second."""
    ends = np.searchsorted(cell, cell, side="right")
    later = ends - np.arange(len(cell)) - 1
    first = np.repeat(np.arange(len(cell)), later)
    start = np.cumsum(later) - later
    second = first + 1 + np.arange(int(later.sum())) - np.repeat(start, later)
    return first.astype(np.intp), second.astype(np.intp)


def n_pairs_within(cell: Codes) -> int:
    """How many pairs `pairs_within` would list."""
    sizes = np.unique(cell, return_counts=True)[1].astype(np.int64)
    return int((sizes * (sizes - 1) // 2).sum())


def _hyperparameters(table: pd.DataFrame) -> list[str]:
    names = [str(name) for name in table.columns]
    return [n for n in names if n.startswith(columns.HYPERPARAMETER_PREFIX) and n not in NOT_SETTINGS]


def _codes(column: pd.Series) -> Codes:
    # A hyperparameter may be a list, which has no hash.
    plain = column.map(lambda value: str(value) if isinstance(value, list) else value)
    return pd.factorize(plain, use_na_sentinel=False)[0].astype(np.intp)


def _combined(*parts: Codes) -> Codes:
    """One number per distinct combination, numbered anew at every step so that products stay small."""
    combined = parts[0]
    for part in parts[1:]:
        width = int(part.max(initial=0)) + 1
        combined = np.unique(combined * width + part, return_inverse=True)[1].astype(np.intp)
    return combined


def _varies(codes: Codes, groups: Codes) -> bool:
    """Whether some group holds more than one value."""
    return len(np.unique(_combined(groups, codes))) > len(np.unique(groups))
