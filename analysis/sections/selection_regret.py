"""What choosing a model costs: by its map, by validation, by each probe, at random, and always training masked."""

from typing import Any

from analysis.answer.answer import Analysis
from analysis.numbers import column_name, listed, severity, stratum_name, with_interval
from analysis.sections.choices import RULES, UNKNOWABLE, Regret, selection_regret
from analysis.sections.drawing import PALETTE, Drawing, Mark, forest
from analysis.sections.section import Lack, Section, no_interval
from analysis.sections.table import REMARK, Column, Table, decimals, estimates, inside, words
from analysis.trials.trials import UNKNOWN_DATA_SEEDS

AS_GOOD = 0.005
"""Difference of two costs, in units of the outcome, below which both count as the cheapest."""


def _compute(analysis: Analysis) -> tuple[Regret, ...]:
    if analysis.trials.data_seeds_known:
        return tuple(selection_regret(analysis.trials.table, analysis.primary, analysis.resamples))
    nothing: dict[str, Any] = {"dataset": None, "severity": None, "n": 0, "n_missing": 0, "n_choices": 0}
    return tuple(Regret(rule=rule, reason=UNKNOWN_DATA_SEEDS, **nothing) for rule in RULES)


def _overall_rows(result: tuple[Regret, ...]) -> list[Regret]:
    """The mean over strata of each rule that has one, without the oracle; none if no map has one."""
    known = [p for p in result if p.dataset is None and p.estimate is not None and p.rule != "oracle"]
    return known if any(part.rule.startswith("localisation_") for part in known) else []


def _sentence(analysis: Analysis, result: tuple[Regret, ...]) -> str:
    known = _overall_rows(result)
    if not known:
        reasons = {part.rule: part.reason for part in result if part.dataset is None}
        return f"Not estimated: {reasons['localisation_id'] or reasons['localisation_ood']}."
    by_map = next(part for part in known if part.rule.startswith("localisation_"))
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
        sentence += f" Cheapest here, among the rules available in advance: {named}."
    if not any(part.rule.startswith("outside_") and part.estimate is not None for part in result):
        sentence += " These trials have no probes."
    return sentence + no_interval(known)


def _figure(analysis: Analysis, result: tuple[Regret, ...]) -> Drawing | None:
    outcome = column_name(analysis.primary.outcome)
    rows = {}
    for part in _overall_rows(result):
        strata = [r.estimate for r in result if r.rule == part.rule and r.severity]
        colour = "#9aa1ab" if part.rule in UNKNOWABLE else PALETTE[1]
        rows[RULES[part.rule]] = [Mark(part, colour, "D", around=strata)]
    return forest(
        {f"{outcome} lost against the best model": rows},
        caption=(
            f"Mean {outcome} lost by choosing one of the models trained on the same images; each dot is one dataset "
            "and severity with a shift. Grey: rules that take labelled images of the shift, not available in advance."
        ),
        alt="Mean regret by rule of choice",
        digits=3,
    )


def _tables(analysis: Analysis, result: tuple[Regret, ...]) -> list[Table]:
    known = [part for part in result if part.estimate is not None]
    if not known:
        return []

    def worst(part: Regret) -> Regret | None:
        strata = [r for r in known if r.rule == part.rule and r.severity and part.dataset is None]
        return max(strata, key=lambda r: r.estimate or 0.0, default=None)

    table = Table(
        caption=(
            f"Mean {column_name(analysis.primary.outcome)} lost; “in one choice”: among all trials of a stratum at "
            "once. “All”: the mean over strata with a shift."
        ),
        columns=(
            words("dataset", "dataset", absent="all"),
            words("severity", "s", text=severity),
            words("rule", "choose by", text=RULES.__getitem__),
            *estimates("regret", "cost", digits=3),
            *inside(
                worst,
                decimals("worst", "at worst", "estimate", digits=3),
                Column("worst_stratum", "where", str, lambda part: stratum_name(part.dataset, part.severity)),
            ),
            decimals("whole_stratum", "in one choice", digits=3),
            Column("n_choices", "choices"),
            Column("n", "n"),
            REMARK,
        ),
        rows=sorted(
            # A rule without an estimate is not shown where the table lacks what it reads.
            (r for r in result if r.reason is None or not r.reason.startswith("no trial has")),
            key=lambda r: (r.dataset or "", r.severity or 0.0),
        ),
        group=1,
        fold=sum(part.dataset is None for part in known),
    )
    return [table]


def _missing(analysis: Analysis, result: tuple[Regret, ...]) -> list[Lack]:
    reasons = {part.reason for part in result}
    if len(reasons) == 1 and (reason := reasons.pop()) is not None:
        return [(f"“{TITLE}”", reason)]
    lacks = []
    for part in result:
        if part.dataset is None and part.reason is not None:
            is_probe = part.rule.startswith("outside_") and part.reason.startswith("no trial has the column")
            rule, why = ("a probe", "no trial has its column") if is_probe else (RULES[part.rule], part.reason)
            lacks.append((f"the cost of choosing by {rule}", why))
    return list(dict.fromkeys(lacks))


def _reported(analysis: Analysis, result: tuple[Regret, ...]) -> str:
    costs = "; ".join(f"{RULES[part.rule]} {with_interval(part, 3)}" for part in _overall_rows(result))
    return costs and f"Choosing a model under a shift cost, against the best on the same images, by rule: {costs}."


TITLE = "What does choosing a model cost?"
SECTION = Section(
    key="regret",
    title=TITLE,
    compute=_compute,
    words_last=True,
    sentence=_sentence,
    figures=lambda analysis, result: [_figure(analysis, result)],
    tables=_tables,
    missing=_missing,
    reported=_reported,
)
