"""The word of each comparison, how general it is, and the sentence that sums them up."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.answer.combine import Comparison, Level
from analysis.answer.given_id import EQUAL, FALLBACK_CONTROL
from analysis.numbers import (
    capitalized,
    column_name,
    count,
    interval,
    name,
    number,
    percent,
    stratum_name,
    with_interval,
)
from analysis.trials.scores import COMPLEMENTS
from analysis.trials.trials import Primary
from records import columns

SMALLEST_EFFECT = 0.3
"""Smallest correlation of interest; below it the score explains under a tenth of the ranks' variance."""
WORDS = ("yes", "no", "reverse", "undecided")
ON_DISTRACTOR = tuple(COMPLEMENTS.get(metric, metric) for metric in columns.ON_DISTRACTOR)
"""Metrics of the distractor rather than the mask, by their names in the analysis."""
LABELS = {"seed": "seeds", "setting": "settings", "method": "methods", "given_id": "given validation AUC"}
QUESTIONS = {
    "seed": "Of two runs of one recipe, is the one with the better map better?",
    "setting": "Can I tune a method by looking at maps?",
    "method": "Is a method with better maps a better method?",
    "given_id": "Does the map say anything that plain validation does not?",
}
_CLAIMS = {
    "seed": {
        "yes": "of two runs of the same recipe, the one with the better map tends to generalize better",
        "no": "of two runs of the same recipe, the maps hardly say which one generalizes better",
        "reverse": "of two runs of the same recipe, the one with the better map tends to generalize worse",
        "undecided": "these trials do not show whether, of two runs of the same recipe, the one with the better map "
        "generalizes better",
    },
    "setting": {
        "yes": "within a method, settings with better maps tend to generalize better",
        "no": "within a method, maps hardly say which settings generalize better",
        "reverse": "within a method, settings with better maps tend to generalize worse",
        "undecided": "these trials do not show whether settings with better maps generalize better",
    },
    "method": {
        "yes": "methods with better maps tend to generalize better",
        "no": "maps hardly say which methods generalize better",
        "reverse": "methods with better maps tend to generalize worse",
        "undecided": "these methods do not show whether methods with better maps generalize better",
    },
    "given_id": {
        "yes": "of models with equal {control}, those with better maps tend to generalize better",
        "no": "of models with equal {control}, maps hardly say which ones generalize better",
        "reverse": "of models with equal {control}, those with better maps tend to generalize worse",
        "undecided": "these trials do not show whether maps add to {control}",
    },
}


@dataclass(frozen=True)
class Verdict:
    """The comparisons summed up.

    The answer is the word of all comparisons; else "it depends" if decided ones differ; else "undecided".
    """

    answer: str
    sentence: str
    smallest_effect: float


def word(result: Comparison, smallest_effect: float) -> str:
    """One of `WORDS`, from the joint interval alone.

    An interval between −smallest_effect and smallest_effect is a no by equivalence (Schuirmann, J. Pharmacokinet.
    Biopharm. 15, 1987); a wide interval around zero is not.
    """
    low, high = result.joint_low, result.joint_high
    if low is None or high is None:
        return "undecided"
    if low > smallest_effect:
        return "yes"
    if high < -smallest_effect:
        return "reverse"
    return "no" if -smallest_effect < low and high < smallest_effect else "undecided"


def answered(result: Comparison, primary: Primary, smallest_effect: float) -> Comparison:
    """The comparison with its word and its sentence."""
    answer = word(result, smallest_effect)
    claim = _CLAIMS[result.comparison][answer].format(control=_control(result))
    sentence = f"{capitalized(answer)}: {claim} ({_evidence(result, primary, answer, smallest_effect)})."
    return replace(result, answer=answer, sentence=sentence)


def _control(result: Comparison) -> str:
    return column_name(result.control) if result.control else "validation AUC"


def _evidence(result: Comparison, primary: Primary, answer: str, smallest_effect: float) -> str:
    if result.ci_low is None:
        return str(result.reason)
    parts = [f"rank correlation {number(result.estimate)}, 95 % interval {interval(result.ci_low, result.ci_high)}"]
    if answer == "undecided":
        parts.append(_position(result, smallest_effect))
    parts.append(generality(result))
    if result.matched_pairs is not None:
        parts.append(
            f"in {percent(result.matched_pairs)} of {count(result.n_matched_pairs, 'pair')} that differ by at most "
            f"{EQUAL:g} in it, the one with the better map is better"
        )
    if result.auc_per_tenth is not None:
        outcome = column_name(primary.outcome)
        parts.append(f"0.1 of {name(primary.metric)} goes with {number(result.auc_per_tenth)} of {outcome}")
    parts.append(_basis(result))
    return "; ".join(parts)


def generality(result: Comparison) -> str:
    """How general the average is, as in "the same sign for each method and in each stratum"."""
    if result.generality == "same sign":
        groups = "in each stratum" if result.comparison == "method" else "for each method and in each stratum"
        return f"the same sign {groups}, by each one’s interval"
    differing = next((signs for signs in result.signs if signs.among == result.differ_among), None)
    if differing is None:
        return "too few trials to say whether the sign is the same everywhere"
    ends = " but ".join(f"{with_interval(level)} {_place(level)}" for level in (differing.least, differing.greatest))
    return f"the sign differs among {differing.among}: {ends}"


def _place(level: Level) -> str:
    where = [] if level.dataset is None else [f"on {stratum_name(level.dataset, level.severity)}"]
    return " ".join([*([] if level.method is None else [f"for {name(level.method)}"]), *where])


def _basis(result: Comparison) -> str:
    settings = f"{count(result.n_units, 'setting')} with " if result.comparison == "setting" else ""
    where = ("stratum", "strata") if result.comparison == "method" else ("cell",)
    return f"from {settings}{count(result.n_trials, 'trial')} in {count(result.n_cells, *where)}"


def _position(result: Comparison, smallest_effect: float) -> str:
    """Which limits the joint interval contains, so that it decides nothing."""
    low, high = result.joint_low, result.joint_high
    if low is None or high is None or result.ci_low is None or result.ci_high is None:
        return "it has no interval"
    inside = [limit for limit in (-smallest_effect, smallest_effect) if low <= limit <= high]
    alone = all(result.ci_low <= limit <= result.ci_high for limit in inside)
    which = "the interval" if alone else f"held jointly with the other comparisons, {interval(low, high)}, it"
    return f"{which} holds {' and '.join(number(limit, 1) for limit in inside)}"


def verdict(comparisons: Sequence[Comparison], primary: Primary, smallest_effect: float) -> Verdict:
    """Sum up the comparisons, which have their words already, in one sentence."""
    words = [result.answer for result in comparisons]
    decided = {word for word in words if word != "undecided"}
    answer = words[0] if len(set(words)) == 1 else "it depends" if len(decided) > 1 else "undecided"
    reasons = {result.reason for result in comparisons}
    if len(reasons) == 1 and (reason := reasons.pop()) is not None:
        sentence = f"Undecided: {reason}."
    else:
        lead = {
            "yes": "Yes, by each comparison: models with better maps generalize better",
            "no": "No, by each comparison: maps hardly say which models generalize better",
            "reverse": "The reverse, by each comparison: models with better maps generalize worse",
            "it depends": "It depends on what varies between the models",
            "undecided": "Undecided in part" if decided else "Undecided",
        }[answer]
        sentence = f"{lead}. {' '.join(map(_in_short, comparisons))}"
    if primary.metric in ON_DISTRACTOR:
        sentence += " A better map is one that avoids the distractor better."
    return Verdict(answer, sentence, smallest_effect)


def _in_short(result: Comparison) -> str:
    """As in "Is a method with better maps a better method? No: 0.05 (−0.08 to 0.18)."."""
    found = evidence_in_short(result)
    return f"{question(result)} {capitalized(result.answer)}{found and f': {found}'}."


def question(result: Comparison) -> str:
    """The comparison's question, about the control that the table has."""
    asked = QUESTIONS[result.comparison]
    return asked.replace("plain validation", _control(result)) if result.control == FALLBACK_CONTROL else asked


def evidence_in_short(result: Comparison) -> str:
    """The estimate with its interval, and whether signs differ; or why there is none."""
    if result.ci_low is None:
        return result.reason or ""
    return with_interval(result) + (f", the sign differs among {result.differ_among}" if result.differ_among else "")
