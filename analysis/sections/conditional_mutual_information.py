"""Normalised conditional mutual information between the order of a score and the order of the outcome."""

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.answer.answer import Analysis
from analysis.numbers import column_name, percent
from analysis.sections.granulated_kendall import JIANG
from analysis.sections.section import OTHER_WAYS, Section, absent_column, if_estimated
from analysis.sections.table import Entry, Table, value, whole
from analysis.stats.rank_correlation import Floats
from analysis.trials.design import Codes, design_of

MOST_AXES = 2
"""Axes conditioned on at most."""
MOST_CONFIGURATIONS = 1500
"""Beyond it the pairs (2 million) are too many to list."""
_DECIMALS = 12  # equal means are equal to the last bit


@dataclass(frozen=True)
class Conditioning:
    """The information given the two configurations' values on some axes."""

    axes: tuple[str, ...]
    information: float
    """I(S), in nats."""
    entropy: float
    """H(S), in nats."""
    ratio: float | None
    """I(S) / H(S) in [0, 1]; None where H is zero."""
    n_cells: int
    """Pairs of value combinations that occur."""


@dataclass(frozen=True)
class ConditionalMutualInformation:
    """The score and every I(S) / H(S) it is the smallest of; None, with a reason, where undefined."""

    score: str
    outcome: str
    estimate: float | None
    n: int
    """Trials with both scores."""
    n_configurations: int
    n_pairs: int
    """Ordered pairs of distinct configurations of one dataset."""
    conditionings: tuple[Conditioning, ...] = ()
    reason: str | None = None
    interval_reason: str = "information is biased upward in every resample, so a bootstrap interval would not cover it"


def conditional_mutual_information(table: pd.DataFrame, score: str, outcome: str) -> ConditionalMutualInformation:
    """min over sets S of at most two axes of I(V_mu; V_g | S) / H(V_g | S).

    Over ordered pairs of distinct configurations of one dataset, scores averaged over seeds first, V_mu = 1[mu_1 >
    mu_2] and V_g = 1[g_1 > g_2]: a tie counts as "not greater". The cell u of a pair is the values of both
    configurations on S, with n_u of the N pairs; I(S) = sum_u (n_u / N) MI_u(V_mu; V_g) and H(S) = sum_u (n_u / N)
    H_u(V_g). 0: given some S, the score's order is uninformative about the outcome's; 1: it determines it, given any S.

    Source: Jiang et al., ICLR 2020, arXiv 1912.02178, section 4, in its count-weighted form. Sets with H(S) = 0 (each
    pair alone in its cell, or one order only) are reported and take no part in the minimum. Trials in which either
    score is missing are left out. Axes and configurations are those of analysis/trials.

    The plain estimate of an information is biased upward, by about 1 / (2 n_u) nats a cell; with as many cells as
    pairs it is uninformative, so read it beside the number of pairs.
    """
    reason = absent_column(table, (score, outcome))
    if reason is not None:
        return ConditionalMutualInformation(score, outcome, None, 0, 0, 0, reason=reason)
    values = table[[score, outcome]].to_numpy(dtype=np.float64)
    rows = np.flatnonzero(np.isfinite(values).all(axis=1))
    design = design_of(table.iloc[rows])
    first, configuration = np.unique(design.configurations(), return_index=True, return_inverse=True)[1:]
    n_configurations = len(first)
    head = (score, outcome, None, len(rows), n_configurations)
    if n_configurations > MOST_CONFIGURATIONS:
        reason = f"{n_configurations:,} configurations, more than {MOST_CONFIGURATIONS:,}"
        return ConditionalMutualInformation(*head, 0, reason=reason)
    sizes = np.bincount(configuration, minlength=n_configurations)
    mu, g = (
        np.round(np.bincount(configuration, weights=values[rows, k], minlength=n_configurations) / sizes, _DECIMALS)
        for k in (0, 1)
    )
    one, two = _ordered_pairs(design.dataset[first])
    if not len(one):
        return ConditionalMutualInformation(*head, 0, reason="no two configurations of one dataset")
    order = 2 * (mu[one] > mu[two]) + (g[one] > g[two])
    conditionings = []
    for size in range(min(MOST_AXES, len(design.axes)) + 1):
        for axes in itertools.combinations(design.axes, size):
            value = np.zeros(n_configurations, dtype=np.intp)
            for axis in axes:
                codes = design.codes[axis][first]
                value = np.unique(value * (int(codes.max()) + 1) + codes, return_inverse=True)[1]
            conditionings.append(_conditioning(axes, value[one] * (int(value.max()) + 1) + value[two], order))
    ratios = [c.ratio for c in conditionings if c.ratio is not None]
    return ConditionalMutualInformation(
        score,
        outcome,
        min(ratios) if ratios else None,
        len(rows),
        n_configurations,
        len(one),
        tuple(conditionings),
        None if ratios else "the outcome is the same in all configurations",
    )


def _ordered_pairs(dataset: Codes) -> tuple[Codes, Codes]:
    one, two = np.nonzero((dataset[:, None] == dataset[None, :]) & ~np.eye(len(dataset), dtype=bool))
    return one, two


def _conditioning(axes: tuple[str, ...], cell: Codes, order: Codes) -> Conditioning:
    n_cells = int(cell.max()) + 1
    counts = np.bincount(4 * cell + order, minlength=4 * n_cells).reshape(n_cells, 2, 2).astype(np.float64)
    total = counts.sum()
    of_cell, of_mu, of_g = counts.sum(axis=(1, 2)), counts.sum(axis=2), counts.sum(axis=1)
    # Sums of n log n over tables and margins: I = joint + all − margins, H = all − margin of g, each over N.
    joint, all_, mu, g = (_n_log_n(part) for part in (counts, of_cell, of_mu, of_g))
    information, entropy = max(0.0, (joint + all_ - mu - g) / total), max(0.0, (all_ - g) / total)
    ratio = float(min(1.0, information / entropy)) if entropy > 1e-12 else None
    return Conditioning(axes, float(information), float(entropy), ratio, int((of_cell > 0).sum()))


def _n_log_n(counts: Floats) -> float:
    several = counts[counts > 1]  # of 0 and 1 the term is zero
    return float(several @ np.log(several))


def _sentence(analysis: Analysis, result: ConditionalMutualInformation) -> str:
    if result.estimate is None:
        return f"Not estimated: {result.reason}."
    least = min((c for c in result.conditionings if c.ratio is not None), key=lambda c: c.ratio or 0.0)
    known = " and ".join(map(column_name, least.axes))
    where = f"when {known} of both configurations is known" if known else "when nothing else is known"
    return (
        f"The order of two configurations’ map scores has at least {percent(result.estimate, 1)} of the information "
        f"about which of them performs better; it has least {where}."
    )


def _table(result: ConditionalMutualInformation) -> Table:
    rows: list[tuple[Entry, ...]] = [
        (
            (" ".join(part.axes), " and ".join(map(column_name, part.axes)) or "nothing"),
            value(part.information, 4),
            value(part.entropy, 3),
            value(part.ratio, 3),
            whole(part.n_cells),
        )
        for part in result.conditionings
    ]
    return Table(
        name="conditional_mutual_information",
        title=TITLE,
        caption=(
            f"Over {result.n_pairs:,} ordered pairs of {result.n_configurations:,} configurations: the information (in "
            "nats) that the order of the map scores gives about the order of performance, as a share of its entropy. "
            "The smallest share counts. A small information in many groups of few pairs is chance."
        ),
        headings=("given", "information", "entropy", "share", "groups of pairs"),
        rows=tuple(rows or [((None, result.reason or ""), *[value(None)] * 4)]),
        text_columns=1,
        fields=("given", "information", "entropy", "ratio", "n_cells"),
        fold=0,
    )


TITLE = "How much does the map tell, whatever is known about the settings?"
SECTION = Section(
    key="conditional_mutual_information",
    title=TITLE,
    part=OTHER_WAYS,
    compute=lambda analysis: conditional_mutual_information(*analysis.data),
    sentence=_sentence,
    tables=lambda analysis, result: [_table(result)],
    reported=if_estimated("the conditional mutual information of the two orders, normalised (Jiang et al. 2020)"),
    citations=JIANG,
)
