"""The whole grid: every localisation score against the outcome, at every scope, by both statistics.

Scopes: `pooled` mixes all trials; `stratum` takes one (dataset, severity), `cell` one (dataset, severity,
method); `within_cell` combines cells, over everything (no stratum) and per stratum; `between_methods`
correlates the methods' means, per stratum and averaged over strata. Only `within_cell` asks the question free
of what methods and severities do to both scores; the pooled value can even have the other sign (Simpson's
paradox).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.between_methods import between_methods, constant_means, method_means, replicate_between
from analysis.cells import Cell, Rows, Stratum, cell_rows, strata_of
from analysis.cluster_bootstrap import Resamples, percentile_interval, replicate
from analysis.multiplicity import adjust
from analysis.rank_correlation import CLIP, STATISTICS, Floats, RankCorrelation, rank_correlation
from analysis.within_cell import combine_cells, combine_replicates
from records import columns

_WITHIN_FIELDS = ("estimate", "reason", "n", "n_cells", "n_degenerate", "n_clipped", "weight", "q", "i_squared")


@dataclass(frozen=True)
class Correlation:
    """One entry of the grid; what does not apply to its scope is None."""

    split: str
    metric: str
    attribution: str
    outcome: str
    scope: str
    statistic: str
    stratum: str | None
    """Dataset, severity and method as far as the scope fixes them, such as "crosses, s = 0.8, rrr"."""
    dataset: str | None
    severity: float | None
    method: str | None
    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    """Trials; methods for the scope between_methods."""
    n_clusters: int
    """Data seeds among the trials."""
    n_missing: int
    """Trials dropped because the outcome or this localisation score is missing."""
    p_value: float | None
    p_adjusted: float | None = None
    """Benjamini-Hochberg over all entries of this scope and statistic."""
    interval: str | None = None
    """How the interval was made: cluster_bootstrap or fisher_z; None where there is none."""
    reason: str | None = None
    """Why the estimate is undefined."""
    n_cells: int | None = None
    n_degenerate: int | None = None
    n_clipped: int | None = None
    weight: float | None = None
    q: float | None = None
    i_squared: float | None = None
    bootstrap_error: float | None = None
    """Standard deviation over replicates of Fisher's z of the estimate."""


def correlate(table: pd.DataFrame, outcome: str, resamples: Resamples, *, seed: int) -> list[Correlation]:
    """Every correlation of the table's localisation columns with `outcome`, p-values adjusted.

    Args:
        table: trials, as in `Trials.table`.
        outcome: the outcome's column.
        resamples: draws over the data seeds of this very table.
        seed: of the drawn orderings between more than 8 methods.
    """
    found: list[Correlation] = []
    for column in table.columns:
        parsed = columns.parse_localisation(str(column))
        if parsed is None:
            continue
        pair = _Pair(table, str(column), parsed, outcome, resamples, seed)
        for statistic in STATISTICS:
            found += pair.correlations(statistic)
    return _with_adjusted(found)


def reference(table: pd.DataFrame, outcome: str, resamples: Resamples, *, seed: int) -> Correlation | None:
    """Spearman's rho within cells of AUC on the ID test set with the outcome, or None without that column.

    What the map has to beat: this costs no map and no mask. Its metric is "auc" and its attribution empty.
    """
    column = columns.performance("test_id", "auc")
    if column not in table or column == outcome:
        return None
    pair = _Pair(table, column, ("test_id", "auc", ""), outcome, resamples, seed)
    found = pair.correlations("spearman")
    return next(c for c in found if c.scope == "within_cell" and c.stratum is None)


def _with_adjusted(found: list[Correlation]) -> list[Correlation]:
    families: dict[tuple[str, str], list[int]] = {}
    for position, entry in enumerate(found):
        families.setdefault((entry.scope, entry.statistic), []).append(position)
    result = list(found)
    for members in families.values():
        for position, p in zip(members, adjust([found[i].p_value for i in members]), strict=True):
            result[position] = replace(found[position], p_adjusted=p)
    return result


class _Pair:
    """One localisation column against the outcome."""

    def __init__(
        self,
        table: pd.DataFrame,
        column: str,
        parsed: tuple[str, str, str],
        outcome: str,
        resamples: Resamples,
        seed: int,
    ):
        self.x: Floats = table[column].to_numpy(dtype=np.float64)
        self.y: Floats = table[outcome].to_numpy(dtype=np.float64)
        self.present = np.isfinite(self.x) & np.isfinite(self.y)
        self.resamples, self.seed = resamples, seed
        self.head = dict(zip(("split", "metric", "attribution"), parsed, strict=True)) | {"outcome": outcome}
        self.cells = cell_rows(table)
        self.strata = strata_of(self.cells)

    def correlations(self, statistic: str) -> Iterator[Correlation]:
        everything = np.arange(len(self.x), dtype=np.intp)
        yield self._sample("pooled", statistic, everything)[0]
        for (dataset, severity), cells in self.strata.items():
            rows = np.sort(np.concatenate([self.cells[c] for c in cells]))
            yield self._sample("stratum", statistic, rows, dataset, severity)[0]
        replicates: dict[Cell, tuple[Floats, Floats]] = {}
        samples: dict[Cell, RankCorrelation] = {}
        for cell, rows in self.cells.items():
            entry, samples[cell], replicates[cell] = self._sample("cell", statistic, rows, *cell)
            yield entry
        yield self._within(statistic, list(self.cells), samples, replicates)
        for (dataset, severity), cells in self.strata.items():
            yield self._within(statistic, cells, samples, replicates, dataset, severity)
        yield from self._between(statistic)

    def _entry(
        self,
        scope: str,
        statistic: str,
        rows: Rows,
        dataset: str | None,
        severity: float | None,
        method: str | None,
        **fields: object,
    ) -> Correlation:
        kept = rows[self.present[rows]]
        named = [dataset, None if severity is None else f"s = {severity:g}", method]
        stratum = ", ".join(part for part in named if part is not None) or None
        base: dict[str, object] = {
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
        return Correlation(**(base | fields))  # type: ignore[arg-type]

    def _sample(
        self,
        scope: str,
        statistic: str,
        rows: Rows,
        dataset: str | None = None,
        severity: float | None = None,
        method: str | None = None,
    ) -> tuple[Correlation, RankCorrelation, tuple[Floats, Floats]]:
        kept = rows[self.present[rows]]
        x, y = self.x[kept], self.y[kept]
        found = rank_correlation(x, y, statistic)
        nothing = np.full(len(self.resamples.counts), np.nan)
        replicates = (nothing, nothing)
        fields: dict[str, object] = {"estimate": found.estimate, "reason": found.reason}
        if found.estimate is not None:
            # A cell with too few data seeds for an interval of its own still enters the combined one.
            if self._resampled(rows) or (scope == "cell" and self._resampled(self._rows_of(dataset))):
                replicates = replicate(x, y, kept, self.resamples, statistic)
            fields |= self._interval(rows, replicates[0], (found.ci_low, found.ci_high, found.p_value))
        return self._entry(scope, statistic, rows, dataset, severity, method, **fields), found, replicates

    def _within(
        self,
        statistic: str,
        cells: list[Cell],
        samples: dict[Cell, RankCorrelation],
        replicates: dict[Cell, tuple[Floats, Floats]],
        dataset: str | None = None,
        severity: float | None = None,
    ) -> Correlation:
        found = combine_cells([samples[c] for c in cells], statistic)
        rows = np.concatenate([self.cells[c] for c in cells])
        usable = [c for c in cells if samples[c].estimate is not None]
        fields: dict[str, object] = {name: getattr(found, name) for name in _WITHIN_FIELDS}
        if found.estimate is not None:
            used = np.concatenate([self.cells[c] for c in usable])
            fields["n_clusters"] = self.resamples.n_clusters(used[self.present[used]])
            combined = np.full(len(self.resamples.counts), np.nan)
            if self._resampled(used):
                pairs = [replicates[c] for c in usable]
                combined = combine_replicates([p[0] for p in pairs], [p[1] for p in pairs], statistic)
            fields |= self._interval(used, combined, (found.ci_low, found.ci_high, found.p_value))
        return self._entry("within_cell", statistic, rows, dataset, severity, None, **fields)

    def _rows_of(self, dataset: str | None) -> Rows:
        return np.concatenate([rows for cell, rows in self.cells.items() if cell[0] == dataset])

    def _resampled(self, rows: Rows) -> bool:
        return self.resamples.enough(rows[self.present[rows]])

    def _interval(
        self, rows: Rows, replicates: Floats, analytic: tuple[float | None, float | None, float | None]
    ) -> dict[str, object]:
        if not self._resampled(rows):
            return dict(zip(("ci_low", "ci_high", "p_value"), analytic, strict=True)) | {"interval": "fisher_z"}
        found = percentile_interval(replicates)
        if found is None:
            return {}
        z = np.arctanh(np.clip(replicates[np.isfinite(replicates)], -CLIP, CLIP))
        return {
            "ci_low": found[0],
            "ci_high": found[1],
            "p_value": found[2],
            "interval": "cluster_bootstrap",
            "bootstrap_error": float(z.std(ddof=1)),
        }

    def _between(self, statistic: str) -> Iterator[Correlation]:
        usable: list[Stratum] = []
        for stratum, cells in self.strata.items():
            methods = [c[2] for c in cells if self.present[self.cells[c]].any()]
            entry = self._between_entry(statistic, [stratum], methods, *stratum)
            if entry.estimate is not None:
                usable.append(stratum)
            yield entry
        in_all = set.intersection(*({c[2] for c in self.strata[s]} for s in usable)) if usable else set()
        methods = [m for m in sorted(in_all) if all(self.present[self.cells[(*s, m)]].any() for s in usable)]
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
        if found.estimate is not None and self._resampled(rows):
            groups = [[self._kept((*s, m)) for m in methods] for s in strata]
            interval = percentile_interval(replicate_between(self.x, self.y, groups, self.resamples, statistic))
            if interval is not None:
                fields |= {"ci_low": interval[0], "ci_high": interval[1], "interval": "cluster_bootstrap"}
        return self._entry("between_methods", statistic, rows, dataset, severity, None, **fields)

    def _kept(self, cell: Cell) -> Rows:
        rows = self.cells[cell]
        return rows[self.present[rows]]

    def _means(self, stratum: Stratum, methods: list[str]) -> tuple[Floats, Floats]:
        kept = [self._kept((*stratum, method)) for method in methods]
        return method_means(self.x, kept), method_means(self.y, kept)
