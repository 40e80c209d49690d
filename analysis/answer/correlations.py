"""The grid of correlations: every localisation score against the outcome, at every scope, by both statistics.

Scopes: `pooled` mixes all trials; `stratum` takes one (dataset, severity), `cell` one (dataset, severity,
method); `within_cell` combines cells, over everything (no stratum) and per stratum; `between_methods`
correlates the methods' means, per stratum and averaged over strata. Only `within_cell` is free of what methods and
severities do to both scores; the pooled value can even have the opposite sign (Simpson's paradox).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.answer.entry import Correlation, Score, is_headline
from analysis.answer.scopes import Pair, Placed, Samples, Within
from analysis.stats.cluster_bootstrap import Resamples
from analysis.stats.multiplicity import adjust
from analysis.stats.rank_correlation import STATISTICS, Floats
from analysis.trials.design import Stratum
from analysis.trials.trials import Primary
from records import columns

Progress = Callable[[int, int], None]
"""Called with how many parts are done, of how many."""
ID_AUC = columns.performance("test_id", "auc")
"""The baseline a map has to beat: it needs neither map nor mask."""

_SCOPES = ("pooled", "stratum", "cell", "within_cell", "between_methods")
_CHUNK = 5
"""Scores computed together: enough to share the outcome's ranks, few enough to show progress."""


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
        primary: the score whose correlation within all cells is not adjusted, since it was fixed before there were
            data; None where there is no such score.
        progress: called after each part of the work.
    """
    scores = {str(c): s for c in table.columns if (s := columns.parse_localisation(str(c))) is not None}
    declared = None if primary is None else (primary.split, primary.metric, primary.attribution)
    return _with_adjusted(_grid(table, scores, outcome, resamples, STATISTICS, seed, progress), declared)


def reference(table: pd.DataFrame, outcome: str, resamples: Resamples, *, seed: int) -> tuple[Correlation, ...]:
    """Spearman's rho within cells of AUC on the ID test set with the outcome; none without that column.

    Its metric is "auc" and its attribution empty. Over everything first, then in each stratum: where there is no shift,
    performance with it is performance without it.
    """
    if ID_AUC not in table or outcome == ID_AUC:
        return ()
    return _within_cells(table, ID_AUC, outcome, resamples, seed=seed)


def within_cells(table: pd.DataFrame, column: str, outcome: str, resamples: Resamples, *, seed: int) -> Correlation:
    """Spearman's rho within all cells of one column with the outcome, without the rest of the grid."""
    return _within_cells(table, column, outcome, resamples, seed=seed)[0]


def _within_cells(
    table: pd.DataFrame, column: str, outcome: str, resamples: Resamples, *, seed: int
) -> tuple[Correlation, ...]:
    """The same, followed by its strata."""
    split, _, measure = column.partition(".")
    score = columns.parse_localisation(column) or (split, measure, "")
    entries = _grid(table, {column: score}, outcome, resamples, ("spearman",), seed, None, ("cell", "within_cell"))
    within = [c for c in entries if c.scope == "within_cell"]
    return tuple(sorted(within, key=lambda c: not is_headline(c)))


def replicated_within_cells(
    table: pd.DataFrame, column: str, outcome: str, resamples: Resamples
) -> dict[Stratum | None, Placed]:
    """Spearman's rho within cells of one column, with its replicates, over everything (None) and per stratum."""
    x, y = (table[name].to_numpy(dtype=np.float64) for name in (column, outcome))
    samples = Samples(table, np.isfinite(x) & np.isfinite(y), resamples, ("cell", "within_cell"))
    score = columns.parse_localisation(column) or ("", column, "")
    pair = Pair(samples, x, y, score, outcome, seed=0)
    return {
        _stratum(placed.entry): placed
        for placed in pair.correlations("spearman")
        if placed.entry.scope == "within_cell"
    }


def _stratum(entry: Correlation) -> Stratum | None:
    return None if entry.dataset is None or entry.severity is None else (entry.dataset, entry.severity)


def _with_adjusted(entries: list[Correlation], declared: Score | None) -> list[Correlation]:
    families: dict[tuple[str, str], list[int]] = {}
    for position, entry in enumerate(entries):
        if not (is_headline(entry) and entry.score == declared):
            families.setdefault((entry.scope, entry.statistic), []).append(position)
    result = list(entries)
    for members in families.values():
        for position, p in zip(members, adjust([entries[i].p_value for i in members]), strict=True):
            result[position] = replace(entries[position], p_adjusted=p)
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
) -> list[Correlation]:
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
    by_column: dict[str, list[Correlation]] = {}
    for position, (present, names) in enumerate(chunks):
        samples = Samples(table, present, resamples, scopes)
        p_values = samples.p_permutation([scores[n] for n in names], np.stack([values[n] for n in names]), y, seed)
        for name in names:
            pair = Pair(samples, values[name], y, scores[name], outcome, seed)
            entries = [placed.entry for statistic in statistics for placed in pair.correlations(statistic)]
            by_column[name] = [_with_permutation(entry, p_values) for entry in entries]
        if progress is not None:
            progress(position + 1, len(chunks))
    return [entry for column in scores for entry in by_column[column]]


def _with_permutation(entry: Correlation, p_values: Mapping[Within, float]) -> Correlation:
    if (entry.scope, entry.statistic) != ("within_cell", "spearman"):
        return entry
    return replace(entry, p_permutation=p_values.get((entry.score, _stratum(entry))))
