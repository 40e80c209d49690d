"""What choosing a model costs: by its map, by validation, by each probe, at random, and always training masked."""

from typing import Any

from analysis.answer.answer import Analysis
from analysis.numbers import column_name, listed, name, severity, stratum_name, with_interval
from analysis.sections.choices import MASKED, RULES, UNKNOWABLE, Regret, selection_regret
from analysis.sections.drawing import (
    INK,
    MUTED,
    PALETTE,
    Drawing,
    dots,
    interval_line,
    new_figure,
    row_labels,
    settings,
)
from analysis.sections.section import Lack, Section, no_interval
from analysis.sections.table import Table, estimated, remark, value, whole
from analysis.trials.trials import UNKNOWN_DATA_SEEDS

AS_GOOD = 0.005
"""Difference of two costs, in units of the outcome, below which both count as the cheapest."""


def _compute(analysis: Analysis) -> tuple[Regret, ...]:
    if analysis.trials.data_seeds_known:
        return tuple(selection_regret(analysis.trials.table, analysis.primary, analysis.resamples))
    place: dict[str, Any] = {"dataset": None, "severity": None, "n": 0, "n_missing": 0, "n_choices": 0}
    return tuple(Regret(rule=rule, reason=UNKNOWN_DATA_SEEDS, **place) for rule in RULES)


def _overall_rows(result: tuple[Regret, ...]) -> list[Regret]:
    """The mean over strata of each rule that has one, without the oracle, whose regret is 0."""
    return [p for p in result if p.dataset is None and p.estimate is not None and p.rule != "oracle"]


def _by_map(known: list[Regret]) -> bool:
    """Whether choosing by a map has a regret."""
    return any(part.rule.startswith("localisation_") for part in known)


def _sentence(analysis: Analysis, result: tuple[Regret, ...]) -> str:
    known = _overall_rows(result)
    costs = {part.rule: part for part in known}
    by_map = costs.get("localisation_id") or costs.get("localisation_ood")
    if by_map is None:
        reasons = {part.rule: part.reason for part in result if part.dataset is None}
        return f"Not estimated: {reasons['localisation_id'] or reasons['localisation_ood']}."
    outcome = column_name(analysis.primary.outcome)
    where = "images without the shift" if by_map.rule == "localisation_id" else "shifted images"
    sentence = (
        f"Choosing the model with the best map on {where} costs {with_interval(by_map, 3)} of {outcome} under a shift, "
        "against the best of the models trained on the same images."
    )
    followed = [part for part in known if part.rule not in UNKNOWABLE]
    lowest = min(part.estimate or 0.0 for part in followed)
    cheapest = [part for part in followed if (part.estimate or 0.0) < lowest + AS_GOOD]
    if by_map not in cheapest:
        named = listed([f"“{RULES[part.rule]}” {with_interval(part, 3)}" for part in cheapest])
        least = "this one costs" if len(cheapest) == 1 else "these cost"
        sentence += f" Among the rules available in advance, {least} least here: {named}."
    if not any(part.rule.startswith("outside_") and part.estimate is not None for part in result):
        sentence += " These trials have no probes."
    return sentence + no_interval(known)


def _figure(analysis: Analysis, result: tuple[Regret, ...]) -> Drawing | None:
    """Mean over strata as bars, each stratum as a dot; None where choosing by the map has no regret."""
    known = [part for part in result if part.estimate is not None and part.rule != "oracle" and part.severity != 0]
    overall = _overall_rows(result)
    if not _by_map(overall):
        return None
    outcome = column_name(analysis.primary.outcome)
    with settings():
        figure = new_figure(0.75 + 0.3 * len(overall))
        axes = figure.subplots()
        for position, part in enumerate(overall):
            axes.barh(-position, part.estimate or 0.0, height=0.62, color=_colour(part.rule), alpha=0.75)
            interval_line(axes, part, -position, color=INK, linewidth=1.8)
            strata = [r.estimate or 0.0 for r in known if r.rule == part.rule and r.dataset is not None]
            dots(axes, strata, -position, markersize=3, color=INK, alpha=0.55)
        row_labels(axes, [RULES[part.rule] for part in overall])
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{outcome} lost against the best model")
        axes.spines["left"].set_color(MUTED)
    return Drawing(
        name="regret",
        title=TITLE,
        caption=(
            f"Mean {outcome} lost by choosing one of the models trained on the same images in this way, with its 95 % "
            "interval; each dot is one dataset and severity with a shift. A rule that takes labelled images of the "
            "shift (grey) is not available in advance."
        ),
        alt=(
            "Bars of the mean regret by rule of choice. "
            f"{'; '.join(f'{RULES[part.rule]}: {with_interval(part, 3)}' for part in overall)}."
        ),
        figure=figure,
    )


def _colour(rule: str) -> str:
    if rule in (*UNKNOWABLE, "random"):
        return "#9aa1ab"
    if rule.startswith("outside_"):
        return PALETTE[3]
    return {"localisation_id": PALETTE[2], MASKED: PALETTE[4]}.get(rule, PALETTE[6])


def _costs(analysis: Analysis, result: tuple[Regret, ...]) -> Table:
    """One row a rule: the mean over strata and the worst stratum."""
    rows = []
    for part in _overall_rows(result):
        strata = [r for r in result if r.rule == part.rule and r.severity and r.estimate is not None]
        worst = max(strata, key=lambda r: r.estimate or 0.0)
        rows.append(
            (
                (part.rule, RULES[part.rule]),
                *estimated(part, 3),
                value(worst.estimate, 3),
                (f"{worst.dataset} {worst.severity}", stratum_name(worst.dataset, worst.severity)),
                whole(part.n_choices),
            )
        )
    return Table(
        name="choice_costs",
        title=TITLE,
        caption=(
            f"{column_name(analysis.primary.outcome)} lost, on average over the strata with a shift, against the best "
            "of the models trained on the same images."
        ),
        headings=("choose by", "cost", "95 % interval", "at worst", "where", "choices"),
        rows=tuple(rows),
        text_columns=1,
        fields=("rule", "regret", "interval", "worst", "worst_stratum", "n_choices"),
    )


def _table(analysis: Analysis, result: tuple[Regret, ...]) -> Table:
    return Table(
        name="regret",
        title="The same in each stratum",
        caption=(
            f"Mean {column_name(analysis.primary.outcome)} lost against the best trial of the same data seed; “in one "
            "choice”: the same when choosing among all trials of the stratum at once. “All” is the mean over strata "
            "with a shift; those without one are shown and do not count."
        ),
        headings=("dataset", "s", "choose by", "regret", "95 % interval", "in one choice", "choices", "n", "remark"),
        rows=tuple(
            (
                (part.dataset, "all" if part.dataset is None else name(part.dataset)),
                (part.severity, "" if part.severity is None else severity(part.severity)),
                (part.rule, RULES[part.rule]),
                *estimated(part, 3),
                value(part.whole_stratum, 3),
                whole(part.n_choices),
                whole(part.n),
                remark(part.reason or part.interval_reason),
            )
            for part in sorted(
                (r for r in result if r.estimate is not None or not _by_column(r)),
                key=lambda r: (r.dataset or "", r.severity or 0.0),
            )
        ),
        text_columns=3,
        fields=("dataset", "severity", "rule", "regret", "interval", "whole_stratum", "n_choices", "n", "remark"),
        group=1,
        fold=0,
    )


def _by_column(part: Regret) -> bool:
    """Whether the rule has no estimate because the table lacks what it reads."""
    return part.reason is not None and part.reason.startswith("no trial has")


def _missing(analysis: Analysis, result: tuple[Regret, ...]) -> list[Lack]:
    if result and len(reasons := {part.reason for part in result}) == 1 and (reason := reasons.pop()) is not None:
        return [(f"“{TITLE}”", reason)]
    lacks = []
    for part in result:
        if part.dataset is None and part.reason is not None:
            is_probe = part.rule.startswith("outside_") and part.reason.startswith("no trial has the column")
            rule, why = ("a probe", "no trial has its column") if is_probe else (RULES[part.rule], part.reason)
            lacks.append((f"the cost of choosing by {rule}", why))
    return list(dict.fromkeys(lacks))


def _reported(analysis: Analysis, result: tuple[Regret, ...]) -> str:
    known = _overall_rows(result)
    if not _by_map(known):
        return ""
    costs = "; ".join(f"{RULES[part.rule]} {with_interval(part, 3)}" for part in known)
    return f"Choosing a model under a shift cost, against the best on the same images, by rule: {costs}."


TITLE = "What does choosing a model cost?"
SECTION = Section(
    key="regret",
    title=TITLE,
    compute=_compute,
    words_last=True,
    sentence=_sentence,
    figures=lambda analysis, result: [_figure(analysis, result)],
    tables=lambda analysis, result: (
        [_costs(analysis, result), _table(analysis, result)]
        if any(part.estimate is not None for part in result)
        else []
    ),
    missing=_missing,
    reported=_reported,
)
