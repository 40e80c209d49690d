"""Differences between two sweeps in the primary's correlation and in the means of each cell.

Data depend on dataset, severity and data seed alone, so two sweeps have the same images for each (dataset, data seed)
that they share. All intervals are those of `Replicated.difference`, with one numbering of the data seeds for both
sweeps: with all data seeds in common the comparison is paired, with none it is unpaired.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import pandas as pd

from analysis.answer.answer import comparisons_of
from analysis.answer.correlations import replicated_within_cells
from analysis.answer.entry import Correlation
from analysis.answer.scopes import Placed
from analysis.answer.verdict import SMALLEST_EFFECT, Verdict, verdict
from analysis.errors import AnalysisError
from analysis.numbers import count, interval, name, number, p_value, stratum_name, with_interval
from analysis.stats.cluster_bootstrap import Resamples, draw_resamples
from analysis.stats.multiplicity import adjust
from analysis.stats.rank_correlation import LEVEL
from analysis.stats.replicated import Replicated, Scale, mean
from analysis.trials.design import cell_rows
from analysis.trials.trials import OUTCOME, Primary, Trials
from records import columns

D = TypeVar("D", bound="Difference")
FALSE_DISCOVERIES = 0.05
"""Accepted share of false discoveries among the reported differences."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """First minus second with its interval; None where one of the two, or the interval, is undefined."""

    difference: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    """Two-sided, of no difference."""
    p_adjusted: float | None = None
    """Benjamini-Hochberg over all differences of the same kind; None for the primary within all cells."""
    n_shared: int = 0
    """Number of data seeds in common."""
    reason: str | None = None
    """Why there is no difference or no interval."""


@dataclass(frozen=True, kw_only=True)
class CorrelationDifference(Difference):
    """Difference of the primary's rho within cells, on the scale of Fisher's z = atanh(rho)."""

    stratum: str | None
    """None for all strata."""
    first: Correlation
    second: Correlation


@dataclass(frozen=True, kw_only=True)
class MeanDifference(Difference):
    """Difference of one cell's mean of a column."""

    column: str
    dataset: str
    severity: float
    method: str
    first: float | None
    second: float | None
    n_first: int
    n_second: int


@dataclass(frozen=True)
class Overlap:
    """How many trials are in both sweeps."""

    by: str
    """How trials were matched: trial_key or configuration."""
    n_both: int
    n_first_only: int
    n_second_only: int
    n_equal: int
    """Trials in both whose outcome and score are equal bit for bit."""


@dataclass(frozen=True)
class SweepComparison:
    """Everything that the report of two sweeps needs."""

    first: Trials
    second: Trials
    primary: Primary
    first_verdict: Verdict
    second_verdict: Verdict
    within: CorrelationDifference
    strata: tuple[CorrelationDifference, ...]
    means: tuple[MeanDifference, ...]
    overlap: Overlap
    only_in_one: tuple[str, ...]
    """Strata and methods that one of the sweeps lacks, one sentence each."""
    sentence: str
    notes: tuple[str, ...]


def compare(first: Trials, second: Trials, *, smallest_effect: float = SMALLEST_EFFECT) -> SweepComparison:
    """Compare the primary within cells, over all strata and per stratum, and the means of each cell.

    Args:
        first, second: from `load_sweep`, `load_file` or `load_mlflow`; the primary is the first one's.
        smallest_effect: smallest correlation of interest, for the two verdicts; in (0, 1).

    Raises:
        AnalysisError: one of them lacks the primary's outcome, they have no localisation column in common, or the
            smallest effect is out of range.
    """
    if not 0 < smallest_effect < 1:
        raise AnalysisError(f"bad smallest effect {smallest_effect:g}: a rank correlation between 0 and 1, such as 0.3")
    primary, notes = _common_primary(first, second)
    shared = _shared_resamples(first.table, second.table)
    one, other = (
        replicated_within_cells(trials.table, primary.column, primary.outcome, resamples)
        for trials, resamples in zip((first, second), shared, strict=True)
    )
    verdicts = [
        verdict(comparisons_of(trials, primary, resamples, smallest_effect=smallest_effect), primary, smallest_effect)
        for trials, resamples in zip((first, second), shared, strict=True)
    ]
    within = _correlation_difference(one[None], other[None], None)
    strata = _adjusted(
        _correlation_difference(one[s], other[s], stratum_name(*s)) for s in one if s is not None and s in other
    )
    means = _adjusted(
        difference
        for column in dict.fromkeys((primary.outcome, OUTCOME, primary.column))
        if column in first.table and column in second.table
        for difference in _mean_differences((first.table, second.table), shared, column)
    )
    return SweepComparison(
        first=first,
        second=second,
        primary=primary,
        first_verdict=verdicts[0],
        second_verdict=verdicts[1],
        within=within,
        strata=strata,
        means=means,
        overlap=_overlap(first.table, second.table, primary),
        only_in_one=tuple(_only_in_one(first, second)),
        sentence=_sentence(first.sweep, second.sweep, within, strata, means),
        notes=tuple(notes),
    )


def _common_primary(first: Trials, second: Trials) -> tuple[Primary, list[str]]:
    wanted = first.primary or second.primary or Primary()
    notes = []
    if first.primary and second.primary and first.primary != second.primary:
        notes.append(
            f"The two declare different primaries: {first.primary.column!r} against {first.primary.outcome!r} in "
            f"{first.sweep}, which is compared here, and {second.primary.column!r} against "
            f"{second.primary.outcome!r} in {second.sweep}."
        )
    if all(wanted.column in t.table and wanted.outcome in t.table for t in (first, second)):
        return wanted, notes
    for trials in (first, second):
        if wanted.outcome not in trials.table:
            raise AnalysisError(f"{trials.source}: no column {wanted.outcome!r}, the primary's outcome")
    common = [c for c in first.localisation_columns if c in second.table]
    if not common:
        raise AnalysisError(
            f"nothing to compare: {first.source} and {second.source} have no localisation column in common; the first "
            f"has {', '.join(first.localisation_columns)}, the second {', '.join(second.localisation_columns)}"
        )
    split, metric, attribution = columns.parse_localisation(common[0]) or ("", "", "")
    notes.append(f"Not both have the column {wanted.column!r}, so {common[0]!r}, which both have, is compared.")
    return Primary(split, metric, attribution, wanted.outcome), notes


def _shared_resamples(first: pd.DataFrame, second: pd.DataFrame) -> tuple[Resamples, Resamples]:
    """One numbering of data seeds for both tables; nothing is drawn from it."""
    keys = ["dataset", "data_seed"]
    both = draw_resamples(pd.concat([first[keys], second[keys]], ignore_index=True), replicates=1, seed=0)
    n = len(first)
    return (
        replace(both, cluster=both.cluster[:n], data_seed=both.data_seed[:n]),
        replace(both, cluster=both.cluster[n:], data_seed=both.data_seed[n:]),
    )


def _correlation_difference(first: Placed, second: Placed, stratum: str | None) -> CorrelationDifference:
    result = CorrelationDifference(stratum=stratum, first=first.entry, second=second.entry)
    for placed in (first, second):
        if placed.entry.estimate is None:
            return replace(result, reason=placed.entry.reason)
    return _subtracted(result, first.rho, second.rho, "fisher")


def _mean_differences(
    tables: Sequence[pd.DataFrame], shared: Sequence[Resamples], column: str
) -> Iterator[MeanDifference]:
    """The difference of each cell that is in both tables."""
    cells = [cell_rows(table) for table in tables]
    values = [table[column].to_numpy(dtype=np.float64) for table in tables]
    for cell in (c for c in cells[0] if c in cells[1]):
        known = [rows[cell][np.isfinite(x[rows[cell]])] for x, rows in zip(values, cells, strict=True)]
        means = [
            mean(x[rows], seeds.cluster[rows], seeds.dataset) if len(rows) else None
            for x, rows, seeds in zip(values, known, shared, strict=True)
        ]
        dataset, level, method = cell
        result = MeanDifference(
            column=column,
            dataset=dataset,
            severity=level,
            method=method,
            first=None if means[0] is None else means[0].whole,
            second=None if means[1] is None else means[1].whole,
            n_first=len(known[0]),
            n_second=len(known[1]),
        )
        yield _subtracted(result, means[0], means[1])


def _subtracted(result: D, first: Replicated | None, second: Replicated | None, scale: Scale = "identity") -> D:
    """The result with the difference, its interval and p-value."""
    if first is None or second is None:
        return replace(result, reason="no value in one of the two")
    one, other = first.interval(scale), second.interval(scale)
    if one is None or other is None:
        why = first.no_interval or second.no_interval
        return replace(result, difference=first.on(scale).whole - second.on(scale).whole, reason=why)
    result = replace(result, difference=one.at - other.at)
    if scale == "fisher" and not (one.standard_error and other.standard_error):
        return replace(result, reason="one of the two does not change without any data seed")
    interval = first.difference(second, scale)
    result = replace(result, n_shared=int((first.present & second.present).sum()))
    if interval is None or not interval.standard_error:
        return replace(result, reason="no data seed makes a difference")
    return replace(result, ci_low=interval.low, ci_high=interval.high, p_value=interval.p_value)


def _adjusted(differences: Iterable[D]) -> tuple[D, ...]:
    differences = list(differences)
    p_values = adjust([d.p_value for d in differences])
    return tuple(replace(d, p_adjusted=p) for d, p in zip(differences, p_values, strict=True))


def _overlap(first: pd.DataFrame, second: pd.DataFrame, primary: Primary) -> Overlap:
    if all("trial_key" in t and t["trial_key"].notna().all() for t in (first, second)):
        by, names = "trial_key", ["trial_key"]
    else:
        by, names = "configuration", list(dict.fromkeys(columns.settings_in([*first, *second])))
    results = [primary.outcome, primary.column]
    one, other = (
        pd.DataFrame({n: _as_text(t, n) for n in names}).assign(**t[results]).drop_duplicates(names)
        for t in (first, second)
    )
    both = one.merge(other, on=names, suffixes=(" first", " second"))
    equal = np.ones(len(both), dtype=bool)
    for column in results:
        a, b = both[f"{column} first"], both[f"{column} second"]
        equal &= ((a == b) | (a.isna() & b.isna())).to_numpy()
    n = len(both)
    return Overlap(by, n, len(first) - n, len(second) - n, int(equal.sum()))


def _as_text(table: pd.DataFrame, name: str) -> pd.Series:
    """A setting as text that is the same for 16 and 16.0; empty where it is missing, or its value under right masks."""
    column = table[name] if name in table else pd.Series(columns.CONTROLS.get(name), index=table.index)
    if pd.api.types.is_numeric_dtype(column):
        column = column.astype("float64")
    return column.astype(object).where(column.notna(), "").astype(str)


def _only_in_one(first: Trials, second: Trials) -> list[str]:
    sentences = []
    for one, other in ((first, second), (second, first)):
        for what, plural, names in (("stratum", "strata", ["dataset", "severity"]), ("method", "methods", ["method"])):
            names_of_one, names_of_other = (
                set(map(tuple, t.table[names].drop_duplicates().to_numpy().tolist())) for t in (one, other)
            )
            only = sorted(names_of_one - names_of_other)
            if only:
                listed = "; ".join(stratum_name(*key) if what == "stratum" else name(key[0]) for key in only)
                sentences.append(f"Only in {one.sweep}: {count(len(only), what, plural)} ({listed}).")
    return sentences


def _sentence(
    first: str,
    second: str,
    within: CorrelationDifference,
    strata: Sequence[Difference],
    means: Sequence[Difference],
) -> str:
    both = f"{with_interval(within.first)} in {first} and {with_interval(within.second)} in {second}"
    what = "correlation of maps with performance within cells"
    if within.difference is None:
        head = f"The correlation of maps with performance cannot be compared: {within.reason}"
    elif within.p_value is None:
        head = f"The {what} is {both}, without an interval of the difference ({within.reason})"
    else:
        differ, p = within.p_value <= 1 - LEVEL, p_value(within.p_value)
        opening = f"They differ: the {what} is" if differ else f"No difference is seen in the {what}:"
        head = (
            f"{opening} {both} (difference of Fisher’s z {number(within.difference)}, 95 % interval "
            f"{interval(within.ci_low, within.ci_high)}, p {p if p.startswith('<') else f'= {p}'})"
        )
    parts = []
    for differences, what in ((strata, "strata"), (means, "cell means")):
        tested = [d for d in differences if d.p_adjusted is not None]
        if tested:
            n = sum(1 for d in tested if (d.p_adjusted or 0.0) <= FALSE_DISCOVERIES)
            parts.append(f"{n:,} of {len(tested):,} {what}")
    tail = f"; {' and '.join(parts)} differ (false discovery rate {FALSE_DISCOVERIES:g})" if parts else ""
    return f"{head}{tail}."
