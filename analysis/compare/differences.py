"""Differences between two sweeps in the primary's correlation and in the means of each cell.

Data depend on dataset, severity and data seed alone, so two sweeps have the same images for each (dataset, data seed)
that they share. All intervals are those of `Replicated.difference`, with one numbering of the data seeds for both.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from analysis.answer.answer import check_smallest_effect, comparisons_of
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


@dataclass(frozen=True, kw_only=True)
class Difference:
    """First minus second with its interval and two-sided p-value; None where undefined."""

    difference: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    """Benjamini-Hochberg over all differences of the same kind; None for the primary within all cells."""
    n_shared: int = 0
    """Number of data seeds in common."""
    reason: str | None = None
    """Why there is no difference or no interval."""


@dataclass(frozen=True, kw_only=True)
class CorrelationDifference(Difference):
    """Difference of the primary's rho within cells of a stratum, or of all, on the scale of Fisher's z = atanh(rho)."""

    stratum: str | None
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
    """How many trials are in both sweeps, matched by trial_key or configuration."""

    by: str
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
    """Compare the primary (the first sweep's) within cells, over all strata and per stratum, and each cell's means.

    Raises:
        AnalysisError: one of them lacks the primary's outcome, they have no localisation column in common, or the
            smallest effect of the two verdicts is not in (0, 1).
    """
    check_smallest_effect(smallest_effect)
    primary, notes = _common_primary(first, second)
    shared = _shared_resamples(first.table, second.table)
    sides = tuple(zip((first, second), shared, strict=True))
    one, other = (replicated_within_cells(t.table, primary.column, primary.outcome, r) for t, r in sides)
    verdicts = [
        verdict(comparisons_of(t, primary, r, smallest_effect=smallest_effect), primary, smallest_effect)
        for t, r in sides
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
        sentence=_sentence((first.sweep, second.sweep), within, strata, means),
        notes=tuple(notes),
    )


def _common_primary(first: Trials, second: Trials) -> tuple[Primary, list[str]]:
    wanted = first.primary or second.primary or Primary()
    notes = []
    if first.primary and second.primary and first.primary != second.primary:
        one, other = (f"{p.column!r} against {p.outcome!r}" for p in (first.primary, second.primary))
        notes.append(
            f"The two declare different primaries: {one} in {first.sweep}, which is compared here, and {other} in "
            f"{second.sweep}."
        )
    if all(wanted.column in t.table and wanted.outcome in t.table for t in (first, second)):
        return wanted, notes
    for trials in (first, second):
        if wanted.outcome not in trials.table:
            raise AnalysisError(f"{trials.source}: no column {wanted.outcome!r}, the primary's outcome")
    names, others = first.localisation_columns, second.localisation_columns
    common = [column for column in names if column in others]
    if not common:
        raise AnalysisError(
            f"nothing to compare: {first.source} and {second.source} have no localisation column in common; the first "
            f"has {', '.join(names)}, the second {', '.join(others)}"
        )
    split, metric, attribution = columns.parse_localisation(common[0]) or ("", "", "")
    notes.append(f"Not both have the column {wanted.column!r}, so {common[0]!r}, which both have, is compared.")
    return Primary(split, metric, attribution, wanted.outcome), notes


def _shared_resamples(first: pd.DataFrame, second: pd.DataFrame) -> tuple[Resamples, Resamples]:
    """One numbering of data seeds for both tables; nothing is drawn from it."""
    keys = ["dataset", "data_seed"]
    both = draw_resamples(pd.concat([first[keys], second[keys]], ignore_index=True), replicates=1, seed=0)
    of_first, of_second = (
        replace(both, cluster=both.cluster[rows], data_seed=both.data_seed[rows])
        for rows in (slice(len(first)), slice(len(first), None))
    )
    return of_first, of_second


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
        first, second = (None if each is None else each.whole for each in means)
        place: dict[str, Any] = dict(zip(("dataset", "severity", "method"), cell, strict=True))
        n_first, n_second = map(len, known)
        result = MeanDifference(column=column, **place, first=first, second=second, n_first=n_first, n_second=n_second)
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
    low, high = interval.bounds()
    return replace(result, ci_low=low, ci_high=high, p_value=interval.p_value)


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
    a, b = (both[[f"{c} {side}" for c in results]].set_axis(results, axis=1) for side in ("first", "second"))
    n, n_equal = len(both), int(((a == b) | (a.isna() & b.isna())).all(axis=1).sum())
    return Overlap(by, n, len(first) - n, len(second) - n, n_equal)


def _as_text(table: pd.DataFrame, name: str) -> pd.Series:
    """A setting as text, the same for 16 and 16.0; where it is missing, empty or its value under right masks."""
    column = table[name] if name in table else pd.Series(columns.CONTROLS.get(name), index=table.index)
    if pd.api.types.is_numeric_dtype(column):
        column = column.astype("float64")
    return column.astype(object).where(column.notna(), "").astype(str)


def _only_in_one(first: Trials, second: Trials) -> list[str]:
    sentences = []
    kinds = (("stratum", "strata", ["dataset", "severity"], stratum_name), ("method", "methods", ["method"], name))
    for one, other in ((first, second), (second, first)):
        for what, plural, names, label in kinds:
            keys, others = (set(t.table[names].itertuples(index=False, name=None)) for t in (one, other))
            if only := sorted(keys - others):
                listed = "; ".join(label(*key) for key in only)
                sentences.append(f"Only in {one.sweep}: {count(len(only), what, plural)} ({listed}).")
    return sentences


def _sentence(
    names: Sequence[str], within: CorrelationDifference, strata: Sequence[Difference], means: Sequence[Difference]
) -> str:
    both = " and ".join(f"{with_interval(c)} in {n}" for c, n in zip((within.first, within.second), names, strict=True))
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
        p_values = [d.p_adjusted for d in differences if d.p_adjusted is not None]
        if p_values:
            parts.append(f"{sum(p <= FALSE_DISCOVERIES for p in p_values):,} of {len(p_values):,} {what}")
    tail = f"; {' and '.join(parts)} differ (false discovery rate {FALSE_DISCOVERIES:g})" if parts else ""
    return f"{head}{tail}."
