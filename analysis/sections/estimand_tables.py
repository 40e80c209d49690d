"""The tables of the estimands, one each."""

from collections.abc import Sequence

from analysis.answer.answer import Analysis
from analysis.report.numbers import interval, name, number, p_value, severity
from analysis.report.table import Cell, Table
from analysis.sections.estimand_words import RULES, axis_name, column_name, controls_name

_WHY = ("undefined because", "reason")


def estimand_tables(analysis: Analysis) -> list[Table]:
    """One table per estimand, in the report's order."""
    return [
        _granulated_kendall(analysis),
        _sign_error(analysis),
        _information(analysis),
        _partial(analysis),
        _incremental(analysis),
        _mixed_model(analysis),
        _regret(analysis),
        _reliability(analysis),
    ]


def _granulated_kendall(analysis: Analysis) -> Table:
    found = analysis.estimands.granulated_kendall
    rows: list[tuple[Cell, ...]] = [
        (("all", "all, averaged (Ψ)"), _value(found.estimate), _bounds(found), (None, ""), (None, ""), _why(found))
    ]
    rows += [
        (
            (axis.axis, axis_name(axis.axis)),
            _value(axis.estimate),
            _bounds(axis),
            _count(axis.n_eligible),
            _count(axis.n_finite),
            _why(axis),
        )
        for axis in found.axes
    ]
    return Table(
        name="granulated_kendall",
        title="One setting at a time",
        caption=(
            "ψ is the mean of Kendall’s τ-b between map score and performance when this setting alone changes, from "
            "−1 to 1; averages over seeds are compared. Eligible: settings of everything else at which it takes two "
            "values or more; used: of these, the ones where neither score is constant."
        ),
        headings=("what changes", "ψ", "95 % interval", "eligible", "used", _WHY[0]),
        rows=tuple(rows),
        text_columns=1,
        fields=("axis", "psi", "interval", "n_eligible", "n_finite", _WHY[1]),
    )


def _sign_error(analysis: Analysis) -> Table:
    found = analysis.estimands.sign_error
    rows = [
        (
            (part.axis or "all", "all" if part.axis is None else axis_name(part.axis)),
            _value(part.mean),
            _value(part.p90),
            _value(part.maximum),
            _count(part.n_kept),
            _count(part.n_environments),
            _why(part),
        )
        for part in (found.overall, *found.axes)
    ]
    return Table(
        name="sign_error",
        title="How often does the map point the wrong way?",
        caption=(
            "The share of pairs of trials, from two configurations that differ in this setting alone, that map score "
            f"and {column_name(found.outcome)} order differently, weighted by how surely the test images tell the "
            "two apart; a coin gets 0.50. Mean, 90th percentile and worst pair of configurations. Only pairs with "
            "enough weight are used."
        ),
        headings=("what changes", "mean", "90 %", "worst", "used", "pairs", _WHY[0]),
        rows=tuple(rows),
        text_columns=1,
        fields=("axis", "mean", "p90", "max", "n_kept", "n_environments", _WHY[1]),
    )


def _information(analysis: Analysis) -> Table:
    found = analysis.estimands.conditional_mutual_information
    rows: list[tuple[Cell, ...]] = [
        (
            (" ".join(part.axes), " and ".join(map(axis_name, part.axes)) or "nothing"),
            _value(part.information, 4),
            _value(part.entropy, 3),
            _value(part.ratio, 3),
            _count(part.n_cells),
        )
        for part in found.conditionings
    ]
    if not rows:
        rows = [((None, found.reason or ""), *[_value(None)] * 4)]
    return Table(
        name="conditional_mutual_information",
        title="How much does the map tell, whatever is known of the settings?",
        caption=(
            f"Over {found.n_pairs:,} ordered pairs of {found.n_configurations:,} configurations: the information (in "
            "nats) that the order of the map scores gives about the order of performance, as a share of its entropy. "
            "The smallest share counts. A small information in many groups of few pairs is chance."
        ),
        headings=("given", "information", "entropy", "share", "groups of pairs"),
        rows=tuple(rows),
        text_columns=1,
        fields=("given", "information", "entropy", "ratio", "n_cells"),
    )


def _partial(analysis: Analysis) -> Table:
    rows = [
        (
            (" ".join(part.controls), controls_name(part.controls)),
            _value(part.estimate),
            _bounds(part),
            (part.p_value, p_value(part.p_value)),
            _count(part.df),
            _count(part.n),
            _why(part),
        )
        for part in analysis.estimands.partial
    ]
    return Table(
        name="partial",
        title="Beyond performance without the shift",
        caption="Partial rank correlation of map score and outcome over all trials, given what is named.",
        headings=("given", "partial ρ", "95 % interval", "p", "df", "n", _WHY[0]),
        rows=tuple(rows),
        text_columns=1,
        fields=("given", "partial_rho", "interval", "p_value", "df", "n", _WHY[1]),
    )


def _incremental(analysis: Analysis) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for part in analysis.estimands.incremental:
        quantiles = dict(part.quantiles)
        low, high = quantiles.get(0.025), quantiles.get(0.975)
        label = column_name(part.scores[0]) if len(part.scores) == 1 else f"all {len(part.scores)} map scores"
        rows.append(
            (
                (" ".join(part.scores), label),
                _value(part.without, 3),
                _value(part.with_scores, 3),
                _value(part.estimate, 3),
                ((low, high), interval(low, high, 3)),
                (part.share_positive, "–" if part.share_positive is None else f"{part.share_positive:.0%}"),
                _count(part.n),
                _why(part),
            )
        )
    controls = analysis.estimands.incremental[0].controls
    return Table(
        name="incremental",
        title="Does the map help to foretell trials not yet seen?",
        caption=(
            f"R² on held-out data seeds, of a linear model of the outcome from {controls_name(controls)}, "
            "without and with the map scores; below zero a model foretells worse than the mean. The gain’s range is "
            "the middle 95 % of the splits, no confidence interval."
        ),
        headings=("map scores added", "R² without", "R² with", "gain", "range", "splits helped", "n", _WHY[0]),
        rows=tuple(rows),
        text_columns=1,
        fields=("scores", "r2_without", "r2_with", "gain", "gain_range", "share_positive", "n", _WHY[1]),
    )


def _mixed_model(analysis: Analysis) -> Table:
    found = analysis.estimands.mixed_model
    words = {
        "mu_within": "the trial’s own map score, against its cell’s mean",
        "mu_between": "the mean map score of its cell",
        "a": "AUC on the ID test set",
    }
    rows: list[tuple[Cell, ...]] = [
        (
            (part.term, words[part.term]),
            _value(part.estimate),
            _value(part.standard_error),
            ((part.ci_low, part.ci_high), interval(part.ci_low, part.ci_high)),
            (part.p_value, p_value(part.p_value)),
            (None, ""),
        )
        for part in found.coefficients
    ]
    absent = dict.fromkeys(words, found.reason) if found.reason else (found.dropped or {})
    rows += [
        ((term, words[term]), _value(None), _value(None), ((None, None), "–"), (None, "–"), (why, why or ""))
        for term, why in absent.items()
        if term in words and found.coefficient(term) is None
    ]
    return Table(
        name="mixed_model",
        title="Within and between cells, in one model",
        caption=(
            f"Slopes on the logit of {column_name(found.outcome)}, per unit of the predictor: linear mixed model with "
            "severity by method fixed and a random effect of the data seed."
        ),
        headings=("predictor", "slope", "standard error", "95 % interval", "p", "left out because"),
        rows=tuple(rows),
        text_columns=1,
        fields=("term", "slope", "standard_error", "interval", "p_value", "reason"),
    )


def _regret(analysis: Analysis) -> Table:
    rows = [
        (
            (part.dataset, "all" if part.dataset is None else name(part.dataset)),
            (part.severity, "" if part.severity is None else severity(part.severity)),
            (part.rule, RULES[part.rule]),
            _value(part.estimate, 3),
            ((part.ci_low, part.ci_high), interval(part.ci_low, part.ci_high, 3)),
            _value(part.whole_stratum, 3),
            _count(part.n_choices),
            _count(part.n),
            (part.reason or part.interval_reason, part.reason or part.interval_reason or ""),
        )
        for part in sorted(analysis.estimands.regret, key=lambda r: (r.dataset or "", r.severity or 0.0))
    ]
    return Table(
        name="regret",
        title="What does choosing a model by its map cost?",
        caption=(
            f"Mean {column_name(analysis.primary.outcome)} lost against the best trial of the same data seed; “in one "
            "choice”: the same when choosing among all trials of the stratum at once."
        ),
        headings=("dataset", "s", "choose by", "regret", "95 % interval", "in one choice", "choices", "n", "remark"),
        rows=tuple(rows),
        text_columns=3,
        fields=("dataset", "severity", "rule", "regret", "interval", "whole_stratum", "n_choices", "n", "remark"),
    )


def _reliability(analysis: Analysis) -> Table:
    found = analysis.estimands.reliability
    nothing: Cell = ((None, None), "–")
    rows: list[tuple[Cell, ...]] = [
        ((part.column, f"reliability of {column_name(part.column)}"), _value(part.reliability), nothing, (None, ""))
        for part in found.halves
    ]
    rows += [
        (("raw", "ρ within cells, as measured"), _value(found.raw), nothing, (None, "")),
        (("disattenuated", "ρ within cells, without image noise"), _value(found.estimate), _bounds(found), _why(found)),
    ]
    return Table(
        name="reliability",
        title="How much of the map score and of performance is noise of the test images?",
        caption=(
            "Reliability: the agreement of two random halves of the test images, stepped up to all of them "
            "(Spearman-Brown); 1 is no noise."
        ),
        headings=("quantity", "value", "95 % interval", _WHY[0]),
        rows=tuple(rows),
        text_columns=1,
        fields=("quantity", "value", "interval", _WHY[1]),
    )


def _value(value: float | None, digits: int = 2) -> Cell:
    return value, number(value, digits)


def _count(n: int) -> Cell:
    return n, f"{n:,}"


def _bounds(part: object) -> Cell:
    low, high = getattr(part, "ci_low", None), getattr(part, "ci_high", None)
    return (low, high), interval(low, high)


def _why(part: object) -> Cell:
    reasons: Sequence[str | None] = (getattr(part, "reason", None), getattr(part, "interval_reason", None))
    text = reasons[0]
    return text, text or ""
