"""Partial rank correlation: does the score add anything to performance without the shift?"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.answer.answer import Analysis
from analysis.answer.correlations import ID_AUC
from analysis.numbers import count, severity, stratum_name, with_interval
from analysis.sections.id_slopes import CELL, cells_with_slope, covariate_names, why_left_out
from analysis.sections.section import OTHER_WAYS, Section, absent_column, if_estimated, known_rows, no_interval
from analysis.sections.table import UNDEFINED, Table, estimated, p_value, remark, whole
from analysis.stats.cluster_bootstrap import Resamples
from analysis.stats.cluster_jackknife import MINIMUM_CLUSTERS, jackknife
from analysis.stats.estimate import UNDEFINED_WITHOUT_ONE, Estimate, too_few
from analysis.stats.rank_correlation import FISHER_D, Ints, combine_replicates
from analysis.stats.within_groups import WithoutEach, rank_correlation_without_each
from analysis.trials.design import Stratum

DETERMINED = "the covariate determines the ranks of the score or the outcome"


@dataclass(frozen=True, kw_only=True)
class PartialRankCorrelation(Estimate):
    """The correlation of two ranks without what the covariate explains, cells combined."""

    score: str
    outcome: str
    covariates: tuple[str, ...]
    """The ID score, and what makes a cell: each cell has a slope of its own."""
    dataset: str | None = None
    """None over all strata with a shift."""
    severity: float | None = None
    n: int = 0
    """Trials of the cells used."""
    n_missing: int = 0
    df: int = 0
    """Sum over cells of n − 3."""
    n_clusters: int = 0
    """Data seeds among the trials."""
    n_cells: int = 0
    left_out: dict[str, int] | None = None
    """Cells without a partial correlation, counted by reason."""
    p_value: float | None = None
    """Of a partial correlation of zero, by the method of the interval."""


@dataclass(frozen=True)
class _Cell:
    rows: Ints
    part: WithoutEach


def partial_rank_correlation(
    table: pd.DataFrame, score: str, outcome: str, resamples: Resamples, covariate: str = ID_AUC
) -> list[PartialRankCorrelation]:
    """Pearson's correlation of the least-squares residuals of two ranks given a third, within cells.

    In each cell score, outcome and covariate are turned to midranks, and both score and outcome to their residuals on
    the covariate's rank: (r_xy − r_xz r_yz) / sqrt((1 − r_xz²)(1 − r_yz²)) of Spearman's correlations (Kendall,
    Biometrika 32, 1942). Cells are combined by Fisher's z with weights n − 4, one less than without a covariate
    (Fisher, Metron 3, 1924). Trials in which anything is missing are left out and counted, and so are cells with
    fewer than 5 trials or where the covariate determines one of the ranks. Strata without a shift are left out too:
    there the covariate is the outcome.

    The interval is that of the delete-one-data-seed jackknife of Fisher's z, as for the correlations; it needs 6 data
    seeds on each dataset.

    Args:
        table: trials, as in `Trials.table`.
        resamples: of this table, for its data seeds.

    Returns:
        Over all strata with a shift first, then in each stratum. Values are in [−1, 1]; none, with the reason, where a
        column is absent or no cell has one.
    """
    head: dict[str, Any] = {"score": score, "outcome": outcome, "covariates": (covariate, *CELL)}
    reason = absent_column(table, (score, outcome, covariate))
    if reason is not None:
        return [PartialRankCorrelation(**head, n_missing=len(table), reason=reason)]
    rows, values = known_rows(table, (score, outcome, covariate))
    head["n_missing"] = len(table) - len(rows)
    kept, left_out = cells_with_slope(table, rows)
    strata: dict[Stratum, list[_Cell]] = {}
    determined = Counter[Stratum]()
    for cell, members in kept.items():
        own = rows[members]
        x, y, control = values[members].T
        part = rank_correlation_without_each(x, y, resamples.cluster[own], control)
        mine = strata.setdefault(cell[:2], [])
        if np.isfinite(part.rho[0]):
            mine.append(_Cell(own, part))
        else:
            determined[cell[:2]] += 1
    if determined:
        left_out[DETERMINED] = determined.total()
    overall = _combined(head, [part for mine in strata.values() for part in mine], left_out, resamples)
    return [
        overall,
        *(
            _combined(
                head | {"dataset": dataset, "severity": level},
                mine,
                {DETERMINED: determined[dataset, level]} if determined[dataset, level] else {},
                resamples,
            )
            for (dataset, level), mine in strata.items()
        ),
    ]


def _combined(
    head: dict[str, Any], cells: list[_Cell], left_out: dict[str, int], resamples: Resamples
) -> PartialRankCorrelation:
    if not cells:
        why = f"no cell has one ({why_left_out(left_out)})" if left_out else "no trial has all columns"
        return PartialRankCorrelation(**head, left_out=left_out, reason=why)
    rows = np.concatenate([cell.rows for cell in cells])
    clusters, cluster = np.unique(resamples.cluster[rows], return_inverse=True)
    estimates, sizes = [], []
    for part in (cell.part for cell in cells):
        where = np.append(0, 1 + np.searchsorted(clusters, part.clusters))
        estimate, weight = (np.full(1 + len(clusters), whole[0]) for whole in (part.rho, part.weight))
        estimate[where], weight[where] = part.rho, part.weight
        estimates.append(estimate)
        sizes.append(weight + FISHER_D["spearman"])
    combined = combine_replicates(estimates, sizes, "spearman")
    dataset = np.unique(resamples.dataset[clusters], return_inverse=True)[1]
    per_dataset = np.bincount(dataset[cluster]).astype(np.float64)
    first = [dataset[np.searchsorted(clusters, cell.part.clusters[0])] for cell in cells]
    weights = np.bincount(first, [cell.part.weight[0] for cell in cells]).astype(np.float64)
    interval: dict[str, Any] = {"interval_reason": too_few()}
    if resamples.fewest(rows) >= MINIMUM_CLUSTERS:
        result = jackknife(float(combined[0]), combined[1:], dataset, per_dataset, weights)
        interval = {"interval_reason": UNDEFINED_WITHOUT_ONE}
        if result is not None:
            interval = {"ci_low": result.low, "ci_high": result.high, "p_value": result.p_value}
    return PartialRankCorrelation(
        **head,
        n=len(rows),
        df=len(rows) - 3 * len(cells),
        n_clusters=resamples.n_clusters(rows),
        n_cells=len(cells),
        left_out=left_out,
        estimate=float(combined[0]),
        **interval,
    )


def _sentence(analysis: Analysis, result: tuple[PartialRankCorrelation, ...]) -> str:
    overall, *strata = result
    given = covariate_names(overall.covariates[:1])
    if overall.estimate is None:
        return f"Does the map add anything to performance without the shift? Not estimated: {overall.reason}."
    text = (
        f"Does the map add anything to performance without the shift? Given {given}, with a slope of its own in each "
        f"cell, the rank correlation within cells is {with_interval(overall)}, from "
        f"{count(overall.n_cells, 'cell')}.{no_interval(result[:1])}"
    )
    known = [part for part in strata if part.estimate is not None]
    if len(known) > 1:
        each = "; ".join(f"{stratum_name(part.dataset, part.severity)}: {with_interval(part)}" for part in known)
        text += f" Stratum by stratum: {each}."
    return text


def _table(result: tuple[PartialRankCorrelation, ...]) -> Table:
    left_out = result[0].left_out
    return Table(
        name="partial",
        title=TITLE,
        caption=(
            "Partial rank correlation of map score and outcome within cells, given "
            f"{covariate_names(result[0].covariates[:1])}, each cell with its own slope."
            + (f" Left out: {why_left_out(left_out)}." if left_out else "")
        ),
        headings=("dataset", "s", "partial ρ", "95 % interval", "p", "cells", "df", "n", UNDEFINED),
        rows=tuple(
            (
                (part.dataset, part.dataset or "all with a shift"),
                (part.severity, "" if part.severity is None else severity(part.severity)),
                *estimated(part),
                p_value(part.p_value),
                *map(whole, (part.n_cells, part.df, part.n)),
                remark(part.reason),
            )
            for part in result
        ),
        text_columns=2,
        fields=("dataset", "severity", "partial_rho", "interval", "p_value", "n_cells", "df", "n", "reason"),
        strong=True,
        fold=0,
    )


TITLE = "Beyond performance without the shift"
SECTION = Section(
    key="partial",
    title=TITLE,
    part=OTHER_WAYS,
    compute=lambda analysis: tuple(partial_rank_correlation(*analysis.data, analysis.resamples)),
    sentence=_sentence,
    tables=lambda analysis, result: [_table(result)],
    reported=if_estimated(
        "the partial rank correlation within cells given AUC on the in-distribution test set, with one slope per cell"
    ),
)
