"""One localisation score against the outcome at every scope, with the intervals that data seeds give.

`Samples` holds the trials that are correlated with one another; scores that the same trials have share it. `Pair` turns
one score into the entries of the grid.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.answer.entry import Correlation, Score
from analysis.stats.between_methods import between_methods, constant_means, method_means
from analysis.stats.cluster_bootstrap import Resamples
from analysis.stats.permutation import exchanges, permutation_p, permuted_z
from analysis.stats.rank_correlation import (
    FISHER_D,
    Floats,
    RankCorrelation,
    combine_cells,
    combine_replicates,
    fisher_interval,
    rank_correlation,
)
from analysis.stats.replicated import MINIMUM_CLUSTERS, Replicated
from analysis.stats.without_each import deleted_kendall, rank_correlation_without_each
from analysis.trials.design import Cell, Rows, Stratum, cell_rows, strata_of
from records import columns

Within = tuple[Score, Stratum | None]
"""A correlation within cells: its score and stratum, None for all strata."""


METHODS_HELD_FIXED = "the comparison of methods has the interval"
"""Why a correlation between methods has none in the grid."""


@dataclass(frozen=True)
class Place:
    """A scope, and the dataset, severity and method as far as it fixes them."""

    scope: str
    dataset: str | None = None
    severity: float | None = None
    method: str | None = None

    @property
    def label(self) -> str | None:
        """As in "crosses, s = 0.8, rrr"; None if the scope fixes nothing."""
        parts = (self.dataset, None if self.severity is None else f"s = {self.severity:g}", self.method)
        return ", ".join(part for part in parts if part is not None) or None


@dataclass(frozen=True)
class Placed:
    """A correlation of the grid with its replicates."""

    entry: Correlation
    rho: Replicated | None = None
    """None where it is undefined, and between methods."""


class Samples:
    """The samples of a table at every scope, for scores that the same trials have.

    Args:
        table: trials, as in `Trials.table`.
        present: [n] whether a trial has both score and outcome.
        resamples: draws over the data seeds of this table.
        scopes: the scopes wanted.
    """

    def __init__(self, table: pd.DataFrame, present: NDArray[np.bool_], resamples: Resamples, scopes: Sequence[str]):
        self.table, self.present, self.resamples, self.scopes = table, present, resamples, scopes
        self.cells = cell_rows(table)
        self.strata = strata_of(self.cells)
        everything = np.arange(len(table), dtype=np.intp)
        strata = {s: np.sort(np.concatenate([self.cells[c] for c in cells])) for s, cells in self.strata.items()}
        places = {
            "pooled": [(Place("pooled"), everything)],
            "stratum": [(Place("stratum", *stratum), rows) for stratum, rows in strata.items()],
            "cell": [(Place("cell", *cell), rows) for cell, rows in self.cells.items()],
        }
        self.by_scope = {scope: members for scope, members in places.items() if scope in scopes}

    def kept(self, rows: Rows) -> Rows:
        """The rows that have both values."""
        return rows[self.present[rows]]

    def p_permutation(self, scores: Sequence[Score], x: Floats, y: Floats, seed: int) -> dict[Within, float]:
        """The permutation test's p-value within cells, where it is defined and enough trials can change places.

        There are as many permutations as the resamples have replicates; none where no dataset has two data seeds, as
        without the column, since it is data seeds that are exchanged.
        """
        cells = list(self.cells)
        # By seed, so that which trainings of two configurations are exchanged does not rest on the order of rows.
        seed_of = self.table["seed"].to_numpy()
        kept = [own[np.argsort(seed_of[own], kind="stable")] for own in map(self.kept, self.cells.values())]
        rows = np.concatenate(kept)
        cell = np.repeat(np.arange(len(cells)), [len(part) for part in kept])
        possible = exchanges(cell, self.resamples.data_seed[rows], _settings(self.table.iloc[rows]))
        one_each = self.resamples.n_clusters(rows) == self.table["dataset"].iloc[rows].nunique()
        if one_each or not possible.enough:
            return {}
        strata: list[Stratum | None] = [None, *self.strata]
        groups = [np.asarray([i for i, c in enumerate(cells) if s is None or c[:2] == s]) for s in strata]
        n = len(self.resamples.counts)
        observed, permuted = permuted_z(x[:, rows], y[rows], cell, groups, possible, permutations=n, seed=seed)
        return {
            (score, stratum): permutation_p(float(observed[i, j]), permuted[i, j])
            for i, score in enumerate(scores)
            for j, stratum in enumerate(strata)
            if np.isfinite(observed[i, j])
        }


def _settings(table: pd.DataFrame) -> list[NDArray[np.generic]]:
    """What tells the configurations of a cell apart, in order: strength, then the other settings by their text."""
    others = [n for n in columns.configuration_in(table) if n != "strength"]
    strength = [table["strength"].to_numpy()] if "strength" in table else []
    return [*strength, *(pd.factorize(table[name].astype(str), sort=True)[0] for name in others)]


@dataclass(frozen=True)
class _Result:
    """Result of one sample, and what the combination of cells needs."""

    correlation: RankCorrelation
    placed: Placed
    kept: Rows
    """The trials that have both values."""
    size: Floats
    """[1 + G] trials behind each replicate; empty where the correlation is undefined."""


class Pair:
    """One localisation score against the outcome.

    Args:
        samples: of trials, with the marks of those that have both values.
        x, y: [n] score and outcome.
        score: split, metric and attribution of x.
        outcome: the column of y.
        seed: of drawn orderings of methods.
    """

    def __init__(self, samples: Samples, x: Floats, y: Floats, score: Score, outcome: str, seed: int):
        self.samples, self.x, self.y, self.score, self.outcome, self.seed = samples, x, y, score, outcome, seed
        self.resamples, self.cells = samples.resamples, samples.cells

    def correlations(self, statistic: str) -> list[Placed]:
        """The entries at every scope of the samples."""
        placed: list[Placed] = []
        by_cell: dict[Cell, _Result] = {}
        for scope, members in self.samples.by_scope.items():
            results = [self._of_sample(place, rows, statistic) for place, rows in members]
            placed += [result.placed for result in results]
            if scope == "cell":
                by_cell = dict(zip(self.cells, results, strict=True))
        placed.append(self._within(None, statistic, by_cell))
        for stratum, cells in self.samples.strata.items():
            placed.append(self._within(stratum, statistic, {cell: by_cell[cell] for cell in cells}))
        if "between_methods" in self.samples.scopes:
            placed += [Placed(entry) for entry in self._between(statistic)]
        return placed

    def _entry(
        self, place: Place, statistic: str, rows: Rows, estimate: float | None, reason: str | None
    ) -> Correlation:
        """An entry without interval."""
        kept = self.samples.kept(rows)
        split, metric, attribution = self.score
        return Correlation(
            split=split,
            metric=metric,
            attribution=attribution,
            outcome=self.outcome,
            scope=place.scope,
            statistic=statistic,
            stratum=place.label,
            dataset=place.dataset,
            severity=place.severity,
            method=place.method,
            estimate=estimate,
            ci_low=None,
            ci_high=None,
            n=len(kept),
            n_clusters=self.resamples.n_clusters(kept),
            n_missing=len(rows) - len(kept),
            p_value=None,
            reason=reason,
        )

    def _of_sample(self, place: Place, rows: Rows, statistic: str) -> _Result:
        kept = self.samples.kept(rows)
        x, y = self.x[kept], self.y[kept]
        correlation = rank_correlation(x, y, statistic)
        entry = self._entry(place, statistic, rows, correlation.estimate, correlation.reason)
        if correlation.estimate is None:
            return _Result(correlation, Placed(entry), kept, np.empty(0))
        clusters, cluster = np.unique(self.resamples.cluster[kept], return_inverse=True)
        sizes = (len(kept) - np.bincount(cluster)).astype(np.float64)
        if statistic == "spearman":
            rho = rank_correlation_without_each(x, y, cluster).rho[1:]
            deleted = np.where(sizes > FISHER_D[statistic], rho, np.nan)
        else:
            deleted = deleted_kendall(x, y, cluster, len(clusters))
        value = self.resamples.replicated(np.append(correlation.estimate, deleted), clusters)
        size = self.resamples.replicated(np.append(len(kept), sizes), clusters).values
        value = self._weighted(value, [kept], statistic)
        placed = Placed(self._with_interval(entry, value, len(kept) - FISHER_D[statistic]), value)
        return _Result(correlation, placed, kept, size)

    def _within(self, stratum: Stratum | None, statistic: str, results: dict[Cell, _Result]) -> Placed:
        """The cells' correlations combined."""
        combined = combine_cells([result.correlation for result in results.values()], statistic)
        rows = np.concatenate([self.cells[cell] for cell in results])
        place = Place("within_cell", *(stratum or ()))
        entry = replace(
            self._entry(place, statistic, rows, combined.estimate, combined.reason),
            n=combined.n,
            n_cells=combined.n_cells,
            n_degenerate=combined.n_degenerate,
            n_clipped=combined.n_clipped,
            weight=combined.weight,
            q=combined.q,
            i_squared=combined.i_squared,
        )
        if combined.estimate is None:
            return Placed(entry)
        defined = [result for result in results.values() if result.placed.rho is not None]
        rhos = [result.placed.rho for result in defined if result.placed.rho is not None]
        kept = [result.kept for result in defined]
        values = combine_replicates([rho.values for rho in rhos], [result.size for result in defined], statistic)
        present = np.logical_or.reduce([rho.present for rho in rhos])
        rho = self._weighted(Replicated(values, present, self.resamples.dataset), kept, statistic)
        entry = replace(entry, n_clusters=self.resamples.n_clusters(np.concatenate(kept)))
        return Placed(self._with_interval(entry, rho, combined.weight), rho)

    def _with_interval(self, entry: Correlation, rho: Replicated, weight: float) -> Correlation:
        """The entry with its interval; `weight` is that of its Fisher's z, were its trials independent."""
        if rho.n_clusters < MINIMUM_CLUSTERS:
            if entry.n_clusters == entry.n:
                return self._with_fisher(entry, weight)
            few = f"fewer than {MINIMUM_CLUSTERS} data seeds on a dataset, and trials share them"
            return replace(entry, interval_reason=few)
        interval = rho.interval("fisher")
        if interval is None:
            return replace(entry, interval_reason=rho.no_interval)
        if not interval.standard_error:  # no data seed makes a difference, as with a perfect correlation
            return self._with_fisher(entry, int(rho.present.sum()) - FISHER_D[entry.statistic])
        return replace(
            entry,
            ci_low=interval.low,
            ci_high=interval.high,
            p_value=interval.p_value,
            interval="cluster_jackknife",
            standard_error=interval.standard_error,
            df=interval.df,
        )

    def _with_fisher(self, entry: Correlation, weight: float) -> Correlation:
        low, high, p_value = fisher_interval(entry.estimate or 0.0, weight, entry.statistic)
        return replace(entry, ci_low=low, ci_high=high, p_value=p_value, interval="fisher_z")

    def _weighted(self, rho: Replicated, samples: Sequence[Rows], statistic: str) -> Replicated:
        """The correlation of these samples combined, with their weights n − d."""
        n_trials, weights = np.zeros((2, 1 + int(self.resamples.dataset.max())))
        for rows in samples:
            n = np.bincount(self.resamples.dataset[self.resamples.cluster[rows]], minlength=len(weights))
            n_trials += n
            weights += n * (1 - FISHER_D[statistic] / len(rows))
        return rho.weighted(n_trials, weights)

    def _between(self, statistic: str) -> Iterator[Correlation]:
        """Each stratum's entry, then that over the strata that have one, of the methods that they share."""
        usable: list[Stratum] = []
        for stratum, cells in self.samples.strata.items():
            methods = [c[2] for c in cells if len(self.samples.kept(self.cells[c]))]
            entry = self._between_entry(Place("between_methods", *stratum), statistic, [stratum], methods)
            if entry.estimate is not None:
                usable.append(stratum)
            yield entry
        in_all = set.intersection(*({c[2] for c in self.samples.strata[s]} for s in usable)) if usable else set()
        methods = [m for m in sorted(in_all) if all(self.samples.present[self.cells[(*s, m)]].any() for s in usable)]
        # Among the methods that all strata share, the means of one stratum may be constant after all.
        shared = [s for s in usable if constant_means(*self._means(s, methods)) is None] if methods else []
        yield self._between_entry(Place("between_methods"), statistic, shared, methods)

    def _between_entry(
        self, place: Place, statistic: str, strata: Sequence[Stratum], methods: Sequence[str]
    ) -> Correlation:
        result = between_methods([self._means(s, methods) for s in strata], statistic, seed=self.seed)
        cells = [self.cells[(*s, m)] for s in strata for m in methods]
        rows = np.concatenate(cells) if cells else np.empty(0, dtype=np.intp)
        entry = self._entry(place, statistic, rows, result.estimate, result.reason)
        return replace(
            entry, n=result.n, p_value=result.p_value, interval_reason=None if result.reason else METHODS_HELD_FIXED
        )

    def _means(self, stratum: Stratum, methods: Sequence[str]) -> tuple[Floats, Floats]:
        kept = [self.samples.kept(self.cells[(*stratum, method)]) for method in methods]
        return method_means(self.x, kept), method_means(self.y, kept)
