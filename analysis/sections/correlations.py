"""The primary's correlations: at every scope, the deciding one first."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from operator import itemgetter
from typing import Any

from analysis.answer.answer import Analysis
from analysis.answer.correlations import ID_AUC, within_cells
from analysis.answer.entry import Correlation
from analysis.numbers import column_name, count, number, stratum_name, with_interval
from analysis.numbers import p_value as written_p
from analysis.sections.section import CORRELATIONS, Section
from analysis.sections.table import Column, Table, decimals, estimates, inside, intervals, p_values, words
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.stats.rank_correlation import STATISTICS


def with_both(*columns: Column) -> tuple[Column, ...]:
    """These columns of rho, then both statistics; a row of the table is one of `pairs_of`."""
    ps = p_values(), p_values("p_adjusted", "p, adjusted")
    tau = decimals("tau_b", "τ-b", "estimate"), intervals("tau_b_interval", "95 % interval of τ-b")
    return (
        *inside(itemgetter(0), *columns, *estimates("rho", "ρ", interval="rho_interval"), *ps),
        *inside(itemgetter(1), *tau, Column("n", "n"), Column("n_clusters", "data seeds")),
    )


def pairs_of(correlations: Iterable[Correlation]) -> list[tuple[Correlation, Correlation]]:
    """(Spearman, Kendall) of the same score, scope and stratum."""
    pairs: dict[tuple[Any, ...], dict[str, Correlation]] = {}
    for c in correlations:
        pairs.setdefault((*c.score, c.scope, c.stratum), {})[c.statistic] = c
    return [(both[STATISTICS[0]], both[STATISTICS[1]]) for both in pairs.values()]


def degenerate(analysis: Analysis) -> dict[str, int]:
    """The primary's cells without a correlation, counted by reason."""
    cells = [c for c in analysis.primary_correlations if (c.scope, c.statistic) == ("cell", "spearman")]
    return dict(sorted(Counter(c.reason for c in cells if c.reason is not None).items()))


@dataclass(frozen=True)
class UnderShift:
    """AUC on the ID test set against the outcome within cells, in strata with a shift: without one they are alike."""

    reference_under_shift: Correlation | None
    """None for tables without that AUC or without a shift."""


def _under_shift(analysis: Analysis) -> UnderShift:
    table, _, outcome = analysis.data
    shifted = table[table["severity"] > 0].reset_index(drop=True)
    if not analysis.reference or shifted.empty:
        return UnderShift(None)
    resamples = draw_resamples(shifted, replicates=analysis.replicates, seed=analysis.seed)
    return UnderShift(within_cells(shifted, ID_AUC, outcome, resamples, seed=analysis.seed))


def _sentence(analysis: Analysis, result: UnderShift) -> str:
    within = analysis.find("within_cell")
    if within is None:
        return f"The primary, {analysis.primary_name}, is in no trial."
    parts = [
        f"{analysis.primary_name} against {column_name(analysis.primary.outcome)}, whatever varies between the trials "
        "of the scope. The comparisons above say what varies; none of these rows decides."
    ]
    if within.p_permutation is not None:
        parts.append(
            "With the map scores permuted at random within each cell, data seeds kept whole, a correlation at least "
            f"this large has probability {written_p(within.p_permutation)}."
        )
    return "\n\n".join([" ".join([*parts, _power(analysis)]), *_reference(analysis, result.reference_under_shift)])


def _power(analysis: Analysis) -> str:
    power = analysis.power
    if power.within_cell is None:
        return "No cell has a correlation, so none could have been detected."
    text = (
        f"With cells combined, this sweep could detect a correlation of {number(power.within_cell)} or more in "
        f"size (two-sided, level {power.alpha:g}, power {power.power:g}) if its trials were independent"
    )
    if power.within_cell_clustered is not None:
        text += f", and of {number(power.within_cell_clustered)} given that trials share data seeds"
    if power.typical_cell is not None:
        trials = count(power.typical_cell_n or 0, "trial")
        text += f"; within a single cell of {trials}, only one of {number(power.typical_cell)} or more"
    return text + "."


def _reference(analysis: Analysis, overall: Correlation | None) -> list[str]:
    strata = analysis.reference[1:]
    if overall is None:
        return []
    if overall.estimate is None:
        return [f"For comparison, the AUC on the ID test set has no correlation with the outcome: {overall.reason}."]
    each = "; ".join(f"{_where(c)}: {with_interval(c)}" for c in strata)
    return [
        "For comparison, the AUC on the ID test set, which needs neither map nor mask, has a correlation of "
        f"{with_interval(overall)} with the outcome within cells of strata with a shift."
        f"{f' Stratum by stratum: {each}.' if len(strata) > 1 else ''}"
    ]


def _table(analysis: Analysis) -> Table:
    """All of the primary's correlations but those of single cells; the pooled one comes last."""
    order = ("within_cell", "stratum", "between_methods", "pooled")
    pairs = [pair for pair in pairs_of(analysis.primary_correlations) if pair[0].scope in order]
    return Table(
        name="correlations_by_scope",
        title="The primary’s correlations",
        caption=(
            "n counts trials; between methods it counts methods, and the comparison of methods above has the interval. "
            "p is adjusted over all scores and strata of its scope (Benjamini-Hochberg)."
        ),
        columns=with_both(words("scope", "scope"), words("stratum", "where", _where, text=str)),
        rows=sorted(pairs, key=lambda pair: (order.index(pair[0].scope), pair[0].stratum is not None)),
        group=1,
        strong=True,
        fold=12,
    )


def _where(rho: Correlation) -> str:
    return "all" if rho.stratum is None else stratum_name(rho.dataset, rho.severity)


def _heterogeneity(analysis: Analysis) -> str:
    within = analysis.find("within_cell")
    if within is None or within.q is None:
        return ""
    return (
        f"Q = {number(within.q, 1)} on {(within.n_cells or 1) - 1} degrees of freedom and I² = "
        f"{number(100 * (within.i_squared or 0), 0)} % (Higgins & Thompson 2002)"
    )


def _method(analysis: Analysis, result: UnderShift) -> dict[str, str]:
    heterogeneity = _heterogeneity(analysis)
    return {
        "Rank correlation": (
            "Spearman’s ρ with midranks for ties, and Kendall’s τ-b (Kendall 1945), from −1 to 1. It is undefined with "
            "fewer than 4 trials (5 for τ-b) or a constant column; it is then left out and counted, never filled in."
        ),
        "Within cells": (
            "Each cell’s correlation becomes z = atanh ρ, with |ρ| clipped at 0.999, and z is averaged with weight n − "
            "3 (n − 4 for τ-b); the result is tanh of the average. Its standard error is √(1.06 / Σw), with 0.437 for "
            f"τ-b (Fieller, Hartley & Pearson 1957).{heterogeneity and f' Heterogeneity: {heterogeneity}.'}"
        ),
        "Between methods": (
            "Spearman’s ρ of the methods’ means. Its p-value counts the orderings of the methods whose |ρ| is at least "
            "as large: all orderings of up to 8 methods, 20,000 drawn ones of more. Over several strata the "
            "correlations are averaged and the labels permuted jointly."
        ),
        "Intervals": (
            "Trials that share a data seed share their images, so data seeds are the independent units. Each estimate "
            "is computed again without each data seed in turn, correlations on Fisher’s z scale, and the interval is "
            "Student’s t on Satterthwaite’s degrees of freedom (MacKinnon, Nielsen & Webb 2023). It needs 6 data seeds "
            "on each dataset."
        ),
        "Many comparisons": (
            f"{_how_chosen(analysis)} {'All' if analysis.stands_in else 'The other'} correlations are adjusted for the "
            "false discovery rate over all scores and strata of the same scope and statistic (Benjamini & Hochberg "
            "1995)."
        ),
    }


def _how_chosen(analysis: Analysis) -> str:
    if analysis.stands_in:
        return "The primary was not declared beforehand: it stands in for one that the table lacks."
    if analysis.trials.primary is None:
        return "No primary was declared; the default does not depend on the data."
    return "The primary was declared beforehand."


def _reported(analysis: Analysis, result: UnderShift) -> str:
    heterogeneity = _heterogeneity(analysis)
    return (
        "Spearman’s ρ was computed within each cell (dataset × severity × method; midranks for ties) and combined by "
        "Fisher’s z with weights n − 3 (Fieller, Hartley & Pearson 1957)"
        f"{f', heterogeneity by {heterogeneity}' if heterogeneity else ''}; cells in which either score is constant or "
        "that have fewer than 4 runs were left out and counted, and no value was imputed. "
        f"{_intervals(analysis.find('within_cell'))}{_adjusted(analysis)}"
    )


def _intervals(within: Correlation | None) -> str:
    if within is not None and within.interval == "cluster_jackknife":
        return (
            "Runs that share a data seed share their images, so 95 % intervals come from the delete-one-data-seed "
            "jackknife, of correlations on Fisher’s z scale, with Student’s t on Satterthwaite’s degrees of freedom "
            "(MacKinnon, Nielsen & Webb 2023)."
        )
    if within is None or within.interval is None:
        return f"There is no interval ({within and (within.reason or within.interval_reason)})."
    if within.n == within.n_clusters:
        return "No two runs of a cell share a data seed; 95 % intervals are those of Fisher’s z."
    return (
        "No data seed makes a difference to the correlation, so its 95 % interval is that of Fisher’s z for as many "
        "runs as there are data seeds."
    )


def _adjusted(analysis: Analysis) -> str:
    """How p-values within cells were adjusted; without intervals there are none."""
    if not any(c.scope == "within_cell" and c.p_adjusted is not None for c in analysis.correlations):
        return ""
    return (
        f" The p-values of {'all' if analysis.stands_in else 'the other'} localisation scores and strata were adjusted "
        "by the false discovery rate (Benjamini & Hochberg 1995)."
    )


SECTION = Section(
    key="primary_correlations",
    title="The primary’s correlations",
    part=CORRELATIONS,
    compute=_under_shift,
    content=asdict,
    sentence=_sentence,
    tables=lambda analysis, result: [_table(analysis)],
    method=_method,
    reported=_reported,
)
