"""Reliability of a score, and what the correlation would be without the noise of drawing test images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.answer.answer import Analysis
from analysis.numbers import column_name, number, with_interval
from analysis.sections.section import OTHER_WAYS, Section, if_estimated
from analysis.sections.table import UNDEFINED, Table, bounds, estimated, remark, value
from analysis.stats.cluster_bootstrap import Resamples
from analysis.stats.estimate import Estimate, jackknife_bounds
from analysis.stats.rank_correlation import Floats, combine_replicates
from analysis.stats.reweighted import weighted_spearman
from analysis.trials.design import cell_rows
from records import columns


@dataclass(frozen=True)
class Halves:
    """How well the two halves of the images agree on one score, within cells."""

    column: str
    correlation: float | None
    """Spearman's rho of the two half scores, cells combined."""
    reliability: float | None
    """Of the score on all images, at most 1."""
    n_cells: int
    """Cells in which the half scores have a correlation."""


@dataclass(frozen=True, kw_only=True)
class Reliability(Estimate):
    """The disattenuated correlation within cells, beside the raw one; `estimate` is the disattenuated one."""

    score: str
    outcome: str
    raw: float | None = None
    """Spearman's rho within cells of the same trials, as it is."""
    n: int = 0
    """Trials with both scores and all four half scores."""
    n_missing: int = 0
    n_clusters: int = 0
    halves: tuple[Halves, ...] = ()
    """Of the score and of the outcome."""


def reliability(table: pd.DataFrame, score: str, outcome: str, resamples: Resamples) -> Reliability:
    """rho / sqrt(reliability of the score x reliability of the outcome), each within cells.

    The images of a split are halved at random and scored by half, in the columns `<column>.half_1` and
    `<column>.half_2`. With r the correlation of the half scores over the trials of a cell, the whole score's
    reliability is 2r / (1 + r) (Spearman, Brown, Br. J. Psychol. 3, 1910), and the quotient is the correlation that
    scores without image noise would have (Spearman, Am. J. Psychol. 15, 1904). All three correlations are Spearman's
    rho in each cell, combined over cells as in within_cell.py; cells where one is undefined enter nothing.

    The quotient can exceed 1 in size, by chance or because both halves share what varies between trials beside the
    images; it is not cut. The interval is that of the delete-one-data-seed jackknife, t on (data seeds − datasets)
    degrees of freedom, all three correlations made anew each time.

    Returns:
        No estimate, with the reason, where a column is absent, no cell has a correlation, or a reliability is not
        positive.
    """
    pairs = [(score, outcome), *((columns.half(c, 1), columns.half(c, 2)) for c in (score, outcome))]
    needed = [name for pair in pairs for name in pair]
    absent = [name for name in needed if name not in table]
    if absent:
        names = ", ".join(map(repr, absent))
        why = f"no trial has the column{'s' if len(absent) > 1 else ''} {names}"
        return Reliability(score=score, outcome=outcome, n_missing=len(table), reason=why)
    values = np.column_stack([pd.to_numeric(table[name], errors="coerce") for name in needed]).astype(np.float64)
    rows = np.flatnonzero(np.isfinite(values).all(axis=1))
    head: dict[str, Any] = {
        "score": score,
        "outcome": outcome,
        "n": len(rows),
        "n_missing": len(table) - len(rows),
        "n_clusters": resamples.n_clusters(rows),
    }
    if not len(rows):
        return Reliability(**head, reason="no trial has both scores and their halves")
    clusters, cluster = np.unique(resamples.cluster[rows], return_inverse=True)
    # The first row of weights takes every trial, the others leave out one data seed each.
    weights = np.vstack([np.ones(len(clusters)), 1 - np.eye(len(clusters))])
    sample = _cell_numbers(table)[rows]
    correlations = [_within(values[rows, 2 * i], values[rows, 2 * i + 1], sample, cluster, weights) for i in range(3)]
    raw, halves = correlations[0][0], [pair[0] for pair in correlations[1:]]
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = [np.where(r > 0, 2 * r / (1 + r), np.nan) for r in halves]
        quotient = raw / np.sqrt(whole[0] * whole[1])
    head["raw"] = _finite(raw[0])
    head["halves"] = tuple(
        Halves(name, _finite(r[0]), _finite(w[0]), n_cells)
        for name, r, w, (_, n_cells) in zip((score, outcome), halves, whole, correlations[1:], strict=True)
    )
    if not np.isfinite(quotient[0]):
        return Reliability(**head, reason=_why_not(head["raw"], head["halves"]))
    estimate = float(quotient[0])
    interval = jackknife_bounds(estimate, quotient[1:], resamples.dataset[clusters])
    return Reliability(**head, estimate=estimate, **interval)


def _cell_numbers(table: pd.DataFrame) -> NDArray[np.intp]:
    numbers = np.empty(len(table), dtype=np.intp)
    for position, rows in enumerate(cell_rows(table).values()):
        numbers[rows] = position
    return numbers


def _within(
    x: Floats, y: Floats, sample: NDArray[np.intp], cluster: NDArray[np.intp], weights: Floats
) -> tuple[Floats, int]:
    """(the correlation within cells under each row of weights, cells that have one under the first)."""
    numbered = np.unique(sample, return_inverse=True)[1].astype(np.intp)
    rho, sizes = weighted_spearman(x[None, :], y, numbered, cluster.astype(np.intp), weights)
    return combine_replicates(list(rho[0]), list(sizes), "spearman"), int(np.isfinite(rho[0, :, 0]).sum())


def _why_not(raw: float | None, halves: tuple[Halves, ...]) -> str:
    if raw is None:
        return "no cell has a correlation"
    for half in halves:
        if half.correlation is None:
            return f"the halves of {half.column!r} have no correlation in any cell"
        if half.reliability is None:
            return f"the halves of {half.column!r} do not agree (correlation {half.correlation:.2f})"
    return "undefined"


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _sentence(analysis: Analysis, result: Reliability) -> str:
    if result.estimate is None:
        raw = "" if result.raw is None else f" (the raw correlation is {number(result.raw)})"
        return f"Not estimated: {result.reason}{raw}."
    return (
        f"Both scores are measured on finitely many images. Without that noise the correlation within cells, "
        f"{number(result.raw)} as measured, would be {with_interval(result)}."
    )


def _table(result: Reliability) -> Table:
    rows = [
        (
            (part.column, f"reliability of {column_name(part.column)}"),
            value(part.reliability),
            bounds(None, None),
            remark(None),
        )
        for part in result.halves
    ]
    rows += [
        (("raw", "ρ within cells, as measured"), value(result.raw), bounds(None, None), remark(None)),
        (
            ("disattenuated", "ρ within cells, without image noise"),
            *estimated(result),
            remark(result.reason),
        ),
    ]
    return Table(
        name="reliability",
        title=TITLE,
        caption=(
            "Reliability: the agreement of two random halves of the test images, stepped up to all of them "
            "(Spearman-Brown); 1 is no noise."
        ),
        headings=("quantity", "value", "95 % interval", UNDEFINED),
        rows=tuple(rows),
        text_columns=1,
        fields=("quantity", "value", "interval", "reason"),
        fold=0,
    )


TITLE = "How much of the map score and of performance is noise of the test images?"
SECTION = Section(
    key="reliability",
    title=TITLE,
    part=OTHER_WAYS,
    compute=lambda analysis: reliability(*analysis.data, analysis.resamples),
    sentence=_sentence,
    tables=lambda analysis, result: [_table(result)],
    reported=if_estimated(
        "the correlation within cells corrected for attenuation, with reliabilities from random halves of the test "
        "images (Spearman 1904)"
    ),
    citations={
        "Spearman 1904": "C. Spearman, The proof and measurement of association between two things. Am. J. Psychol. "
        "15, 1904, 72–101."
    },
)
