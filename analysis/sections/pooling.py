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


def _sentences(analysis: Analysis, result: tuple[Disagreement, ...], *, primary: bool) -> list[str]:
    """Those of the primary, or of the other scores."""
    return [d.sentence for d in result if ((d.split, d.metric, d.attribution) == analysis.score) == primary]


def _sentence(analysis: Analysis, result: tuple[Disagreement, ...]) -> str:
    if not result:
        return ""
    paragraphs = _sentences(analysis, result, primary=True)
    if others := _sentences(analysis, result, primary=False):
        scores = count(len(others), "other score")
        paragraphs.append(f"The same holds for {scores}." if paragraphs else f"Not for the primary, but for {scores}.")
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
    details=lambda analysis, result: _sentences(analysis, result, primary=False),
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
