"""The whole grid: every localisation score against the outcome, at every scope, by both statistics.

Scopes: `pooled` mixes all trials; `stratum` takes one (dataset, severity), `cell` one (dataset, severity,
method); `within_cell` combines cells, over everything (no stratum) and per stratum; `between_methods`
correlates the methods' means, per stratum and averaged over strata. Only `within_cell` asks the question free
of what methods and severities do to both scores; the pooled value can even have the other sign (Simpson's
paradox).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.between_methods import between_methods, constant_means, method_means, replicate_between
from analysis.cells import Cell, Rows, Stratum, cell_rows, strata_of
from analysis.cluster_bootstrap import Resamples, bca_interval, percentile_interval
from analysis.cluster_jackknife import MINIMUM_CLUSTERS, Jackknife, acceleration, jackknife
from analysis.deleted_kendall import deleted_kendall
from analysis.multiplicity import adjust, max_t
from analysis.permutation import exchanges, permutation_p, permuted_z
from analysis.primary import Primary
from analysis.rank_correlation import LOST, STATISTICS, Floats, RankCorrelation, fisher_interval, rank_correlation
from analysis.weighted_spearman import weighted_spearman
from analysis.within_cell import combine_cells, combine_replicates
from records import columns

Progress = Callable[[int, int], None]
"""Told how many parts are done, of how many."""
Score = tuple[str, str, str]
"""Split, metric and attribution."""
Within = tuple[Score, Stratum | None]
"""Which correlation within cells: its score and stratum."""
Permuted = tuple[float, Floats]
"""Its Fisher z as it is and under permutations."""

_WITHIN_FIELDS = ("estimate", "reason", "n", "n_cells", "n_degenerate", "n_clipped", "weight", "q", "i_squared")
_SCOPES = ("pooled", "stratum", "cell", "within_cell", "between_methods")
_CHUNK = 5
"""Scores computed together: enough to share the outcome's ranks, few enough to show progress."""


@dataclass(frozen=True)
class Correlation:
    """One entry of the grid; what does not apply to its scope is None.

    The interval that counts is (ci_low, ci_high), made as `interval` says:

    - cluster_jackknife, with at least 6 data seeds on each dataset;
    - fisher_z, with fewer, where no two of the trials share a data seed; also where the correlation does not change
      without any data seed, as a perfect one, with the number of data seeds in the place of trials;
    - cluster_bootstrap, between methods;
    - none otherwise: `interval_reason` says why.
    """

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
    """Of a correlation of zero, by the method of the interval; between methods by permutation."""
    p_adjusted: float | None = None
    """Benjamini-Hochberg over all entries of this scope and statistic; None for the primary, declared before."""
    interval: str | None = None
    interval_reason: str | None = None
    """Why there is an estimate without an interval."""
    reason: str | None = None
    """Why the estimate is undefined."""
    n_cells: int | None = None
    n_degenerate: int | None = None
    n_clipped: int | None = None
    weight: float | None = None
    q: float | None = None
    i_squared: float | None = None
    standard_error: float | None = None
    """Of Fisher's z, by the cluster jackknife."""
    df: int | None = None
    """Degrees of freedom of the jackknife's t."""
    percentile_low: float | None = None
    percentile_high: float | None = None
    """The cluster bootstrap's percentile interval: for rho, with at least 10 data seeds on each dataset."""
    bca_low: float | None = None
    bca_high: float | None = None
    """Its bias-corrected and accelerated interval."""
    p_permutation: float | None = None
    """For rho within cells: by permuting the localisation score; None where few trials can change places."""
    p_max_t: float | None = None
    """The same, adjusted for all scores and strata by the largest statistic; None for the primary."""

    @property
    def score(self) -> Score:
        return self.split, self.metric, self.attribution


def correlate(
    table: pd.DataFrame,
    outcome: str,
    resamples: Resamples,
    *,
    seed: int,
    primary: Primary | None = None,
    progress: Progress | None = None,
) -> list[Correlation]:
    """Every correlation of the table's localisation columns with `outcome`, p-values adjusted.

    Args:
        table: trials, as in `Trials.table`.
        outcome: the outcome's column.
        resamples: draws over the data seeds of this very table.
        seed: of the permutations, as many as the resamples have replicates.
        primary: the score whose correlation within all cells was declared beforehand, and so is not adjusted.
        progress: called after each part of the work.
    """
    scores = {str(c): s for c in table.columns if (s := columns.parse_localisation(str(c))) is not None}
    found, permuted = _grid(table, scores, outcome, resamples, STATISTICS, seed, progress)
    declared = None if primary is None else (primary.split, primary.metric, primary.attribution)
    return _with_adjusted(_with_permutations(found, permuted, declared), declared)


def reference(table: pd.DataFrame, outcome: str, resamples: Resamples, *, seed: int) -> Correlation | None:
    """Spearman's rho within cells of AUC on the ID test set with the outcome, or None without that column.

    What the map has to beat: this costs no map and no mask. Its metric is "auc" and its attribution empty.
    """
    column = columns.performance("test_id", "auc")
    if column not in table or column == outcome:
        return None
    return within_cells(table, column, outcome, resamples, seed=seed)


def within_cells(table: pd.DataFrame, column: str, outcome: str, resamples: Resamples, *, seed: int) -> Correlation:
    """Spearman's rho within all cells of one column with the outcome, without the rest of the grid."""
    split, _, measure = column.partition(".")
    score = columns.parse_localisation(column) or (split, measure, "")
    found, permuted = _grid(
        table, {column: score}, outcome, resamples, ("spearman",), seed, None, ("cell", "within_cell")
    )
    return next(c for c in _with_permutations(found, permuted, score) if is_headline(c))


@dataclass(frozen=True)
class Influences:
    """A correlation within cells and how far each cluster moves its Fisher z."""

    entry: Correlation
    cluster: NDArray[np.intp]
    """Positions in the resamples' clusters; none without a jackknife interval."""
    influence: Floats


def influences(
    table: pd.DataFrame, column: str, outcome: str, resamples: Resamples, *, seed: int = 0
) -> dict[Stratum | None, Influences]:
    """Spearman's rho within cells of one localisation column, over everything (None) and per stratum.

    For comparing tables: their clusters' influences can be subtracted where they share clusters.
    """
    x, y = (table[name].to_numpy(dtype=np.float64) for name in (column, outcome))
    design = _Design(table, np.isfinite(x) & np.isfinite(y), resamples, ("cell", "within_cell"))
    score = columns.parse_localisation(column) or ("", column, "")
    pair = _Pair(design, x, y, score, outcome, design.replicates(x[None], y)[0], seed)
    found: dict[Stratum | None, Influences] = {}
    for entry in pair.correlations("spearman"):
        if entry.scope == "within_cell":
            stratum = None if entry.dataset is None or entry.severity is None else (entry.dataset, entry.severity)
            nothing = (np.empty(0, dtype=np.intp), np.empty(0))
            found[stratum] = Influences(entry, *pair.influences.get(stratum, nothing))
    return found


def is_headline(entry: Correlation) -> bool:
    """Whether it is Spearman's rho within cells, over everything."""
    return (entry.scope, entry.statistic, entry.stratum) == ("within_cell", "spearman", None)


def _with_adjusted(found: list[Correlation], declared: Score | None) -> list[Correlation]:
    families: dict[tuple[str, str], list[int]] = {}
    for position, entry in enumerate(found):
        if not (is_headline(entry) and entry.score == declared):
            families.setdefault((entry.scope, entry.statistic), []).append(position)
    result = list(found)
    for members in families.values():
        for position, p in zip(members, adjust([found[i].p_value for i in members]), strict=True):
            result[position] = replace(found[position], p_adjusted=p)
    return result


def _with_permutations(
    found: list[Correlation], permuted: dict[Within, Permuted], declared: Score | None
) -> list[Correlation]:
    family = [key for key in permuted if key != (declared, None)]
    adjusted: dict[Within, float | None] = {}
    if family:
        p_values = max_t(np.asarray([permuted[key][0] for key in family]), np.stack([permuted[k][1] for k in family]))
        adjusted = dict(zip(family, p_values, strict=True))
    result = []
    for entry in found:
        stratum = None if entry.dataset is None or entry.severity is None else (entry.dataset, entry.severity)
        key = (entry.score, stratum)
        if (entry.scope, entry.statistic) == ("within_cell", "spearman") and key in permuted:
            entry = replace(entry, p_permutation=permutation_p(*permuted[key]), p_max_t=adjusted.get(key))
        result.append(entry)
    return result


def _grid(
    table: pd.DataFrame,
    scores: Mapping[str, Score],
    outcome: str,
    resamples: Resamples,
    statistics: Sequence[str],
    seed: int,
    progress: Progress | None,
    scopes: Sequence[str] = _SCOPES,
) -> tuple[list[Correlation], dict[Within, Permuted]]:
    y: Floats = table[outcome].to_numpy(dtype=np.float64)
    values = {column: table[column].to_numpy(dtype=np.float64) for column in scores}
    # Scores that the same trials have share the outcome's ranks.
    together: dict[bytes, list[str]] = {}
    for column, x in values.items():
        together.setdefault((np.isfinite(x) & np.isfinite(y)).tobytes(), []).append(column)
    chunks = [
        (np.frombuffer(present, dtype=bool), names[start : start + _CHUNK])
        for present, names in together.items()
        for start in range(0, len(names), _CHUNK)
    ]
    found: dict[str, list[Correlation]] = {}
    permuted: dict[Within, Permuted] = {}
    for position, (present, names) in enumerate(chunks):
        design = _Design(table, present, resamples, scopes)
        replicates = design.replicates(np.stack([values[name] for name in names]), y)
        for name, own in zip(names, replicates, strict=True):
            pair = _Pair(design, values[name], y, scores[name], outcome, own, seed)
            found[name] = [entry for statistic in statistics for entry in pair.correlations(statistic)]
        score_names = [scores[name] for name in names]
        permuted |= design.permuted(score_names, np.stack([values[name] for name in names]), y, seed)
        if progress is not None:
            progress(position + 1, len(chunks))
    return [entry for column in scores for entry in found[column]], permuted


@dataclass(frozen=True)
class _Sample:
    """Trials that are correlated with one another."""

    scope: str
    dataset: str | None
    severity: float | None
    method: str | None
    rows: Rows
    kept: Rows
    """Those of the rows that have both values."""


@dataclass(frozen=True)
class _Replicates:
    """One sample's rho without each of the clusters, in the bootstrap's replicates, and its sizes then."""

    deleted: Floats
    deleted_sizes: Floats
    drawn: Floats
    drawn_sizes: Floats


class _Design:
    """The samples of a table, for scores that the same trials have."""

    def __init__(self, table: pd.DataFrame, present: NDArray[np.bool_], resamples: Resamples, scopes: Sequence[str]):
        self.table, self.present, self.resamples, self.scopes = table, present, resamples, scopes
        self.cells = cell_rows(table)
        self.strata = strata_of(self.cells)
        everything = np.arange(len(table), dtype=np.intp)
        strata = {s: np.sort(np.concatenate([self.cells[c] for c in cells])) for s, cells in self.strata.items()}
        samples = {
            "pooled": [self._sample("pooled", everything)],
            "stratum": [self._sample("stratum", rows, *stratum) for stratum, rows in strata.items()],
            "cell": [self._sample("cell", rows, *cell) for cell, rows in self.cells.items()],
        }
        self.samples = {scope: found for scope, found in samples.items() if scope in scopes}

    def _sample(
        self,
        scope: str,
        rows: Rows,
        dataset: str | None = None,
        severity: float | None = None,
        method: str | None = None,
    ) -> _Sample:
        return _Sample(scope, dataset, severity, method, rows, rows[self.present[rows]])

    def replicates(self, x: Floats, y: Floats) -> list[list[dict[int, _Replicates]]]:
        """Per score and scope, by the sample's place."""
        clusters = self.resamples.counts.shape[1]
        # The jackknife's small differences need double precision; the bootstrap's draws do not.
        without = 1.0 - np.eye(clusters)
        drawn = self.resamples.counts.astype(np.float32)
        found: list[list[dict[int, _Replicates]]] = [[] for _ in x]
        for samples in self.samples.values():
            places = [i for i, sample in enumerate(samples) if len(sample.kept)]
            for own in found:
                own.append({})
            if not places:
                continue
            rows = np.concatenate([samples[i].kept for i in places])
            label = np.repeat(np.arange(len(places)), [len(samples[i].kept) for i in places])
            sample = (x[:, rows], y[rows], label, self.resamples.cluster[rows])
            (deleted, deleted_sizes), (boot, boot_sizes) = (weighted_spearman(*sample, w) for w in (without, drawn))
            for score, own in enumerate(found):
                for at, place in enumerate(places):
                    own[-1][place] = _Replicates(deleted[score, at], deleted_sizes[at], boot[score, at], boot_sizes[at])
        return found

    def permuted(self, scores: Sequence[Score], x: Floats, y: Floats, seed: int) -> dict[Within, Permuted]:
        """Fisher's z within cells under permutations, where it is defined and enough trials can change places."""
        cells = list(self.cells)
        kept = [rows[self.present[rows]] for rows in self.cells.values()]
        rows = np.concatenate(kept)
        cell = np.repeat(np.arange(len(cells)), [len(part) for part in kept])
        possible = exchanges(self.table.iloc[rows], cell, self.resamples.data_seed[rows])
        if not possible.enough:
            return {}
        strata: list[Stratum | None] = [None, *self.strata]
        groups = [np.asarray([i for i, c in enumerate(cells) if s is None or c[:2] == s]) for s in strata]
        n = len(self.resamples.counts)
        observed, drawn = permuted_z(x[:, rows], y[rows], cell, groups, possible, permutations=n, seed=seed)
        return {
            (score, stratum): (float(observed[i, j]), drawn[i, j])
            for i, score in enumerate(scores)
            for j, stratum in enumerate(strata)
            if np.isfinite(observed[i, j])
        }


class _Pair:
    """One localisation column against the outcome."""

    def __init__(
        self,
        design: _Design,
        x: Floats,
        y: Floats,
        score: Score,
        outcome: str,
        replicates: Sequence[Mapping[int, _Replicates]],
        seed: int,
    ):
        self.design, self.x, self.y, self.seed = design, x, y, seed
        self.resamples, self.cells = design.resamples, design.cells
        self.replicates = dict(zip(design.samples, replicates, strict=True))
        self.influences: dict[Stratum | None, tuple[NDArray[np.intp], Floats]] = {}
        self.head = dict(zip(("split", "metric", "attribution"), score, strict=True)) | {"outcome": outcome}

    def correlations(self, statistic: str) -> Iterator[Correlation]:
        samples: dict[Cell, RankCorrelation] = {}
        replicates: dict[Cell, _Replicates] = {}
        for scope, scope_samples in self.design.samples.items():
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
        for stratum, cells in self.design.strata.items():
            yield self._within(statistic, cells, samples, replicates, *stratum)
        if "between_methods" in self.design.scopes:
            yield from self._between(statistic)

    def _kendall(self, kept: Rows, own: _Replicates) -> _Replicates:
        """tau-b has the jackknife alone: without a data seed it is a difference of sums, for a draw it is not."""
        clusters, position = np.unique(self.resamples.cluster[kept], return_inverse=True)
        full = np.full(len(own.deleted), np.nan)
        full[clusters] = deleted_kendall(self.x[kept], self.y[kept], position, len(clusters))
        others = np.setdiff1d(np.arange(len(full)), clusters)
        if len(others):
            full[others] = rank_correlation(self.x[kept], self.y[kept], "kendall_tau_b").estimate
        nothing = np.empty(0)
        return _Replicates(full, own.deleted_sizes, nothing, nothing)

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
        kept = rows[self.design.present[rows]]
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
        replicates: dict[Cell, _Replicates],
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
            combined = _Replicates(deleted, np.empty(0), drawn, np.empty(0))
            weights = [(k, float(samples[c].n - LOST[statistic])) for k, c in zip(kept, usable, strict=True)]
            interval, influence = self._interval(found.estimate, combined, weights, statistic)
            fields |= interval
            if influence is not None and statistic == "spearman":
                self.influences[None if dataset is None or severity is None else (dataset, severity)] = influence
        return self._entry("within_cell", statistic, rows, dataset, severity, None, **fields)

    def _interval(
        self, estimate: float, replicates: _Replicates, parts: Sequence[tuple[Rows, float]], statistic: str
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
        for stratum, cells in self.design.strata.items():
            methods = [c[2] for c in cells if self.design.present[self.cells[c]].any()]
            entry = self._between_entry(statistic, [stratum], methods, *stratum)
            if entry.estimate is not None:
                usable.append(stratum)
            yield entry
        in_all = set.intersection(*({c[2] for c in self.design.strata[s]} for s in usable)) if usable else set()
        methods = [m for m in sorted(in_all) if all(self.design.present[self.cells[(*s, m)]].any() for s in usable)]
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
        if found.estimate is not None and self.resamples.enough(rows[self.design.present[rows]]):
            groups = [[self._kept((*s, m)) for m in methods] for s in strata]
            interval = percentile_interval(replicate_between(self.x, self.y, groups, self.resamples, statistic))
            if interval is not None:
                fields |= {"ci_low": interval[0], "ci_high": interval[1], "interval": "cluster_bootstrap"}
        return self._entry("between_methods", statistic, rows, dataset, severity, None, **fields)

    def _kept(self, cell: Cell) -> Rows:
        rows = self.cells[cell]
        return rows[self.design.present[rows]]

    def _means(self, stratum: Stratum, methods: list[str]) -> tuple[Floats, Floats]:
        kept = [self._kept((*stratum, method)) for method in methods]
        return method_means(self.x, kept), method_means(self.y, kept)
