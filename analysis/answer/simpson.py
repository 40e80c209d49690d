"""Where pooling changes the answer: Simpson's paradox, said in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.answer.entry import Correlation
from analysis.report.numbers import interval, name, number


@dataclass(frozen=True)
class Disagreement:
    """A localisation score whose pooled and within-cell rho do not say the same."""

    split: str
    metric: str
    attribution: str
    kind: str
    """sign: opposite signs. size: the same sign, and 95 % intervals that do not meet."""
    pooled: float
    within_cell: float
    sentence: str


def disagreements(correlations: Sequence[Correlation]) -> list[Disagreement]:
    """The scores whose pooled and within-cell rho differ in sign or by more than their intervals.

    Pooling mixes trials of different methods and severities, so that a third cause of both scores can turn the
    sign or make an association (Simpson, J. R. Stat. Soc. B 13, 1951). An estimate of zero has no sign; without both
    intervals only the signs are compared. Intervals that do not meet are a strict rule: two estimates can differ
    significantly although their intervals meet.
    """
    pooled = {c.score: c for c in correlations if c.scope == "pooled" and c.statistic == "spearman"}
    found = []
    for entry in correlations:
        if entry.scope != "within_cell" or entry.stratum is not None or entry.statistic != "spearman":
            continue
        other = pooled[entry.score]
        kind = _kind(entry, other)
        if kind is None or entry.estimate is None or other.estimate is None:
            continue
        sentence = (
            f"{name(entry.metric)} of {name(entry.attribution)} on the {name(entry.split)} set: pooled over "
            f"everything, ρ is {_told(other)}; within cells it is {_told(entry)}."
        )
        found.append(Disagreement(*entry.score, kind, other.estimate, entry.estimate, sentence))
    return found


def _kind(within: Correlation, pooled: Correlation) -> str | None:
    if within.estimate is None or pooled.estimate is None:
        return None
    if within.estimate * pooled.estimate < 0:
        return "sign"
    bounds = (within.ci_low, within.ci_high, pooled.ci_low, pooled.ci_high)
    if any(bound is None for bound in bounds):
        return None
    low, high, pooled_low, pooled_high = (float(b or 0.0) for b in bounds)
    return "size" if high < pooled_low or pooled_high < low else None


def _told(entry: Correlation) -> str:
    bounds = "" if entry.ci_low is None else f" ({interval(entry.ci_low, entry.ci_high)})"
    return number(entry.estimate) + bounds
