"""What each estimand found, in a sentence or two for a reader who is no statistician."""

from collections.abc import Sequence

from analysis.answer.answer import Analysis
from analysis.report.numbers import count, interval, name, number
from analysis.sections.selection_regret import Regret
from analysis.stats.estimate import Estimate
from records import columns

RULES = {
    "id_valid": "performance without the shift",
    "localisation": "the map",
    "id_valid_and_localisation": "both together",
    "ood_valid": "performance under the shift (an oracle)",
    "random": "a random pick",
}


def axis_name(axis: str) -> str:
    """A design axis as words: `hp.batch_size` becomes "batch size"."""
    return name(axis.removeprefix(columns.HYPERPARAMETER_PREFIX))


def column_name(column: str) -> str:
    """A score's column as words: "IoU of occlusion on the OOD test set", "OOD test accuracy"."""
    parsed = columns.parse_localisation(column)
    if parsed is not None:
        split, metric, attribution = parsed
        return f"{name(metric)} of {name(attribution)} on the {name(split)} set"
    split, _, measure = column.rpartition(".")
    return f"{name(split)} {'AUC' if measure == 'auc' else name(measure)}".strip()


def controls_name(controls: Sequence[str]) -> str:
    """Controls as words: "ID test AUC, dataset, severity and method"."""
    words = [column_name(c) if "." in c else name(c) for c in controls]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words) or "nothing"


def estimand_words(analysis: Analysis) -> dict[str, str]:
    """Per table of an estimand, what it found."""
    return {
        "granulated_kendall": _granulated_kendall(analysis),
        "sign_error": _sign_error(analysis),
        "conditional_mutual_information": _information(analysis),
        "partial": _partial(analysis),
        "incremental": _incremental(analysis),
        "mixed_model": _mixed_model(analysis),
        "regret": _regret(analysis),
        "reliability": _reliability(analysis),
    }


def _granulated_kendall(analysis: Analysis) -> str:
    found = analysis.estimands.granulated_kendall
    if found.estimate is None:
        return f"Not to be had here: {found.reason}."
    known = [axis for axis in found.axes if axis.estimate is not None]
    best = max(known, key=lambda axis: axis.estimate or 0.0)
    worst = min(known, key=lambda axis: axis.estimate or 0.0)
    text = (
        "When one setting of the training changes and all others stay, does the map score move with performance? "
        f"On average over settings Ψ = {number(found.estimate)}{_bounds(found.ci_low, found.ci_high)}, where 1 is "
        "always together and 0 no more often than apart."
    )
    text += _no_interval([found])
    if len(known) > 1:
        text += (
            f" It is largest along {axis_name(best.axis)} ({number(best.estimate)}) and smallest along "
            f"{axis_name(worst.axis)} ({number(worst.estimate)})."
        )
    return text


def _sign_error(analysis: Analysis) -> str:
    found = analysis.estimands.sign_error
    overall = found.overall
    if overall.mean is None or overall.maximum is None:
        return f"Not to be had here: {overall.reason}.{_left_out(found.n, found.n_missing)}"
    text = (
        f"Of two configurations that differ in one setting, the map picks the worse one in {_percent(overall.mean)} "
        f"of the pairs that the test images can tell apart, and in {_percent(overall.maximum)} at worst; a coin "
        f"would in 50\u00a0%. {count(overall.n_kept, 'pair')} of configurations out of {overall.n_environments:,} "
        "could be used."
    )
    return text + _left_out(found.n, found.n_missing)


def _information(analysis: Analysis) -> str:
    found = analysis.estimands.conditional_mutual_information
    if found.estimate is None:
        return f"Not to be had here: {found.reason}."
    least = min((c for c in found.conditionings if c.ratio is not None), key=lambda c: c.ratio or 0.0)
    given = " and ".join(map(axis_name, least.axes))
    where = f"when {given} of both configurations is known" if given else "when nothing else is known"
    return (
        f"At least {_percent(found.estimate, 1)} of what there is to know about which of two configurations performs "
        f"better is in the order of their map scores; it is least {where}."
    )


def _partial(analysis: Analysis) -> str:
    parts = []
    for part in analysis.estimands.partial:
        given = controls_name(part.controls)
        if part.estimate is None:
            parts.append(f"given {given} it is not to be had here: {part.reason}")
        else:
            parts.append(f"given {given} it is {number(part.estimate)}{_bounds(part.ci_low, part.ci_high)}")
    return (
        "Does the map tell anything that performance without the shift does not? The rank correlation over all "
        f"trials, {'; '.join(parts)}.{_no_interval(analysis.estimands.partial)}"
    )


def _incremental(analysis: Analysis) -> str:
    first, *others = analysis.estimands.incremental
    if first.estimate is None:
        return f"Not to be had here: {first.reason}."
    text = (
        f"On trials with other images, {controls_name(first.controls)} account for {_percent(first.without)} of the "
        f"variance of the outcome; the map score {_adds(first.estimate)}."
    )
    for part in others:
        if part.estimate is not None:
            text += f" All {len(part.scores)} map scores together {_adds(part.estimate, several=True)}."
    return text


def _mixed_model(analysis: Analysis) -> str:
    found = analysis.estimands.mixed_model
    own = found.coefficient("mu_within")
    if own is None:
        why = found.reason or (found.dropped or {}).get("mu_within", "the term was dropped")
        return f"Not to be had here: {why}.{_left_out(found.n, found.n_missing)}"
    odds, low, high = (2.718281828459045 ** (0.1 * v) for v in (own.estimate, own.ci_low, own.ci_high))
    text = (
        f"Among trials of one cell, a map score higher by 0.1 multiplies the odds of a correct answer under the shift "
        f"by {number(odds)} ({interval(low, high)})."
    )
    if not found.converged:
        text += " The fit did not converge: do not rely on it."
    if (found.variances or {}).get("data_seed") == 0:
        text += " It found no difference between data seeds beyond that of trials."
    elif found.warnings:
        text += f" It warned: {found.warnings[0].rstrip('.')}."
    return text + _left_out(found.n, found.n_missing)


def _regret(analysis: Analysis) -> str:
    overall = {part.rule: part for part in analysis.estimands.regret if part.dataset is None}
    known = {rule: part for rule, part in overall.items() if part.estimate is not None}
    if "localisation" not in known:
        return f"Not to be had here: {overall['localisation'].reason}."
    told = "; ".join(f"by {RULES[rule]} {_regret_value(part)}" for rule, part in known.items())
    return (
        f"Whoever picks one of the models trained on the same images loses, of {column_name(analysis.primary.outcome)} "
        f"against the best of them, on average: {told}."
        f"{_no_interval(list(known.values()))}"
    )


def _reliability(analysis: Analysis) -> str:
    found = analysis.estimands.reliability
    if found.estimate is None:
        raw = "" if found.raw is None else f" (the raw correlation is {number(found.raw)})"
        return f"Not to be had here: {found.reason}{raw}."
    return (
        f"Both scores are measured on finitely many images. Without that noise the correlation within cells, "
        f"{number(found.raw)} as measured, would be {number(found.estimate)}{_bounds(found.ci_low, found.ci_high)}."
    )


def _left_out(n: int, n_missing: int) -> str:
    """Trials that the two estimands on accuracy could not use, where they could use others."""
    if not n or not n_missing:
        return ""
    return f" {count(n_missing, 'trial')} without a score or a known number of test images took no part."


def _no_interval(parts: Sequence[Estimate]) -> str:
    """Why there is none, once, where none of the parts has one."""
    reasons = [part.interval_reason for part in parts if part.estimate is not None]
    return f" There is no interval: {reasons[0]}." if reasons and all(reasons) else ""


def _regret_value(part: Regret) -> str:
    return number(part.estimate, 3) + _bounds(part.ci_low, part.ci_high, 3)


def _bounds(low: float | None, high: float | None, digits: int = 2) -> str:
    return "" if low is None else f" ({interval(low, high, digits)})"


def _percent(share: float | None, digits: int = 0) -> str:
    return "–" if share is None else f"{number(100 * share, digits)}\u00a0%"


def _adds(share: float, *, several: bool = False) -> str:
    """ "adds 0.6 percentage points", or what it takes away: a model of noise foretells worse."""
    verb = ("add" if share >= 0 else "take") + ("" if several else "s") + ("" if share >= 0 else " away")
    return f"{verb} {number(100 * abs(share), 1)} percentage points"
