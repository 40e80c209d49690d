"""One localisation score against the outcome at every scope, with the intervals that data seeds give.

`Samples` holds the trials that are correlated with one another; scores that the same trials have share it. `Pair` turns
one score into the entries of the grid.
"""

from collections.abc import Iterator, Mapping, Sequence
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
    """A correlation of the grid; where it is defined, except between methods, with its replicates."""

    entry: Correlation
    rho: Replicated | None = None
    size: Floats | None = None
    """[1 + G] trials behind each replicate of a sample."""


class Samples:
    """The samples of a table at some scopes, for scores that the same trials have; `present` marks these trials."""

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

    def p_permutation(
        self, scores: Sequence[Score], x: Floats, y: Floats, seed: int
    ) -> dict[tuple[Score, Stratum | None], float]:
        """The permutation test's p-value within cells, of all strata (None) and each, where the test can be made.

        There are as many permutations as the resamples have replicates; none where no dataset has two data seeds, as
        without the column, since it is data seeds that are exchanged.
        """
        cells = list(self.cells)
        # By seed, so that which trainings of two configurations are exchanged does not depend on the order of rows.
        seed_of = self.table["seed"].to_numpy()
        kept = [rows[np.argsort(seed_of[rows], kind="stable")] for rows in map(self.kept, self.cells.values())]
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
    """The settings of a cell's configurations, in order: strength, then the others by their text."""
    others = [n for n in columns.configuration_in(table) if n != "strength"]
    strength = [table["strength"].to_numpy()] if "strength" in table else []
    return [*strength, *(pd.factorize(table[name].astype(str), sort=True)[0] for name in others)]


class Pair:
    """One localisation score x against the outcome y, a column; `seed` is that of drawn orderings of methods."""

    def __init__(self, samples: Samples, x: Floats, y: Floats, score: Score, outcome: str, seed: int):
        self.samples, self.x, self.y, self.score, self.outcome, self.seed = samples, x, y, score, outcome, seed
        self.resamples, self.cells = samples.resamples, samples.cells

    def correlations(self, statistic: str) -> list[Placed]:
        """The entries at every scope of the samples."""
        by_scope = {
            scope: [self._of_sample(place, rows, statistic) for place, rows in members]
            for scope, members in self.samples.by_scope.items()
        }
        by_cell = dict(zip(self.cells, by_scope["cell"], strict=True))
        placed = [result for results in by_scope.values() for result in results]
        placed.append(self._within(Place("within_cell"), statistic, by_cell))
        for stratum, cells in self.samples.strata.items():
            of_stratum = {cell: by_cell[cell] for cell in cells}
            placed.append(self._within(Place("within_cell", *stratum), statistic, of_stratum))
        if "between_methods" in self.samples.scopes:
            placed += [Placed(entry) for entry in self._between(statistic)]
        return placed

    def _entry(self, place: Place, statistic: str, rows: Rows) -> Correlation:
        """An entry without its estimate."""
        kept = self.samples.kept(rows)
        return Correlation(
            *self.score,
            outcome=self.outcome,
            **vars(place),
            statistic=statistic,
            stratum=place.label,
            n_clusters=self.resamples.n_clusters(kept),
            n_missing=len(rows) - len(kept),
        )

    def _of_sample(self, place: Place, rows: Rows, statistic: str) -> Placed:
        kept = self.samples.kept(rows)
        x, y = self.x[kept], self.y[kept]
        correlation = rank_correlation(x, y, statistic)
        entry = replace(self._entry(place, statistic, rows), **vars(correlation))
        if correlation.estimate is None:
            return Placed(entry)
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
        return Placed(self._with_interval(entry, value, len(kept) - FISHER_D[statistic]), value, size)

    def _within(self, place: Place, statistic: str, results: Mapping[Cell, Placed]) -> Placed:
        """The cells' correlations combined."""
        entries = [result.entry for result in results.values()]
        of_cells = [RankCorrelation(estimate=e.estimate, n=e.n, reason=e.reason) for e in entries]
        combined = combine_cells(of_cells, statistic)
        rows = np.concatenate([self.cells[cell] for cell in results])
        entry = replace(self._entry(place, statistic, rows), **vars(combined))
        kept = [self.samples.kept(self.cells[cell]) for cell, result in results.items() if result.rho is not None]
        rhos = [result.rho for result in results.values() if result.rho is not None]
        if not rhos:
            return Placed(entry)
        sizes = [result.size for result in results.values() if result.size is not None]
        values = combine_replicates([rho.values for rho in rhos], sizes, statistic)
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
        why = None if result.reason else "the comparison of methods has the interval"
        return replace(self._entry(place, statistic, rows), **vars(result), interval_reason=why)

    def _means(self, stratum: Stratum, methods: Sequence[str]) -> tuple[Floats, Floats]:
        kept = [self.samples.kept(self.cells[(*stratum, method)]) for method in methods]
        return method_means(self.x, kept), method_means(self.y, kept)
