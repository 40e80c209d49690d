"""One localisation column against the outcome: its entry at every scope, with the interval that its data seeds give."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.stats.between_methods import between_methods, constant_means, method_means, replicate_between
from analysis.stats.cluster_bootstrap import bca_interval, percentile_interval
from analysis.stats.cluster_jackknife import MINIMUM_CLUSTERS, Jackknife, acceleration, jackknife
from analysis.stats.correlation import Correlation, Score
from analysis.stats.correlation_samples import Replicates, Samples
from analysis.stats.deleted_kendall import deleted_kendall
from analysis.stats.rank_correlation import LOST, Floats, RankCorrelation, fisher_interval, rank_correlation
from analysis.stats.within_cell import combine_cells, combine_replicates
from analysis.trials.cells import Cell, Rows, Stratum

_WITHIN_FIELDS = ("estimate", "reason", "n", "n_cells", "n_degenerate", "n_clipped", "weight", "q", "i_squared")


class Pair:
    """One localisation column against the outcome."""

    def __init__(
        self,
        samples: Samples,
        x: Floats,
        y: Floats,
        score: Score,
        outcome: str,
        replicates: Sequence[Mapping[int, Replicates]],
        seed: int,
    ):
        self.samples, self.x, self.y, self.seed = samples, x, y, seed
        self.resamples, self.cells = samples.resamples, samples.cells
        self.replicates = dict(zip(samples.by_scope, replicates, strict=True))
        self.influences: dict[Stratum | None, tuple[NDArray[np.intp], Floats]] = {}
        self.head = dict(zip(("split", "metric", "attribution"), score, strict=True)) | {"outcome": outcome}

    def correlations(self, statistic: str) -> Iterator[Correlation]:
        samples: dict[Cell, RankCorrelation] = {}
        replicates: dict[Cell, Replicates] = {}
        for scope, scope_samples in self.samples.by_scope.items():
            for place, sample in enumerate(scope_samples):
                own = self.replicates[scope].get(place)
                found = rank_correlation(self.x[sample.kept], self.y[sample.kept], statistic)
                fields: dict[str, Any] = {"estimate": found.estimate, "reason": found.reason}
                if found.estimate is not None and own is not None:
                    if statistic != "spearman":
                        own = self._kendall(sample.kept, own)
                    weights = [(sample.kept, float(found.n - LOST[statistic]))]
                    fields |= self._interval(found.estimate, own, weights, statistic)[0]
                    if scope == "cell":
                        replicates[(str(sample.dataset), float(sample.severity or 0.0), str(sample.method))] = own
                if scope == "cell":
                    samples[(str(sample.dataset), float(sample.severity or 0.0), str(sample.method))] = found
                yield self._entry(
                    scope, statistic, sample.rows, sample.dataset, sample.severity, sample.method, **fields
                )
        yield self._within(statistic, list(self.cells), samples, replicates)
        for stratum, cells in self.samples.strata.items():
            yield self._within(statistic, cells, samples, replicates, *stratum)
        if "between_methods" in self.samples.scopes:
            yield from self._between(statistic)

    def _kendall(self, kept: Rows, own: Replicates) -> Replicates:
        """tau-b has the jackknife alone: without a data seed it is a difference of sums, for a draw it is not."""
        clusters, position = np.unique(self.resamples.cluster[kept], return_inverse=True)
        full = np.full(len(own.deleted), np.nan)
        full[clusters] = deleted_kendall(self.x[kept], self.y[kept], position, len(clusters))
        others = np.setdiff1d(np.arange(len(full)), clusters)
        if len(others):
            full[others] = rank_correlation(self.x[kept], self.y[kept], "kendall_tau_b").estimate
        nothing = np.empty(0)
        return Replicates(full, own.deleted_sizes, nothing, nothing)

    def _entry(
        self,
        scope: str,
        statistic: str,
        rows: Rows,
        dataset: str | None,
        severity: float | None,
        method: str | None,
        **fields: Any,
    ) -> Correlation:
        kept = rows[self.samples.present[rows]]
        named = [dataset, None if severity is None else f"s = {severity:g}", method]
        stratum = ", ".join(part for part in named if part is not None) or None
        base: dict[str, Any] = {
            **self.head,
            "scope": scope,
            "statistic": statistic,
            "stratum": stratum,
            "dataset": dataset,
            "severity": severity,
            "method": method,
            "n": len(kept),
            "n_clusters": self.resamples.n_clusters(kept),
            "n_missing": len(rows) - len(kept),
            "estimate": None,
            "ci_low": None,
            "ci_high": None,
            "p_value": None,
        }
        return Correlation(**(base | fields))

    def _within(
        self,
        statistic: str,
        cells: list[Cell],
        samples: dict[Cell, RankCorrelation],
        replicates: dict[Cell, Replicates],
        dataset: str | None = None,
        severity: float | None = None,
    ) -> Correlation:
        found = combine_cells([samples[c] for c in cells], statistic)
        rows = np.concatenate([self.cells[c] for c in cells])
        usable = [c for c in cells if samples[c].estimate is not None]
        fields: dict[str, Any] = {name: getattr(found, name) for name in _WITHIN_FIELDS}
        if found.estimate is not None:
            kept = [self._kept(c) for c in usable]
            fields["n_clusters"] = self.resamples.n_clusters(np.concatenate(kept))
            own = [replicates[c] for c in usable]
            deleted = combine_replicates([r.deleted for r in own], [r.deleted_sizes for r in own], statistic)
            drawn = np.empty(0)
            if statistic == "spearman":
                drawn = combine_replicates([r.drawn for r in own], [r.drawn_sizes for r in own], statistic)
            combined = Replicates(deleted, np.empty(0), drawn, np.empty(0))
            weights = [(k, float(samples[c].n - LOST[statistic])) for k, c in zip(kept, usable, strict=True)]
            interval, influence = self._interval(found.estimate, combined, weights, statistic)
            fields |= interval
            if influence is not None and statistic == "spearman":
                self.influences[None if dataset is None or severity is None else (dataset, severity)] = influence
        return self._entry("within_cell", statistic, rows, dataset, severity, None, **fields)

    def _interval(
        self, estimate: float, replicates: Replicates, parts: Sequence[tuple[Rows, float]], statistic: str
    ) -> tuple[dict[str, Any], tuple[NDArray[np.intp], Floats] | None]:
        """(the interval fields, the clusters and their influences) of an estimate from parts.

        Args:
            parts: each one's trials and its weight.
        """
        kept = np.concatenate([rows for rows, _ in parts])
        fewest = self.resamples.fewest(kept)
        alone = self.resamples.n_clusters(kept) == len(kept)
        if fewest < MINIMUM_CLUSTERS:
            if not alone:
                few = f"fewer than {MINIMUM_CLUSTERS} data seeds on a dataset, and trials share them"
                return {"interval_reason": few}, None
            return self._fisher(estimate, sum(weight for _, weight in parts), statistic), None
        clusters = np.unique(self.resamples.cluster[kept])
        deleted = replicates.deleted[clusters]
        found = self._jackknife(estimate, deleted, clusters, parts)
        if found is None and not np.isfinite(deleted).all():
            return {"interval_reason": "without one of the data seeds it is undefined"}, None
        fields: dict[str, Any]
        if found is None:  # as with a perfect correlation: no data seed makes a difference
            fields = self._fisher(estimate, len(clusters) - LOST[statistic], statistic)
        else:
            fields = {
                "ci_low": found.low,
                "ci_high": found.high,
                "p_value": found.p_value,
                "interval": "cluster_jackknife",
                "standard_error": found.standard_error,
                "df": found.df,
            }
        if len(replicates.drawn) and self.resamples.enough(kept):
            percentile = percentile_interval(replicates.drawn)
            if percentile is not None:
                fields |= {"percentile_low": percentile[0], "percentile_high": percentile[1]}
            bca = bca_interval(replicates.drawn, estimate, acceleration(deleted))
            if bca is not None:
                fields |= {"bca_low": bca[0], "bca_high": bca[1]}
        return fields, None if found is None else (clusters, found.influence)

    def _jackknife(
        self, estimate: float, deleted: Floats, clusters: NDArray[np.intp], parts: Sequence[tuple[Rows, float]]
    ) -> Jackknife | None:
        names, dataset = np.unique(self.resamples.dataset[clusters], return_inverse=True)
        sizes, weights = np.zeros(len(names)), np.zeros(len(names))
        for rows, weight in parts:
            own = np.searchsorted(names, self.resamples.dataset[self.resamples.cluster[rows]])
            n = np.bincount(own, minlength=len(names))
            sizes += n
            weights += weight * n / len(rows)
        return jackknife(estimate, deleted, dataset, sizes, weights)

    def _fisher(self, estimate: float, weight: float, statistic: str) -> dict[str, Any]:
        low, high, p_value = fisher_interval(estimate, weight, statistic)
        return {"ci_low": low, "ci_high": high, "p_value": p_value, "interval": "fisher_z"}

    def _between(self, statistic: str) -> Iterator[Correlation]:
        usable: list[Stratum] = []
        for stratum, cells in self.samples.strata.items():
            methods = [c[2] for c in cells if self.samples.present[self.cells[c]].any()]
            entry = self._between_entry(statistic, [stratum], methods, *stratum)
            if entry.estimate is not None:
                usable.append(stratum)
            yield entry
        in_all = set.intersection(*({c[2] for c in self.samples.strata[s]} for s in usable)) if usable else set()
        methods = [m for m in sorted(in_all) if all(self.samples.present[self.cells[(*s, m)]].any() for s in usable)]
        # Among the methods that all strata share, one stratum's means may be constant after all.
        shared = [s for s in usable if constant_means(*self._means(s, methods)) is None] if methods else []
        yield self._between_entry(statistic, shared, methods, None, None)

    def _between_entry(
        self,
        statistic: str,
        strata: list[Stratum],
        methods: list[str],
        dataset: str | None,
        severity: float | None,
    ) -> Correlation:
        found = between_methods([self._means(s, methods) for s in strata], statistic, seed=self.seed)
        cells = [self.cells[(*s, m)] for s in strata for m in methods]
        rows = np.concatenate(cells) if cells else np.empty(0, dtype=np.intp)
        fields: dict[str, object] = {
            "estimate": found.estimate,
            "reason": found.reason,
            "n": found.n,
            "p_value": found.p_value,
        }
        if found.estimate is not None and self.resamples.enough(rows[self.samples.present[rows]]):
            groups = [[self._kept((*s, m)) for m in methods] for s in strata]
            interval = percentile_interval(replicate_between(self.x, self.y, groups, self.resamples, statistic))
            if interval is not None:
                fields |= {"ci_low": interval[0], "ci_high": interval[1], "interval": "cluster_bootstrap"}
        return self._entry("between_methods", statistic, rows, dataset, severity, None, **fields)

    def _kept(self, cell: Cell) -> Rows:
        rows = self.cells[cell]
        return rows[self.samples.present[rows]]

    def _means(self, stratum: Stratum, methods: list[str]) -> tuple[Floats, Floats]:
        kept = [self._kept((*stratum, method)) for method in methods]
        return method_means(self.x, kept), method_means(self.y, kept)
