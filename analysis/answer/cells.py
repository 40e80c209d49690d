"""What the four comparisons share: the trials, the value of a cell, and what they require."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.numbers import count
from analysis.stats.cluster_bootstrap import Resamples
from analysis.stats.rank_correlation import CLIP, Floats
from analysis.stats.replicated import Interval, Replicated, total
from analysis.trials.design import Cell, Codes, Rows, Stratum, cell_rows, design_of, strata_of
from records import columns

SMALLEST_SPREAD = 0.01
"""Standard deviation of the outcome below which models count as equally good."""
MINIMUM_UNITS = 4
"""Fewest trials, configurations or methods that are ranked."""
COPIES = 0.05
"""Share of trials that repeat another seed's scores exactly, above which seeds do not count as replicates."""
K = TypeVar("K", bound=Hashable)


class Data:
    """The trials of a table that have both a score and the outcome.

    Args:
        score, outcome: columns; the score is of localisation, or another one that may predict the outcome.
        resamples: clusters of the data seeds of this table.
        seed: of the random halves of data seeds.
    """

    def __init__(self, table: pd.DataFrame, score: str, outcome: str, resamples: Resamples, seed: int):
        self.table, self.resamples, self.seed = table, resamples, seed
        self.score, self.outcome = score, outcome
        self.x, self.y = (
            table[name].to_numpy(dtype=np.float64) if name in table else np.full(len(table), np.nan)
            for name in (score, outcome)
        )
        self.present = np.isfinite(self.x) & np.isfinite(self.y)
        design = design_of(table)
        self.configuration: Codes = design.configurations()
        self.axes: tuple[Codes, ...] = tuple(design.codes[axis] for axis in design.axes)
        cells = {cell: rows[self.present[rows]] for cell, rows in cell_rows(table).items()}
        self.cells: dict[Cell, Rows] = {cell: rows for cell, rows in cells.items() if len(rows)}

    def where(self, kept: NDArray[np.bool_]) -> "Data":
        """The same trials, with the scores of these alone."""
        table = self.table.assign(**{self.score: self.table[self.score].where(kept)})
        return Data(table, self.score, self.outcome, self.resamples, self.seed)

    @property
    def strata(self) -> dict[Stratum, dict[Cell, Rows]]:
        return {stratum: {c: self.cells[c] for c in cells} for stratum, cells in strata_of(self.cells).items()}

    def unfit(self) -> str | None:
        """Why no comparison can be answered from these trials; None if some can."""
        if self.score not in self.table:
            return f"no trial has the column {self.score!r}"
        if not self.cells:
            return f"no trial has both {self.score!r} and {self.outcome!r}"
        if not any(severity > 0 for _, severity, _ in self.cells):
            same = "performance on OOD images is performance on ID images"
            return f"no trial has a shift: every severity is 0, where {same}"
        if copies := self._copies():
            repeat = f"{count(copies, 'trial')} repeat another seed's scores to the last digit"
            return f"{repeat}, so seeds are not replicates here; remove the copies"
        return None

    def _copies(self) -> int:
        """Number of trials that repeat the scores of another seed of their configuration, where that is no accident.

        With scores of few distinct values, equal ones are usual between configurations too, and say nothing.
        """
        performance = (".auc", ".accuracy", ".loss")
        names = [c for c in map(str, self.table) if columns.parse_localisation(c) or c.endswith(performance)]
        table = self.table.loc[self.present, names].assign(_configuration=self.configuration[self.present])
        same = int(table.duplicated().sum())
        by_chance = int(table.duplicated(names).sum()) - same
        return same if same > max(1, COPIES * len(table)) and same > by_chance else 0


@dataclass(frozen=True)
class CellValue:
    """The rank correlation of a cell's models, to be averaged over cells, and the slope of the outcome on the score."""

    cell: Cell
    weighted: Replicated
    """The weight times the value: Fisher's z, or rho (see `CellValues.fisher`)."""
    weight: Replicated
    cross: Replicated
    """Numerator of the slope."""
    squares: Replicated
    """Denominator of the slope."""
    n_trials: int
    n_units: int
    """Ranked trials, settings or methods."""
    drawn: Mapping[Hashable, float] = field(default_factory=dict)
    """How far the draw of each method, or of the cell's settings, moves the value. Empty between seeds."""
    unresolved: float = 0.0
    """Share of the variance by `drawn` that the data do not resolve: which of two close units is first."""


@dataclass(frozen=True)
class CellValues:
    """The values of a comparison's cells."""

    values: tuple[CellValue, ...]
    fisher: bool
    """Whether values are on Fisher's scale: those of small samples are, those of averages of configurations are not."""
    left_out: Mapping[str, int]
    """Number of cells, configurations or strata with a shift that have no value, by reason."""

    def where(self, chosen: Callable[[Cell], bool]) -> "CellValues":
        """The values of some of the cells."""
        return replace(self, values=tuple(value for value in self.values if chosen(value.cell)))

    def grouped(self, key_of: Callable[[Cell], K]) -> dict[K, "CellValues"]:
        """The values of the cells with the same key."""
        groups: dict[K, list[CellValue]] = {}
        for value in self.values:
            groups.setdefault(key_of(value.cell), []).append(value)
        return {key: replace(self, values=tuple(values)) for key, values in groups.items()}

    @property
    def shifted(self) -> "CellValues":
        """The cells with a shift."""
        return self.where(lambda cell: cell[1] > 0)

    @property
    def cells(self) -> list[Cell]:
        return [value.cell for value in self.values]

    @cached_property
    def mean(self) -> Replicated:
        """The weighted mean of the cells' values."""
        mean: Replicated = total(v.weighted for v in self.values) / total(v.weight for v in self.values)
        return mean

    @cached_property
    def rho(self) -> Replicated:
        """The rank correlation of the cells combined; its interval is `interval`."""
        if not self.fisher:
            return self.mean
        rho: Replicated = np.tanh(self.mean)
        n_trials, weight = np.zeros((2, 1 + int(rho.dataset.max())))
        for value in self.values:
            dataset = rho.dataset[value.weight.present.argmax()]
            n_trials[dataset] += value.n_trials
            weight[dataset] += value.weight.whole
        return rho.weighted(n_trials, weight)

    @property
    def slope(self) -> Replicated:
        """Difference of the outcome with the score, combined by the cells' variation of the score."""
        slope: Replicated = total(v.cross for v in self.values) / total(v.squares for v in self.values)
        return slope

    def interval(self) -> Interval | None:
        """The interval of `rho`, if it has one. Its standard error is 0 where no data seed moves rho."""
        rho = self.rho
        interval = rho.interval("fisher")
        if interval is None or self.fisher or not interval.standard_error:
            return interval
        unresolved = sum(
            (share * sd) ** 2 * value.unresolved
            for value, share in zip(self.values, self.shares, strict=True)
            for sd in value.drawn.values()
        )
        return interval.widened(unresolved / (1 - min(abs(rho.whole), CLIP) ** 2) ** 2)

    @property
    def shares(self) -> Floats:
        """[cells] share of each in the weighted mean."""
        weights = np.asarray([value.weight.whole for value in self.values])
        return weights / weights.sum()


def collect(results: Iterable[tuple[Cell, CellValue | str]], *, fisher: bool) -> CellValues:
    """The values, those of one cell added up, and how often each reason for having none occurs under a shift."""
    by_cell: dict[Cell, list[CellValue]] = {}
    left_out: Counter[str] = Counter()
    for cell, result in results:
        if isinstance(result, CellValue):
            by_cell.setdefault(cell, []).append(result)
        elif cell[1] > 0:
            left_out[result] += 1
    return CellValues(tuple(_added(values) for values in by_cell.values()), fisher, dict(left_out))


def _added(values: list[CellValue]) -> CellValue:
    if len(values) == 1:
        return values[0]
    sums: dict[str, Any] = {
        name: total(getattr(value, name) for value in values) for name in ("weighted", "weight", "cross", "squares")
    }
    n_trials, n_units = sum(v.n_trials for v in values), sum(v.n_units for v in values)
    return CellValue(values[0].cell, **sums, n_trials=n_trials, n_units=n_units)


def too_few(n: int, what: str, minimum: int = MINIMUM_UNITS) -> str | None:
    """Why so few units are not ranked; None if they are enough."""
    return f"fewer than {minimum} {what}" if n < minimum else None


def hardly_varies(spread: float, what: str = "outcome") -> str | None:
    """Why units of this standard deviation are not ranked; None if it is large enough."""
    return f"{what} varies by less than {SMALLEST_SPREAD:g}" if spread < SMALLEST_SPREAD else None
