"""One localisation score against the outcome at every scope, with the intervals that data seeds give.

`Samples` holds the trials that are correlated with one another and computes Spearman's rho of each sample without each
data seed; scores that the same trials have share one. `Pair` turns one score into the entries of the grid.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.answer.entry import Correlation, Score
from analysis.stats.between_methods import between_methods, constant_means, method_means
from analysis.stats.cluster_bootstrap import Resamples
from analysis.stats.cluster_jackknife import MINIMUM_CLUSTERS, Jackknife, jackknife
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
from analysis.stats.reweighted import deleted_kendall, weighted_spearman
from analysis.trials.design import Cell, Rows, Stratum, cell_rows, strata_of
from records import columns

Within = tuple[Score, Stratum | None]
"""A correlation within cells: its score and stratum, None for all strata."""
Influence = tuple[NDArray[np.intp], Floats]
"""Clusters, and how far each moves Fisher's z."""
Part = tuple[Rows, float]
"""Trials of a sample that have both values, and the weight n − d of its Fisher's z."""


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


@dataclass(frozen=True, eq=False)
class Sample:
    """Trials that are correlated with one another; a key of dictionaries by its identity."""

    place: Place
    rows: Rows
    kept: Rows
    """The rows that have both values."""


@dataclass(frozen=True)
class Deleted:
    """[clusters] correlation of one sample, and its size, without each cluster."""

    correlation: Floats
    size: Floats


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
        self.by_scope = {
            scope: [Sample(place, rows, self.kept(rows)) for place, rows in members]
            for scope, members in places.items()
            if scope in scopes
        }

    def kept(self, rows: Rows) -> Rows:
        """The rows that have both values."""
        return rows[self.present[rows]]

    def without_each(self, x: Floats, y: Floats) -> list[dict[Sample, Deleted]]:
        """Spearman's rho without each cluster: per score, of each sample that has trials.

        Args:
            x: [scores, n] localisation scores.
            y: [n] outcomes.
        """
        without = 1.0 - np.eye(self.resamples.counts.shape[1])
        deleted: list[dict[Sample, Deleted]] = [{} for _ in x]
        for members in self.by_scope.values():
            samples = [sample for sample in members if len(sample.kept)]
            if not samples:
                continue
            rows = np.concatenate([sample.kept for sample in samples])
            label = np.repeat(np.arange(len(samples)), [len(sample.kept) for sample in samples])
            trials = (x[:, rows], y[rows], label, self.resamples.cluster[rows])
            correlation, sizes = weighted_spearman(*trials, without)
            for score, of_score in enumerate(deleted):
                for i, sample in enumerate(samples):
                    of_score[sample] = Deleted(correlation[score, i], sizes[i])
        return deleted

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
    """Result of one sample: its entry, and what the combination of cells needs."""

    correlation: RankCorrelation
    entry: Correlation
    part: Part
    deleted: Deleted | None = None
    """None where the correlation is undefined."""


class Pair:
    """One localisation score against the outcome.

    Args:
        samples: of trials, with the marks of those that have both values.
        x, y: [n] score and outcome.
        score: split, metric and attribution of x.
        outcome: the column of y.
        deleted: of this score, from `Samples.without_each`.
        seed: of drawn orderings of methods.
    """

    def __init__(
        self,
        samples: Samples,
        x: Floats,
        y: Floats,
        score: Score,
        outcome: str,
        deleted: dict[Sample, Deleted],
        seed: int,
    ):
        self.samples, self.x, self.y, self.score, self.outcome, self.seed = samples, x, y, score, outcome, seed
        self.resamples, self.cells, self.deleted = samples.resamples, samples.cells, deleted
        self.influences: dict[Stratum | None, Influence] = {}
        """Of rho within cells, over all strata (None) and per stratum; filled by `correlations`."""

    def correlations(self, statistic: str) -> Iterator[Correlation]:
        """The entries at every scope of the samples."""
        by_cell: dict[Cell, _Result] = {}
        for scope, samples in self.samples.by_scope.items():
            results = [self._of_sample(sample, statistic) for sample in samples]
            yield from (result.entry for result in results)
            if scope == "cell":
                by_cell = dict(zip(self.cells, results, strict=True))
        yield self._within(None, statistic, by_cell)
        for stratum, cells in self.samples.strata.items():
            yield self._within(stratum, statistic, {cell: by_cell[cell] for cell in cells})
        if "between_methods" in self.samples.scopes:
            yield from self._between(statistic)

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

    def _of_sample(self, sample: Sample, statistic: str) -> _Result:
        correlation = rank_correlation(self.x[sample.kept], self.y[sample.kept], statistic)
        entry = self._entry(sample.place, statistic, sample.rows, correlation.estimate, correlation.reason)
        part = sample.kept, float(correlation.n - FISHER_D[statistic])
        if correlation.estimate is None:
            return _Result(correlation, entry, part)
        deleted = self.deleted[sample]
        if statistic != "spearman":
            deleted = self._kendall(sample.kept, deleted)
        entry, _ = self._with_interval(entry, correlation.estimate, deleted.correlation, [part])
        return _Result(correlation, entry, part, deleted)

    def _kendall(self, kept: Rows, spearman: Deleted) -> Deleted:
        """tau-b without each cluster."""
        clusters, position = np.unique(self.resamples.cluster[kept], return_inverse=True)
        deleted = np.full(len(spearman.size), np.nan)
        deleted[clusters] = deleted_kendall(self.x[kept], self.y[kept], position, len(clusters))
        others = np.setdiff1d(np.arange(len(deleted)), clusters)
        if len(others):
            deleted[others] = rank_correlation(self.x[kept], self.y[kept], "kendall_tau_b").estimate
        return Deleted(deleted, spearman.size)

    def _within(self, stratum: Stratum | None, statistic: str, results: dict[Cell, _Result]) -> Correlation:
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
            return entry
        parts = [result.part for result in results.values() if result.deleted is not None]
        cells = [result.deleted for result in results.values() if result.deleted is not None]
        entry = replace(entry, n_clusters=self.resamples.n_clusters(np.concatenate([kept for kept, _ in parts])))
        deleted = combine_replicates([cell.correlation for cell in cells], [cell.size for cell in cells], statistic)
        entry, influence = self._with_interval(entry, combined.estimate, deleted, parts)
        if influence is not None and statistic == "spearman":
            self.influences[stratum] = influence
        return entry

    def _with_interval(
        self, entry: Correlation, estimate: float, deleted: Floats, parts: Sequence[Part]
    ) -> tuple[Correlation, Influence | None]:
        """The entry with its interval, and the influences if that is the jackknife's.

        Args:
            deleted: [clusters] the estimate without each.
            parts: of each cell, or of the one sample.
        """
        kept = np.concatenate([rows for rows, _ in parts])
        if self.resamples.fewest(kept) < MINIMUM_CLUSTERS:
            if self.resamples.n_clusters(kept) == len(kept):
                return self._with_fisher(entry, estimate, sum(weight for _, weight in parts)), None
            few = f"fewer than {MINIMUM_CLUSTERS} data seeds on a dataset, and trials share them"
            return replace(entry, interval_reason=few), None
        clusters = np.unique(self.resamples.cluster[kept])
        deleted = deleted[clusters]
        if not np.isfinite(deleted).all():
            return replace(entry, interval_reason="without one of the data seeds it is undefined"), None
        result = self._jackknife(estimate, deleted, clusters, parts)
        if result is None:  # no data seed makes a difference, as with a perfect correlation
            entry = self._with_fisher(entry, estimate, len(clusters) - FISHER_D[entry.statistic])
        else:
            entry = replace(
                entry,
                ci_low=result.low,
                ci_high=result.high,
                p_value=result.p_value,
                interval="cluster_jackknife",
                standard_error=result.standard_error,
                df=result.df,
            )
        return entry, None if result is None else (clusters, result.influence)

    def _with_fisher(self, entry: Correlation, estimate: float, weight: float) -> Correlation:
        low, high, p_value = fisher_interval(estimate, weight, entry.statistic)
        return replace(entry, ci_low=low, ci_high=high, p_value=p_value, interval="fisher_z")

    def _jackknife(
        self, estimate: float, deleted: Floats, clusters: NDArray[np.intp], parts: Sequence[Part]
    ) -> Jackknife | None:
        names, dataset = np.unique(self.resamples.dataset[clusters], return_inverse=True)
        sizes, weights = np.zeros(len(names)), np.zeros(len(names))
        for rows, weight in parts:
            own = np.searchsorted(names, self.resamples.dataset[self.resamples.cluster[rows]])
            n = np.bincount(own, minlength=len(names))
            sizes += n
            weights += weight * n / len(rows)
        return jackknife(estimate, deleted, dataset, sizes, weights)

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
