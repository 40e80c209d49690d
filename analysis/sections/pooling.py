"""Scores whose correlation changes when all trials are pooled: Simpson's paradox."""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.answer.answer import Analysis
from analysis.answer.entry import Correlation, is_headline
from analysis.numbers import count, name, with_interval
from analysis.sections.section import Section


@dataclass(frozen=True)
class Disagreement:
    """A localisation score whose pooled and within-cell rho disagree."""

    split: str
    metric: str
    attribution: str
    kind: str
    """sign: opposite signs; size: the same sign. The 95 % intervals do not overlap."""
    pooled: float
    within_cell: float
    sentence: str


def disagreements(correlations: Sequence[Correlation]) -> list[Disagreement]:
    """The scores whose pooled and within-cell rho differ by more than their intervals.

    Pooling mixes trials of different methods and severities, so that a common cause of both scores can reverse the
    sign or produce an association (Simpson, J. R. Stat. Soc. B 13, 1951). The rule is strict: two estimates can differ
    significantly although their intervals overlap. A score without both intervals is left out, since estimates around
    zero differ in sign by chance.
    """
    pooled = {c.score: c for c in correlations if c.scope == "pooled" and c.statistic == "spearman"}
    result = []
    for within in filter(is_headline, correlations):
        whole = pooled[within.score]
        if kind := _kind(within, whole):
            sentence = (
                f"{name(within.metric)} of {name(within.attribution)} on the {name(within.split)} set: pooled over "
                f"everything, ρ is {with_interval(whole)}; within cells it is {with_interval(within)}."
            )
            result.append(Disagreement(*within.score, kind, whole.estimate or 0.0, within.estimate or 0.0, sentence))
    return result


def _kind(within: Correlation, pooled: Correlation) -> str | None:
    bounds = (within.ci_low, within.ci_high, pooled.ci_low, pooled.ci_high)
    if None in bounds:
        return None
    low, high, pooled_low, pooled_high = (bound or 0.0 for bound in bounds)
    if pooled_low <= high and low <= pooled_high:
        return None
    return "sign" if (within.estimate or 0.0) * (pooled.estimate or 0.0) < 0 else "size"


def _of_primary(analysis: Analysis, entry: Disagreement) -> bool:
    return (entry.split, entry.metric, entry.attribution) == analysis.score


def _sentence(analysis: Analysis, result: tuple[Disagreement, ...]) -> str:
    if not result:
        return ""
    paragraphs = [entry.sentence for entry in result if _of_primary(analysis, entry)]
    if len(result) > len(paragraphs):
        others = count(len(result) - len(paragraphs), "other score")
        paragraphs.append(f"The same holds for {others}." if paragraphs else f"Not for the primary, but for {others}.")
    paragraphs.append(
        "Where pooled and within-cell correlations differ by more than their intervals, the difference comes from "
        "methods, severities or datasets, not from better maps."
    )
    return "\n\n".join(paragraphs)


SECTION = Section(
    key="disagreements",
    title="Pooling changes the answer",
    compute=lambda analysis: tuple(disagreements(analysis.correlations)),
    sentence=_sentence,
    details=lambda analysis, result: [d.sentence for d in result if not _of_primary(analysis, d)],
    method=lambda analysis, result: {
        "Pooling": (
            "A value pooled over everything is never used: it mixes differences between methods and severities into "
            "the question (Simpson 1951)."
        )
    },
    reported=lambda analysis, result: (
        "Pooled correlations, which mix differences between methods and severities into the question (Simpson 1951), "
        "are reported and not used."
    ),
)
