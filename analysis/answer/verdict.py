"""The verdict: does a better map mean better generalization?"""

from dataclasses import dataclass

from analysis.answer.entry import Correlation
from analysis.numbers import count, interval, number
from analysis.trials.trials import Primary

SMALLEST_EFFECT = 0.3
"""Smallest correlation of interest; below it the score explains under a tenth of the ranks' variance."""
ON_DISTRACTOR = ("1-distractor_mass",)
"""Metrics of the distractor rather than the mask."""


@dataclass(frozen=True)
class Verdict:
    """Yes, no or undecided, with the evidence in one sentence."""

    answer: str
    sentence: str
    smallest_effect: float
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int = 0
    n_cells: int = 0
    reason: str | None = None
    """Why the answer is undecided."""


def decide(within: Correlation | None, primary: Primary, smallest_effect: float) -> Verdict:
    """Compare the primary's within-cell interval with the smallest effect of interest.

    The interval wholly above it: yes. Wholly below it: no. Across it, or undefined: undecided. This is an
    equivalence-type decision (Schuirmann, J. Pharmacokinet. Biopharm. 15, 1987): a wide interval around zero
    is not a "no".

    Args:
        within: Spearman's rho within cells over everything; None where the primary has no column.
        primary: for the name of the missing column, and for what a better map is.
        smallest_effect: in (0, 1).
    """
    threshold = f"{smallest_effect:g}"
    if within is None:
        absent = f"no trial has the column {primary.column!r}"
        return Verdict("undecided", f"Undecided: {absent}.", smallest_effect, reason=absent)
    if within.estimate is None or within.ci_low is None or within.ci_high is None:
        if within.estimate is None:
            undefined = within.reason or "the correlation is undefined"
        else:
            undefined = f"the correlation of {number(within.estimate)} has no interval: {within.interval_reason}"
        sentence = f"Undecided: maps cannot be compared with performance: {undefined}."
        return Verdict("undecided", sentence, smallest_effect, within.estimate, n=within.n, reason=undefined)
    evidence = (
        f"rank correlation {number(within.estimate)}, 95 % interval {interval(within.ci_low, within.ci_high)}, "
        f"from {count(within.n, 'trial')} in {count(within.n_cells or 0, 'cell')}"
    )
    off_cue = primary.metric in ON_DISTRACTOR
    better = "a map that avoids the distractor better" if off_cue else "a map that falls better on the mask"
    reason = None
    if within.ci_low > smallest_effect:
        answer = "yes"
        claim = f"{better} goes with better performance under the shift"
        position = f"wholly above {threshold}, the smallest effect of interest"
    elif within.ci_high < -smallest_effect:
        answer = "no"
        claim = f"{better} goes with worse performance under the shift"
        position = f"wholly below −{threshold}: the reverse"
    elif within.ci_high < smallest_effect:
        answer = "no"
        claim = f"{better} says little about performance under the shift"
        position = f"wholly below {threshold}, the smallest effect of interest"
    else:
        answer = "undecided"
        reason = f"the interval includes {threshold}, the smallest effect of interest"
        claim = "these trials do not show whether a better map goes with better performance under the shift"
        position = f"including {threshold}, the smallest effect of interest"
    setting = "" if answer == "undecided" else "among models trained the same way, "
    return Verdict(
        answer=answer,
        sentence=f"{answer.capitalize()}: {setting}{claim} ({evidence}; {position}).",
        smallest_effect=smallest_effect,
        estimate=within.estimate,
        ci_low=within.ci_low,
        ci_high=within.ci_high,
        n=within.n,
        n_cells=within.n_cells or 0,
        reason=reason,
    )
