"""What choosing a model costs: by its map, by validation, by each probe, at random, and always training masked."""

from dataclasses import dataclass
from typing import Any

from analysis.answer.answer import Analysis
from analysis.numbers import (
    column_name,
    interval,
    listed,
    name,
    number,
    severity,
    stratum_name,
    with_interval,
)
from analysis.sections.choices import BY_MAP, MASKED, RULES, UNKNOWABLE, Regret, selection_regret
from analysis.sections.drawing import PALETTE, Drawing, Mark, forest
from analysis.sections.section import Lack, Section, no_interval
from analysis.sections.table import REMARK, Column, Table, decimals, estimates, inside, intervals, words
from analysis.stats.multiplicity import holm_levels
from analysis.trials.trials import UNKNOWN_DATA_SEEDS

AS_GOOD = 0.005
"""Difference of two costs, in units of the outcome, below which both count as the cheapest."""
MATTERS = 0.02
"""Difference of two costs on a dataset from which the choice is said to matter there."""


def _compute(analysis: Analysis) -> tuple[Regret, ...]:
    if analysis.trials.data_seeds_known:
        return tuple(selection_regret(analysis.trials.table, analysis.primary, analysis.resamples))
    nothing: dict[str, Any] = {"dataset": None, "severity": None, "n": 0, "n_missing": 0, "n_choices": 0}
    return tuple(Regret(rule=rule, reason=UNKNOWN_DATA_SEEDS, **nothing) for rule in RULES)


def _overall_rows(result: tuple[Regret, ...]) -> list[Regret]:
    """The mean over strata of each rule that has one, without the oracle; none if no map has one."""
    known = [p for p in result if p.dataset is None and p.estimate is not None and p.rule != "oracle"]
    return known if any(part.rule.startswith("localisation_") for part in known) else []


def in_advance(analysis: Analysis) -> list[Regret]:
    """The mean over strata of each rule that needs no labelled shifted images, the cheapest first."""
    return sorted(
        (part for part in _overall_rows(analysis.results["regret"]) if part.rule not in UNKNOWABLE),
        key=lambda part: part.estimate or 0.0,
    )


@dataclass(frozen=True)
class Decision:
    """What a person should do, in sentences."""

    advice: str
    certainty: str
    """The difference between the map and the rule that is named first, with its interval and by dataset."""
    costs: str
    note: str
    """What costs are, where they are shown as a table."""


def decision(analysis: Analysis) -> Decision | None:
    """What a person should do, what it costs and how certain that is; None where no rule is compared with the map.

    A rule is better or worse than the map by the paired difference of their costs, with Holm's procedure over rules.
    """
    known = in_advance(analysis)
    by_map = next((part for part in known if part.rule == BY_MAP), None)
    compared = [part for part in known if part.saved_p is not None]
    if by_map is None or not compared:
        return None
    levels = holm_levels([part.saved_p or 0.0 for part in compared])
    differ = [part for part, level in zip(compared, levels, strict=True) if (part.saved_p or 0.0) <= level]
    better = [part for part in differ if (part.saved or 0.0) > 0]
    best = [part for part in better if (part.estimate or 0.0) < (better[0].estimate or 0.0) + AS_GOOD]
    if best:
        lead = f"{_advice([part.rule for part in best])}. Do not choose it by its map"
    elif differ:
        worse = listed([RULES[part.rule] for part in differ])
        lead = f"choose the model by its map: it costs less than {worse}, and no rule tried is shown to cost less"
    else:
        lead = "no rule tried is shown to be a better or a worse guide than the map"
    other = (best or differ or compared)[0]
    shown = [*(best or known[:1]), by_map, *(part for part in known if part.rule in ("id_valid", "random"))]
    costs = listed([f"{RULES[part.rule]} {with_interval(part)}" for part in dict.fromkeys(shown)])
    outcome, by = column_name(analysis.primary.outcome), "" if other.rule in (MASKED, "random") else "choosing by "
    low, high = other.saved_low or 0.0, other.saved_high or 0.0
    if (other.saved or 0.0) < 0:
        low, high = -high, -low
    by_chance = f", which may be chance among {len(compared)} rules" if low > 0 and other not in differ else ""
    cost = f"Costs are {outcome} lost on shifted images, against the best model trained on the same images"
    seen = "All rules see unshifted (ID) images alone."
    return Decision(
        advice=f"On these data, {lead}.",
        certainty=(
            f"Choosing by the map costs {_more(other.saved)} {outcome} than {by}{RULES[other.rule]} (95\u00a0% "
            f"interval {interval(low, high)}){by_chance}."
            f"{_by_dataset(analysis, other.rule)}{_exceptions(analysis, best)}"
        ),
        costs=f"{cost}: {costs}. {seen}",
        note=f"{cost}. {seen} Masked images have zeros outside the mask.",
    )


def _more(difference: float | None) -> str:
    """As in "0.07 more"."""
    return f"{number(abs(difference or 0.0))} {'less' if (difference or 0.0) < 0 else 'more'}"


def _advice(rules: list[str]) -> str:
    """As in "train on masked images, or choose the model by A or B", the rules in order."""
    named = listed([RULES[rule] for rule in rules if rule != MASKED], "or")
    ways = [f"choose the model by {named}"] if named else []
    if MASKED in rules:
        ways.insert(0 if rules[0] == MASKED else 1, "train on masked images")
    return ", or ".join(ways)


def _costs_by_dataset(analysis: Analysis) -> dict[str, dict[str, float]]:
    """The cost on each dataset of each rule that needs no shifted images; empty for one dataset."""
    costs: dict[str, dict[str, float]] = {}
    for row in analysis.results["regret"]:
        if row.dataset is not None and row.severity is None and row.estimate is not None and row.rule not in UNKNOWABLE:
            costs.setdefault(row.dataset, {})[row.rule] = row.estimate
    return costs


def _by_dataset(analysis: Analysis, rule: str) -> str:
    """On which datasets the difference between the map and the rule matters."""
    costs = _costs_by_dataset(analysis)
    differences = {name(d): c[BY_MAP] - c[rule] for d, c in costs.items() if BY_MAP in c and rule in c}
    where = [
        listed([f"{d} ({_more(x)})" for d, x in differences.items() if (abs(x) >= MATTERS) == matters])
        for matters in (True, False)
    ]
    if all(where):
        return f" The choice between the two matters on {where[0]}, hardly on {where[1]}."
    hardly = "" if where[0] else "hardly "
    return f" The choice between the two {hardly}matters on {where[0] or where[1]}." if any(where) else ""


def _exceptions(analysis: Analysis, best: list[Regret]) -> str:
    """The datasets on which another rule is cheaper than those that are best overall."""
    parts = []
    for dataset, costs in _costs_by_dataset(analysis).items():
        cheapest = min(costs, key=costs.__getitem__)
        ours = [costs[part.rule] for part in best if part.rule in costs]
        if ours and min(ours) >= costs[cheapest] + AS_GOOD:
            parts.append(f" On {name(dataset)}, {RULES[cheapest]} costs least, {number(costs[cheapest])}.")
    return "".join(parts)


def _sentence(analysis: Analysis, result: tuple[Regret, ...]) -> str:
    known = _overall_rows(result)
    if not known:
        reasons = {part.rule: part.reason for part in result if part.dataset is None}
        return f"Not estimated: {reasons[BY_MAP] or reasons['localisation_ood']}."
    has_probe = any(part.rule.startswith("outside_") and part.estimate is not None for part in result)
    probes = "" if has_probe else " These trials have no probes (AUC with other pixels outside the mask)."
    return f"{probes}{no_interval(known)}".strip()


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
            "and severity with a shift. Grey: rules that need labelled shifted images, not available in advance."
        ),
        alt="Mean regret by rule of choice",
        digits=3,
    )


def _tables(analysis: Analysis, result: tuple[Regret, ...]) -> list[Table]:
    """The means over strata, with a column a dataset; then every stratum."""
    known = [part for part in result if part.estimate is not None]
    if not known:
        return []
    outcome = column_name(analysis.primary.outcome)
    by_dataset = {(part.rule, part.dataset): part for part in known if part.severity is None}

    def of_dataset(dataset: str) -> Column:
        def cost(part: Regret) -> float | None:
            row = by_dataset.get((part.rule, dataset))
            return None if row is None else row.estimate

        return decimals(f"regret.{dataset}", name(dataset), cost, digits=3)

    means = Table(
        caption=(
            f"Mean {outcome} lost over the strata with a shift, against the best of the models trained on the same "
            "images. The map is that of unshifted images; its cost is compared on the same choices. Rules on shifted "
            "images need labels there, which are not available in advance."
        ),
        columns=(
            words("rule", "rule", text=RULES.__getitem__),
            *estimates("regret", "cost", digits=3),
            *map(of_dataset, dict.fromkeys(r.dataset for r in known if r.severity is None and r.dataset is not None)),
            decimals("saved", "the map costs more by", digits=3),
            intervals("saved_interval", "95 % interval", "saved_low", "saved_high", digits=3),
        ),
        rows=_overall_rows(result),
    )

    def worst(part: Regret) -> Regret | None:
        strata = [r for r in known if r.rule == part.rule and r.severity and part.dataset is None]
        return max(strata, key=lambda r: r.estimate or 0.0, default=None)

    table = Table(
        name="regret_by_stratum",
        title="The same by stratum",
        caption=(
            f"Mean {outcome} lost; “in one choice”: among all trials of a stratum at once. “All”: the mean over strata "
            "with a shift."
        ),
        columns=(
            words("dataset", "dataset", absent="all"),
            words("severity", "s", text=severity, absent="all"),
            words("rule", "rule", text=RULES.__getitem__),
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
            key=lambda r: (r.dataset or "", -1.0 if r.severity is None else r.severity),
        ),
        group=1,
        fold=0,
    )
    return [means, table]


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


TITLE = "How should I choose a model, and what does it cost?"
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
