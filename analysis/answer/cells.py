"""What the four comparisons share: the trials, the value of a cell, and what they require."""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.numbers import count
from analysis.stats.cluster_bootstrap import Resamples, draw_resamples
from analysis.stats.rank_correlation import CLIP, FISHER_C, Floats
from analysis.stats.replicated import Interval, Replicated, Scale, of_units, total
from analysis.stats.without_each import rank_correlation_without_each
from analysis.trials.design import Cell, Codes, Rows, Stratum, cell_rows, combined, design_of, strata_of
from records import columns

SMALLEST_SPREAD = 0.01
"""Standard deviation of the outcome below which models count as equally good."""
MINIMUM_UNITS = 4
"""Fewest trials, configurations or methods that are ranked."""
COPIES = 0.05
"""Share of trials that repeat another seed's scores exactly, above which seeds do not count as replicates."""
MOST_LEVELS = 100
"""Most levels of an axis that are left out in turn; more are left out in groups."""
SETTING = ""
"""The axis of all settings together."""
_NO_VARIANCE = 1e-9
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
        axes = {axis: design.codes[axis] for axis in design.axes if axis not in ("severity", "method")}
        setting = combined(np.zeros(len(table), dtype=np.intp), *axes.values())
        self.axes: dict[str, Codes] = {SETTING: setting, **axes}
        """[trials] the setting of each, then its level on each axis of settings."""
        cells = {cell: rows[self.present[rows]] for cell, rows in cell_rows(table).items()}
        self.cells: dict[Cell, Rows] = {cell: rows for cell, rows in cells.items() if len(rows)}

    def where(self, kept: NDArray[np.bool_]) -> "Data":
        """The same trials, with the scores of these alone."""
        table = self.table.assign(**{self.score: self.table[self.score].where(kept)})
        return Data(table, self.score, self.outcome, self.resamples, self.seed)

    @cached_property
    def by_training_seed(self) -> tuple["Data", ...]:
        """The same trials, clustered by training seeds, then by pairs of data seed and training seed.

        Empty where no training seed recurs on several data seeds of a dataset.
        """
        if self.table.groupby(["dataset", "seed"])["data_seed"].nunique().max() < 2:
            return ()
        clusters = self.table["seed"], self.table.groupby(["seed", "data_seed"]).ngroup()
        resamples = (draw_resamples(self.table.assign(data_seed=c), replicates=1, seed=0) for c in clusters)
        return tuple(Data(self.table, self.score, self.outcome, each, self.seed) for each in resamples)

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
    drawn: Mapping[tuple[str, int], float] = field(default_factory=dict)
    """How far each level of each axis moves the value (see `by_draw`); empty between seeds."""
    uncorrected: float = 0.0
    """Rho of averages over all data seeds, which is what `drawn` moves; between settings and methods alone."""
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
    by_training_seed: tuple["CellValues", ...] = ()
    """The same values for `Data.by_training_seed`."""

    def where(self, chosen: Callable[[Cell], bool]) -> "CellValues":
        """The values of some of the cells."""
        kept = tuple(value for value in self.values if chosen(value.cell))
        return replace(self, values=kept, by_training_seed=tuple(way.where(chosen) for way in self.by_training_seed))

    def grouped(self, key_of: Callable[[Cell], K]) -> dict[K, "CellValues"]:
        """The values of the cells with the same key."""

        def of(key: K) -> "CellValues":
            return self.where(lambda cell: key_of(cell) == key)

        return {key: of(key) for key in dict.fromkeys(map(key_of, self.cells))}

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
        """The interval of `rho` for the draw of data seeds, training seeds, and settings or methods, if it has one."""
        interval = self.rho.interval("fisher")
        if interval is None:
            return None
        if self.fisher and not interval.standard_error:
            # No data seed makes a difference: the interval of as many pairs as there are data seeds.
            n = self.rho.n_clusters
            interval = replace(interval, standard_error=math.sqrt(FISHER_C["spearman"] / (n - 3)), df=n - 1)
        if not self.fisher:
            unresolved = sum(
                (share * sd) ** 2 * value.unresolved
                for value, share in zip(self.values, self.shares, strict=True)
                for (axis, _), sd in value.drawn.items()
                if axis == SETTING
            )
            interval = interval.widened(unresolved / (1 - min(abs(self.rho.whole), CLIP) ** 2) ** 2)
        for variance, df in self.fixed:
            interval = interval.widened(variance, df)
        return interval

    @cached_property
    def fixed(self) -> list[tuple[float, float]]:
        """The variances of `rho` on Fisher's scale that more data seeds do not lower, with their degrees of freedom."""
        return [(variance, df) for variance, df in (self._of_draw(), self._of_training_seeds()) if variance]

    def _of_draw(self) -> tuple[float, float]:
        """Variance of `rho` on Fisher's scale by the draw of settings or methods, with its degrees of freedom.

        A method has the same settings in all strata. Settings have levels of their axes in common, such as strengths
        and learning rates: a method's variance is the sum of those by the levels of each axis, less that by setting for
        all axes but one (Cameron, Gelbach & Miller, J. Bus. Econ. Stat. 29, 2011, section 2.3), and not less than that
        by setting. Few units show much variance or, in perfect order, none: that by setting is at most that of as many
        independent pairs (Bonett & Wright, Psychometrika 65, 2000), which also replaces a variance of 0.
        """
        moves: Counter[tuple[str, str, int]] = Counter()
        for value, share in zip(self.values, self.shares, strict=True):
            for (axis, level), influence in value.drawn.items():
                moves[value.cell[2], axis, level] += share * influence * math.sqrt(1 - value.unresolved)
        by_axis: dict[str, Counter[str]] = {}
        for (method, axis, _), move in moves.items():
            by_axis.setdefault(method, Counter())[axis] += move**2
        variance = by_setting = 0.0
        for squares in by_axis.values():
            by_setting += (alone := squares.pop(SETTING))
            variance += max(alone, squares.total() - (len(squares) - 1) * alone)
        df = sum(axis == SETTING for _, axis, _ in moves) - len(by_axis)
        if self.fisher:
            return variance, df
        bound = (1 + self.rho.whole**2 / 2) / max(df - 2, 1)
        if by_setting < _NO_VARIANCE:
            return bound, df
        uncorrected = float(self.shares @ [value.uncorrected for value in self.values])
        return min(by_setting / (1 - uncorrected**2) ** 2, bound) * variance / by_setting, df

    def _of_training_seeds(self) -> tuple[float, float]:
        """What recurring training seeds add to the variance of `rho` on Fisher's scale, with its degrees of freedom.

        Clustered both ways, the variance is that by data seeds plus that by training seeds, less that by pairs of both
        (Cameron, Gelbach & Miller 2011), and not less than that by data seeds.
        """
        if not self.by_training_seed:
            return 0.0, 0.0
        by_seed, by_both = (way.rho for way in self.by_training_seed)
        variances = [float((way.influence("fisher") ** 2).sum()) for way in (by_seed, by_both)]
        df = int(by_seed.present.sum()) - len(np.unique(by_seed.dataset[by_seed.present]))
        return max(variances[0] - variances[1], 0.0) if df else 0.0, df

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


def by_draw(
    x: Floats, y: Floats, axes: Mapping[str, Codes], scale: Scale = "identity", control: Floats | None = None
) -> dict[tuple[str, int], float]:
    """How far each level of each axis moves rho: the jackknife's influence, by (axis, level).

    An axis of one level is ignored, and one axis beside `SETTING` is the setting itself.
    """
    varying = {axis: levels for axis, levels in axes.items() if axis == SETTING or len(np.unique(levels)) > 1}
    drawn: dict[tuple[str, int], float] = {}
    for axis, levels in varying.items() if len(varying) > 2 else [(SETTING, axes[SETTING])]:
        few = levels if len(np.unique(levels)) <= MOST_LEVELS else (levels % MOST_LEVELS).astype(np.intp)
        without_each = rank_correlation_without_each(x, y, few, control)
        influence = of_units(without_each.rho).influence(scale)
        drawn |= {(axis, int(level)): float(move) for level, move in zip(without_each.clusters, influence, strict=True)}
    return drawn


def too_few(n: int, what: str, minimum: int = MINIMUM_UNITS) -> str | None:
    """Why so few units are not ranked; None if they are enough."""
    return f"fewer than {minimum} {what}" if n < minimum else None


def hardly_varies(spread: float, what: str = "outcome") -> str | None:
    """Why units of this standard deviation are not ranked; None if it is large enough."""
    return f"{what} varies by less than {SMALLEST_SPREAD:g}" if spread < SMALLEST_SPREAD else None
