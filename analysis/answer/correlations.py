"""The grid of correlations: every localisation score against the outcome, at every scope, by both statistics.

Scopes: `pooled` mixes all trials; `stratum` takes one (dataset, severity), `cell` one (dataset, severity, method);
`within_cell` combines cells, over everything (no stratum) and per stratum; `between_methods` correlates the methods'
means, per stratum and averaged over strata. Only `within_cell` is free of the effects of methods and severities on both
scores; the pooled value can even have the opposite sign (Simpson's paradox).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.answer.entry import Correlation, Score, is_headline
from analysis.answer.scopes import Pair, Placed, Samples
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


def correlate(
    table: pd.DataFrame,
    outcome: str,
    resamples: Resamples,
    *,
    seed: int,
    primary: Primary | None = None,
    progress: Progress | None = None,
) -> list[Correlation]:
    """Every correlation of the table's localisation columns with the column `outcome`, p-values adjusted.

    Args:
        resamples: draws over the data seeds of this table.
        seed: of the permutations, as many as the resamples have replicates.
        primary: the score, if any, whose correlation within all cells is not adjusted, since it was declared.
        progress: called after each score.
    """
    scores = {str(c): s for c in table.columns if (s := columns.parse_localisation(str(c))) is not None}
    entries = _grid(table, scores, outcome, resamples, STATISTICS, seed, progress)
    declared = None if primary is None else (primary.split, primary.metric, primary.attribution)
    families: dict[tuple[str, str], list[int]] = {}
    for position, entry in enumerate(entries):
        if not (is_headline(entry) and entry.score == declared):
            families.setdefault((entry.scope, entry.statistic), []).append(position)
    for members in families.values():
        for position, p in zip(members, adjust([entries[i].p_value for i in members]), strict=True):
            entries[position] = replace(entries[position], p_adjusted=p)
    return entries


def reference(table: pd.DataFrame, outcome: str, resamples: Resamples, *, seed: int) -> tuple[Correlation, ...]:
    """Spearman's rho within cells of AUC on the ID test set with the outcome, over everything, then in each stratum.

    Its metric is "auc" and its attribution empty. None without that column.
    """
    if ID_AUC not in table or outcome == ID_AUC:
        return ()
    return _within_cells(table, ID_AUC, outcome, resamples, seed)


def within_cells(table: pd.DataFrame, column: str, outcome: str, resamples: Resamples, *, seed: int) -> Correlation:
    """Spearman's rho within all cells of one column with the outcome, without the rest of the grid."""
    return _within_cells(table, column, outcome, resamples, seed)[0]


def _within_cells(
    table: pd.DataFrame, column: str, outcome: str, resamples: Resamples, seed: int
) -> tuple[Correlation, ...]:
    """The same, followed by its strata."""
    split, _, measure = column.partition(".")
    score = columns.parse_localisation(column) or (split, measure, "")
    entries = _grid(table, {column: score}, outcome, resamples, ("spearman",), seed, None, ("cell", "within_cell"))
    return tuple(entry for entry in entries if entry.scope == "within_cell")


def replicated_within_cells(
    table: pd.DataFrame, column: str, outcome: str, resamples: Resamples
) -> dict[Stratum | None, Placed]:
    """Spearman's rho within cells of one column, with its replicates, over everything (None) and per stratum."""
    x, y = (table[name].to_numpy(dtype=np.float64) for name in (column, outcome))
    samples = Samples(table, np.isfinite(x) & np.isfinite(y), resamples, ("cell", "within_cell"))
    pair = Pair(samples, x, y, columns.parse_localisation(column) or ("", column, ""), outcome, seed=0)
    return {p.entry.place: p for p in pair.correlations("spearman") if p.entry.scope == "within_cell"}


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
    # Scores that the same trials have share the outcome's ranks and permutations.
    together: dict[bytes, list[str]] = {}
    for column, x in values.items():
        together.setdefault((np.isfinite(x) & np.isfinite(y)).tobytes(), []).append(column)
    by_column: dict[str, list[Correlation]] = {}
    for present, names in together.items():
        samples = Samples(table, np.frombuffer(present, dtype=bool), resamples, scopes)
        p_values = samples.p_permutation([scores[n] for n in names], np.stack([values[n] for n in names]), y, seed)
        for name in names:
            pair = Pair(samples, values[name], y, scores[name], outcome, seed)
            entries = [placed.entry for statistic in statistics for placed in pair.correlations(statistic)]
            by_column[name] = [
                replace(entry, p_permutation=p_values.get((entry.score, entry.place)))
                if (entry.scope, entry.statistic) == ("within_cell", "spearman")
                else entry
                for entry in entries
            ]
            if progress is not None:
                progress(len(by_column), len(scores))
    return [entry for column in scores for entry in by_column[column]]
