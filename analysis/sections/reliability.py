"""Reliability of a score, and what the correlation would be without the noise of drawing test images."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.answer.answer import Analysis
from analysis.numbers import column_name, count, name, number, severity, stratum_name, with_interval
from analysis.sections.section import OTHER_WAYS, Section, if_estimated, known_rows
from analysis.sections.table import UNDEFINED, Table, estimated, remark, value, whole
from analysis.stats.cluster_bootstrap import Resamples
from analysis.stats.estimate import Estimate, jackknife_bounds
from analysis.stats.rank_correlation import Floats, Ints, combine_replicates
from analysis.stats.reweighted import weighted_spearman
from analysis.trials.design import cell_rows, strata_of
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
    dataset: str | None = None
    """None for the mean over strata with a shift, each counting the same."""
    severity: float | None = None
    raw: float | None = None
    """Spearman's rho within cells of the same trials, as it is."""
    n: int = 0
    """Trials with both scores and all four half scores."""
    n_missing: int = 0
    n_clusters: int = 0
    halves: tuple[Halves, ...] = ()
    """Of the score and of the outcome."""
    strata: tuple["Reliability", ...] = ()
    """Each stratum by itself, with or without a shift."""


def reliability(table: pd.DataFrame, score: str, outcome: str, resamples: Resamples) -> Reliability:
    """rho / sqrt(reliability of the score x reliability of the outcome), within cells, stratum by stratum.

    The images of a split are halved at random and scored by half, in the columns `<column>.half_1` and
    `<column>.half_2`. With r the correlation of the half scores over the trials of a cell, the whole score's
    reliability is 2r / (1 + r) (Spearman, Brown, Br. J. Psychol. 3, 1910), and the quotient is the correlation that
    scores without image noise would have (Spearman, Am. J. Psychol. 15, 1904). All three correlations are Spearman's
    rho in each cell, combined over the cells of a stratum by Fisher's z; cells where one is undefined enter nothing.
    How much of a score is noise differs between strata, so each is corrected by its own reliabilities; the overall
    values are means over the strata with a shift.

    The quotient can exceed 1 in size, by chance or because both halves share what varies between trials beside the
    images; it is not cut. The interval is that of the delete-one-data-seed jackknife, all three correlations made anew
    each time.

    Returns:
        No estimate, with the reason, where a column is absent, no cell has a correlation, a reliability is not
        positive, or there is no stratum with a shift.
    """
    pairs = [(score, outcome), *((columns.half(c, 1), columns.half(c, 2)) for c in (score, outcome))]
    needed = [name for pair in pairs for name in pair]
    absent = [name for name in needed if name not in table]
    result = Reliability(score=score, outcome=outcome, n_missing=len(table))
    if absent:
        names = ", ".join(map(repr, absent))
        return replace(result, reason=f"no trial has the column{'s' if len(absent) > 1 else ''} {names}")
    rows, values = known_rows(table[needed].apply(pd.to_numeric, errors="coerce"), needed)
    result = replace(result, n_missing=len(table) - len(rows))
    if not len(rows):
        return replace(result, reason="no trial has both scores and their halves")
    cells = cell_rows(table.iloc[rows])
    n_clusters = len(resamples.dataset)
    # The first row of weights takes every trial, the others leave out one data seed each.
    weights = np.vstack([np.ones(n_clusters), 1 - np.eye(n_clusters)])
    strata, counted = [], []
    for (dataset, level), members in strata_of(cells).items():
        mine = np.concatenate([cells[cell] for cell in members])
        sample = np.repeat(np.arange(len(members)), [len(cells[cell]) for cell in members])
        cluster = resamples.cluster[rows[mine]]
        parts = [_within(values[mine, 2 * i], values[mine, 2 * i + 1], sample, cluster, weights) for i in range(3)]
        (raw, _), (of_score, n_score), (of_outcome, n_outcome) = parts
        stratum = _Stratum(rows[mine], raw, of_score, of_outcome, n_score, n_outcome)
        strata.append(_estimated(replace(result, dataset=dataset, severity=level), [stratum], resamples))
        if level > 0 and strata[-1].estimate is not None:
            counted.append(stratum)
    result = replace(result, strata=tuple(strata))
    if not counted:
        shifted = [part for part in strata if part.severity]
        return replace(
            shifted[0] if shifted else result,
            dataset=None,
            severity=None,
            strata=tuple(strata),
            reason=shifted[0].reason if shifted else "no stratum has a shift (severity above 0)",
        )
    return _estimated(result, counted, resamples)


@dataclass(frozen=True)
class _Stratum:
    rows: Ints
    raw: Floats
    """[1 + clusters] over all trials, then without each cluster; so the others."""
    of_score: Floats
    of_outcome: Floats
    n_cells_score: int
    n_cells_outcome: int

    @property
    def reliabilities(self) -> tuple[Floats, Floats]:
        with np.errstate(invalid="ignore", divide="ignore"):
            score, outcome = (np.where(r > 0, 2 * r / (1 + r), np.nan) for r in (self.of_score, self.of_outcome))
        return score, outcome


def _estimated(result: Reliability, strata: list[_Stratum], resamples: Resamples) -> Reliability:
    """The mean over strata of the raw and the disattenuated correlation, and of the reliabilities."""
    rows = np.concatenate([part.rows for part in strata])
    clusters = np.unique(resamples.cluster[rows])
    with np.errstate(invalid="ignore", divide="ignore"):
        quotients = [part.raw / np.sqrt(np.prod(part.reliabilities, axis=0)) for part in strata]
    halves = [
        Halves(
            column,
            _finite(np.mean([correlation[0] for correlation in correlations])),
            _finite(np.mean([part.reliabilities[which][0] for part in strata])),
            sum(n_cells),
        )
        for which, (column, correlations, n_cells) in enumerate(
            (
                (result.score, [part.of_score for part in strata], [part.n_cells_score for part in strata]),
                (result.outcome, [part.of_outcome for part in strata], [part.n_cells_outcome for part in strata]),
            )
        )
    ]
    result = replace(
        result,
        n=len(rows),
        n_clusters=resamples.n_clusters(rows),
        raw=_finite(np.mean([part.raw[0] for part in strata])),
        halves=tuple(halves),
    )
    quotient = np.mean(quotients, axis=0)
    if not np.isfinite(quotient[0]):
        return replace(result, reason=_why_not(result.raw, result.halves))
    interval = jackknife_bounds(float(quotient[0]), quotient[1:][clusters], resamples.dataset[clusters])
    return replace(result, estimate=float(quotient[0]), **interval)


def _within(x: Floats, y: Floats, sample: Ints, cluster: Ints, weights: Floats) -> tuple[Floats, int]:
    """(the correlation within cells under each row of weights, cells that have one under the first)."""
    rho, sizes = weighted_spearman(x[None, :], y, sample, cluster, weights)
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
    known = [part for part in result.strata if part.severity and part.estimate is not None]
    lowest = min(known, key=lambda part: min(half.reliability or 0.0 for half in part.halves))
    half = min(lowest.halves, key=lambda half: half.reliability or 0.0)
    return (
        "Both scores are measured on finitely many images. Without that noise the correlation within cells, on average "
        f"over {count(len(known), 'stratum', 'strata')} with a shift {number(result.raw)} as measured, would be "
        f"{with_interval(result)}. Least reliable is {column_name(half.column)} at "
        f"{stratum_name(lowest.dataset, lowest.severity)}: {number(half.reliability)}."
    )


def _table(result: Reliability) -> Table:
    rows = [
        (
            (part.dataset, "mean of those with a shift" if part.dataset is None else name(part.dataset)),
            (part.severity, "" if part.severity is None else severity(part.severity)),
            *(value(half.reliability) for half in part.halves or (NO_HALVES, NO_HALVES)),
            value(part.raw),
            *estimated(part),
            whole(part.n),
            remark(part.reason),
        )
        for part in (result, *result.strata)
    ]
    return Table(
        name="reliability",
        title=TITLE,
        caption=(
            "Reliability of the map score and of the outcome: the agreement of two random halves of the test images, "
            "stepped up to all of them (Spearman-Brown); 1 is no noise. ρ within cells as measured, and without image "
            "noise by the stratum’s own reliabilities. Strata without a shift are shown and do not count."
        ),
        headings=(
            *("dataset", "s", "of the map score", "of the outcome", "ρ as measured", "ρ without noise"),
            *("95 % interval", "n", UNDEFINED),
        ),
        rows=tuple(rows),
        text_columns=2,
        fields=(
            *("dataset", "severity", "reliability_localisation", "reliability_outcome", "raw", "disattenuated"),
            *("interval", "n", "reason"),
        ),
        strong=True,
        fold=0,
    )


NO_HALVES = Halves("", None, None, 0)
TITLE = "How much of the map score and of performance is noise of the test images?"
SECTION = Section(
    key="reliability",
    title=TITLE,
    part=OTHER_WAYS,
    compute=lambda analysis: reliability(*analysis.data, analysis.resamples),
    sentence=_sentence,
    tables=lambda analysis, result: [_table(result)],
    reported=if_estimated(
        "the correlation within cells corrected for attenuation stratum by stratum, with reliabilities from random "
        "halves of the test images (Spearman 1904)"
    ),
    citations={
        "Spearman 1904": "C. Spearman, The proof and measurement of association between two things. Am. J. Psychol. "
        "15, 1904, 72–101."
    },
)
