"""Where pooling reverses the answer: Simpson's paradox, said in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.correlations import Correlation
from analysis.numbers import name, number


@dataclass(frozen=True)
class Reversal:
    """A localisation score whose pooled and within-cell rho have opposite signs."""

    split: str
    metric: str
    attribution: str
    pooled: float
    within_cell: float
    sentence: str


def reversals(correlations: Sequence[Correlation]) -> list[Reversal]:
    """The scores whose pooled and within-cell rho have opposite signs; an estimate of zero has no sign.

    Pooling mixes trials of different methods and severities, so that a third cause of both scores can turn the
    sign (Simpson, J. R. Stat. Soc. B 13, 1951).
    """
    pooled = {_score(c): c for c in correlations if c.scope == "pooled" and c.statistic == "spearman"}
    found = []
    for entry in correlations:
        if entry.scope != "within_cell" or entry.stratum is not None or entry.statistic != "spearman":
            continue
        other = pooled[_score(entry)].estimate
        if entry.estimate is None or other is None or entry.estimate * other >= 0:
            continue
        sentence = (
            f"{name(entry.metric)} of {name(entry.attribution)} on the {name(entry.split)} set: pooled over "
            f"everything, ρ is {number(other)}; within cells it is {number(entry.estimate)}."
        )
        found.append(Reversal(*_score(entry), other, entry.estimate, sentence))
    return found


def _score(entry: Correlation) -> tuple[str, str, str]:
    return entry.split, entry.metric, entry.attribution
