"""A value with its leave-one-data-seed-out replicates, from which every standard error and t interval comes.

A value is computed again without each data seed in turn, and the spread of these replicates gives its standard error:
the delete-one jackknife (Tukey, Ann. Math. Stat. 29, 1958; Efron & Tibshirani, An Introduction to the Bootstrap, 1993,
chapter 11; CV3 in MacKinnon, Nielsen & Webb, J. Appl. Econom. 38, 2023, who find it the most reliable of its kind with
few clusters). Correlations are taken on Fisher's z scale. docs/calibration.md compares the coverage with that of the
bootstrap.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray
from scipy import special

from analysis.stats.rank_correlation import LEVEL, Floats, Ints, fisher_z

Scale = Literal["identity", "fisher"]
MINIMUM_CLUSTERS = 6
"""Fewest data seeds of a dataset; with 6 to 9 the interval is conservative."""
TOO_FEW = f"fewer than {MINIMUM_CLUSTERS} data seeds on a dataset"
UNDEFINED_WITHOUT_ONE = "undefined without one of the data seeds"
_NO_ERROR = 1e-9


@dataclass(frozen=True)
class Interval:
    """Student's t interval of a value; `at` is the value on the scale of the interval."""

    at: float
    standard_error: float
    """0 where no data seed makes a difference."""
    df: float
    scale: Scale = "identity"

    def bounds(self, level: float = LEVEL) -> tuple[float, float]:
        """at ± t SE at this confidence level, on the scale of the value."""
        reach = float(special.stdtrit(self.df, 0.5 + level / 2)) * self.standard_error if self.standard_error else 0.0
        low, high = self.at - reach, self.at + reach
        return (float(np.tanh(low)), float(np.tanh(high))) if self.scale == "fisher" else (low, high)

    @property
    def low(self) -> float:
        return self.bounds()[0]

    @property
    def high(self) -> float:
        return self.bounds()[1]

    @property
    def p_value(self) -> float:
        """Two-sided, of a value of zero."""
        return self.p_beyond(abs(self.at))

    def p_beyond(self, distance: float) -> float:
        """Two-sided p-value of a value at this distance, on the scale of the interval."""
        return min(1.0, float(2 * special.stdtr(self.df, -distance / self.standard_error)))

    def p_above(self, value: float) -> float:
        """The probability of more than this value, on the scale of the interval, under its t distribution."""
        distance = self.at - value
        return float(special.stdtr(self.df, distance / self.standard_error) if self.standard_error else distance > 0)

    def widened(self, variance: float, df: float | None = None) -> "Interval":
        """The interval with an independent variance added, on `df` degrees of freedom; None leaves them as they are."""
        variances = np.asarray([self.standard_error**2, variance])
        degrees = self.df if df is None else satterthwaite(variances, np.asarray([self.df, df]))
        return replace(self, standard_error=float(np.sqrt(variances.sum())), df=degrees)


@dataclass(frozen=True, eq=False)
class Replicated(NDArrayOperatorsMixin):
    """Values of all trials and without each of G data seeds. Operators and ufuncs of numpy apply to each replicate."""

    values: Floats
    """[..., 1 + G] the value of all trials, then without each data seed."""
    present: NDArray[np.bool_]
    """[..., G] the data seeds that the value depends on."""
    dataset: Ints
    """[G] the dataset of each data seed."""
    remaining: Floats | None = None
    """[G] share of the weight that remains without a data seed (see `weighted`); (G_d − 1) / G_d where None."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or options:
            return NotImplemented
        present = [each.present for each in inputs if isinstance(each, Replicated)]
        with np.errstate(invalid="ignore", divide="ignore"):
            values = ufunc(*(each.values if isinstance(each, Replicated) else each for each in inputs))
        return Replicated(values, present[0] if len(present) == 1 else present[0] | present[1], self.dataset)

    def __getitem__(self, chosen: Any) -> "Replicated":
        """Some of the values, by the axes before the last."""
        return Replicated(self.values[chosen], self.present[chosen], self.dataset)

    @property
    def whole(self) -> float:
        """The value of all trials."""
        return float(self.values[0])

    def sum(self) -> "Replicated":
        """The sum over the first axis."""
        return Replicated(self.values.sum(axis=0), np.logical_or.reduce(self.present, axis=0), self.dataset)

    def mean(self) -> "Replicated":
        """The mean over the first axis."""
        total: Replicated = self.sum() / len(self.values)
        return total

    def weighted(self, n_trials: Floats, weight: Floats) -> "Replicated":
        """The value, a mean whose variance falls as 1 / w, not as the reciprocal of the number of data seeds.

        Fisher's z has w = n − 3, summed over cells: without an average one of G_d data seeds, the share
        (w_d − n_d / G_d) / w_d of a dataset's weight remains. Both arguments are [datasets]: n_d and w_d.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            remaining = np.maximum(weight - n_trials / self._per_dataset, 0) / weight
        return replace(self, remaining=remaining[self.dataset])

    @property
    def _per_dataset(self) -> Ints:
        """[datasets] number of data seeds."""
        return np.bincount(self.dataset, self.present, 1 + int(self.dataset.max(initial=0))).astype(np.intp)

    @property
    def n_clusters(self) -> int:
        """Number of data seeds of the dataset that has the fewest; 0 without any."""
        sizes = self._per_dataset
        return int(sizes[sizes > 0].min(initial=len(self.dataset))) if sizes.any() else 0

    @property
    def no_interval(self) -> str | None:
        """Why there is no interval; None if there is one."""
        if self.n_clusters < MINIMUM_CLUSTERS:
            return TOO_FEW
        return None if np.isfinite(self.values[1:][self.present]).all() else UNDEFINED_WITHOUT_ONE

    def influence(self, scale: Scale = "identity") -> Floats:
        """[G] how far each data seed moves the value, 0 where that is undefined; the sum of squares is SE².

        −sqrt(f_d) (value without the data seed − mean of these values over its dataset), with f_d the share of the
        weight that remains.
        """
        values = self.on(scale).values[1:]
        known = self.present & np.isfinite(values)
        known_values = np.where(known, values, 0.0)
        sizes = self._per_dataset
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.bincount(self.dataset, known_values, len(sizes)) / np.bincount(self.dataset, known, len(sizes))
            remaining = ((sizes - 1) / sizes)[self.dataset] if self.remaining is None else self.remaining
            # A value falls when a data seed that raises it is deleted, hence the sign.
            return np.where(known, -np.sqrt(remaining) * (known_values - mean[self.dataset]), 0.0)

    def interval(self, scale: Scale = "identity") -> Interval | None:
        """Student's interval, on Satterthwaite's degrees of freedom over the datasets; None where `no_interval`.

        A small dataset that contributes most of the variance leaves few degrees of freedom, however many data seeds
        the others have.
        """
        if self.no_interval is not None:
            return None
        sizes = self._per_dataset
        variances = np.asarray(np.bincount(self.dataset, self.influence(scale) ** 2, len(sizes)), dtype=np.float64)
        error, degrees = float(np.sqrt(variances.sum())), np.asarray(sizes - 1, dtype=np.float64)
        at = self.on(scale).whole
        if error < _NO_ERROR:
            return Interval(at, 0.0, float(degrees[sizes > 0].sum()), scale)
        return Interval(at, error, satterthwaite(variances, degrees), scale)

    def on(self, scale: Scale) -> "Replicated":
        """The values on this scale."""
        return replace(self, values=fisher_z(self.values)) if scale == "fisher" else self

    def difference(self, other: "Replicated", scale: Scale = "identity") -> Interval | None:
        """The interval of the value less another one, of other trials; None where one of them has no interval.

        SE² = sum over data seeds of (influence on this − influence on the other)², so that effects of shared data seeds
        cancel. Degrees of freedom: the smaller of the two with shared data seeds, else Welch's (Biometrika 34, 1947).
        """
        one, two = self.interval(scale), other.interval(scale)
        if one is None or two is None:
            return None
        error = float(np.sqrt(((self.influence(scale) - other.influence(scale)) ** 2).sum()))
        paired = Interval(one.at - two.at, error, min(one.df, two.df))
        if error < _NO_ERROR:
            return replace(paired, standard_error=0.0)
        shared = bool((self.present & other.present).any())
        return paired if shared else replace(paired, df=one.widened(two.standard_error**2, two.df).df)


def sums(values: Floats, cluster: Ints, dataset: Ints) -> Replicated:
    """The sum of values [..., trials], whole and without each data seed.

    `cluster` is the data seed of each trial, `dataset` the dataset of each data seed.
    """
    each = np.apply_along_axis(lambda row: np.bincount(cluster, row, len(dataset)), -1, values)
    total = values.sum(axis=-1, keepdims=True)
    present = np.broadcast_to(np.isin(np.arange(len(dataset)), cluster), each.shape)
    return Replicated(np.concatenate([total, total - each], axis=-1), present, dataset)


def mean(values: Floats, cluster: Ints, dataset: Ints) -> Replicated:
    """The mean of trials' values; undefined without the only data seed. Arguments are those of `sums`."""
    average: Replicated = sums(values, cluster, dataset) / sums(np.ones(len(values)), cluster, dataset)
    return average


def total(values: Iterable[Replicated]) -> Replicated:
    """The sum of values of the same data seeds."""
    each = list(values)
    return Replicated(np.stack([v.values for v in each]), np.stack([v.present for v in each]), each[0].dataset).sum()


def of_units(values: Floats) -> Replicated:
    """A value from [1 + units]: whole, and without each unit, a method or a setting, in place of data seeds."""
    n = len(values) - 1
    return Replicated(values, np.ones(n, dtype=bool), np.zeros(n, dtype=np.intp))


def satterthwaite(variances: Floats, df: Floats) -> float:
    """Degrees of freedom of a sum of independent variances, one of them positive: (sum V)² / sum (V² / df).

    Source: Satterthwaite, Biometrics Bull. 2, 1946.
    """
    counted = variances > 0
    return float(variances.sum() ** 2 / (variances[counted] ** 2 / df[counted]).sum())


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval; None where undefined, with the reason. Statistics add their own fields."""

    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    reason: str | None = None
    """Why there is no estimate."""
    interval_reason: str | None = None
    """Why there is an estimate without an interval."""

    def of(self, value: Replicated, low: float = -np.inf, high: float = np.inf) -> Self:
        """The same with this value as its estimate, and the value's interval cut to the range from `low` to `high`."""
        interval = value.interval()
        if interval is None:
            return replace(self, estimate=value.whole, interval_reason=value.no_interval)
        return replace(self, estimate=value.whole, ci_low=max(low, interval.low), ci_high=min(high, interval.high))
