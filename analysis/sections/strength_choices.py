"""Which strength to use: the choice of validation, the map and the probes for each method, and its cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from operator import itemgetter, methodcaller
from typing import Any

import numpy as np
import pandas as pd

from analysis.answer.answer import Analysis
from analysis.numbers import column_name, listed, number, strength
from analysis.sections.choices import RULES, criteria_of
from analysis.sections.drawing import place_of_method
from analysis.sections.methods import group_means
from analysis.sections.section import Lack, Section
from analysis.sections.table import REMARK, Column, Table, decimals, estimates, inside, words
from analysis.stats.replicated import Estimate, Replicated
from analysis.trials.trials import Primary
from records import columns

TITLE = "Which strength should I use?"
RANDOM, ORACLE = "random", "oracle"
SHORT = {"id_valid": "validation", "localisation_id": "map", **{f"outside_{o}": o for o in columns.OUTSIDES}}
"""Rules of `RULES` that need no images with the shift, and their headings in the table."""
CHOOSING = (*SHORT, RANDOM)
METHOD = (
    "A strength’s outcome and the criteria for choosing it are averaged over the strata with a shift, each of them the "
    "mean over its trials; only strengths with trials in all of them are compared."
)


@dataclass(frozen=True, kw_only=True)
class StrengthChoice(Estimate):
    """The strength that a rule chooses for a method on a dataset; the estimate is the cost in units of the outcome."""

    dataset: str
    method: str
    rule: str
    strength: float | None
    """None for ties and for a random choice."""
    outcome: float
    n_strengths: int
    n_clusters: int


def strength_choices(table: pd.DataFrame, primary: Primary) -> tuple[StrengthChoice, ...]:
    """Per dataset and method with several strengths: the best strength, then the choice of each rule.

    `METHOD` says how strengths are compared. A rule chooses the strength with the largest criterion (see
    `criteria_of`), or the mean of several that tie; random is the mean over the strengths. Cost = best outcome −
    outcome of the choice. The interval is by the delete-one-data-seed jackknife with both strengths held fixed.
    """
    shifted = table[table["severity"] > 0]
    if "strength" not in shifted or primary.outcome not in shifted:
        return ()
    shifted = shifted.dropna(subset=["strength", primary.outcome])
    trials: dict[Any, pd.DataFrame] = dict(iter(shifted.groupby(["dataset", "method"])))
    cells = sorted(trials, key=lambda cell: (cell[0], place_of_method(cell[1])))
    return tuple(choice for cell in cells for choice in _of_method(trials[cell], primary, *cell))


def _of_method(trials: pd.DataFrame, primary: Primary, dataset: str, method: str) -> Iterator[StrengthChoice]:
    present = trials.groupby("strength")["severity"].nunique()
    trials = trials[trials["strength"].isin(present.index[present == trials["severity"].nunique()])]
    strengths = np.unique(trials["strength"])
    if len(strengths) < 2:
        return
    outcome = _means(trials, primary.outcome)
    best = int(np.argmax(outcome.values[:, 0]))
    criteria = criteria_of(primary)
    for rule in (ORACLE, *CHOOSING):
        known = [_means(trials, column).values[:, 0] for column in criteria[rule] if column in trials]
        criterion = np.sum([np.zeros(len(strengths)), *known], axis=0)
        if len(known) < len(criteria[rule]) or not np.isfinite(criterion).all():
            continue
        taken = np.flatnonzero(criterion >= criterion.max() - 1e-12)
        chosen = outcome[taken].mean()
        choice = StrengthChoice(
            dataset=dataset,
            method=method,
            rule=rule,
            strength=float(strengths[taken[0]]) if len(taken) == 1 else None,
            outcome=chosen.whole,
            n_strengths=len(strengths),
            n_clusters=trials["data_seed"].nunique(),
        )
        is_best = taken.tolist() == [best]
        itself = replace(choice, estimate=0.0, interval_reason="it is the best strength itself")
        yield itself if is_best else choice.of(outcome[best] - chosen)


def _means(trials: pd.DataFrame, column: str) -> Replicated:
    """[strengths] mean over strata of the column's mean over trials; NaN where a stratum has no value of it."""
    means = group_means(trials, ["severity", "strength"], column)
    return means[np.arange(len(means.values)).reshape(-1, trials["strength"].nunique())].mean()


def _costs(result: tuple[StrengthChoice, ...]) -> dict[str, list[float]]:
    """The costs of each rule that was applied, one per dataset and method."""
    costs = {rule: [c.estimate for c in result if c.rule == rule and c.estimate is not None] for rule in CHOOSING}
    return {rule: of_rule for rule, of_rule in costs.items() if of_rule}


def _sentence(analysis: Analysis, result: tuple[StrengthChoice, ...]) -> str:
    costs = _costs(result)
    n = len(costs[RANDOM])
    # Means over different pairs of method and dataset cannot be compared.
    means = listed([f"{number(float(np.mean(c)), 3)} by {RULES[rule]}" for rule, c in costs.items() if len(c) == n])
    fewer = listed([f"{RULES[rule]} ({len(c)})" for rule, c in costs.items() if len(c) < n])
    over = "for one method on one dataset" if n == 1 else f"on average over {n} pairs of method and dataset"
    outcome, fewer = column_name(analysis.primary.outcome), fewer and f" Fewer pairs have a choice by {fewer}."
    return f"Choosing a method’s strength on unshifted images costs {outcome}, {over}: {means}.{fewer}"


def _tables(analysis: Analysis, result: tuple[StrengthChoice, ...]) -> list[Table]:
    """A row per dataset and method, with each rule's strength and cost; then each choice with the cost's interval."""
    outcome = column_name(analysis.primary.outcome)
    cells = groupby(result, key=lambda choice: (choice.dataset, choice.method))
    choices = [{choice.rule: choice for choice in of_cell} for _, of_cell in cells]
    cell = words("dataset", "dataset"), words("method", "method")
    chosen = [
        inside(
            methodcaller("get", rule),
            _strength(f"{rule}.strength", SHORT[rule]),
            decimals(f"{rule}.cost", "cost", "estimate", digits=3),
        )
        for rule in _costs(result)
        if rule != RANDOM
    ]
    best = *cell, _strength("best_strength", "best λ"), decimals("best_outcome", outcome, "outcome")
    wide = Table(
        caption=(
            f"The strength λ with the best mean {outcome} over the strata with a shift, then each rule’s choice and "
            "cost: by ID validation, the map on ID images, the probes by what replaces the outside of the mask, and at "
            "random. Costs are biased upwards, since the same outcome selects the best strength."
        ),
        columns=(
            *inside(itemgetter(ORACLE), *best),
            *chain.from_iterable(chosen),
            *inside(itemgetter(RANDOM), decimals("random.cost", RANDOM, "estimate", digits=3)),
        ),
        rows=choices,
        group=1,
    )
    long = Table(
        name="strength_choice_costs",
        title="The same with intervals",
        caption="The interval is over data seeds, with the chosen and the best strength held fixed.",
        columns=(
            *cell,
            words("rule", "rule", text=RULES.__getitem__),
            _strength("strength", "λ"),
            decimals("outcome", outcome),
            *estimates("cost", "cost", digits=3),
            Column("n_strengths", "strengths"),
            Column("n_clusters", "data seeds"),
            REMARK,
        ),
        rows=result,
        group=2,
        fold=0,
    )
    return [wide, long]


def _strength(field: str, heading: str) -> Column:
    def chosen(choice: StrengthChoice) -> float | str:
        return ("any" if choice.rule == RANDOM else "tied") if choice.strength is None else choice.strength

    return Column(field, heading, lambda value: value if isinstance(value, str) else strength(value), chosen)


def _missing(analysis: Analysis, result: tuple[StrengthChoice, ...]) -> Sequence[Lack]:
    """The table, if there are several strengths but none can be compared, as when each trial draws its strength."""
    shifted = analysis.trials.table[analysis.trials.table["severity"] > 0]
    if result or "strength" not in shifted or shifted.groupby(["dataset", "method"])["strength"].nunique().max() < 2:
        return ()
    return [(f"“{TITLE}”", "no method has two strengths with trials at every severity above 0")]


SECTION = Section(
    key="strength_choices",
    title=TITLE,
    compute=lambda analysis: strength_choices(analysis.trials.table, analysis.primary),
    words_last=True,
    sentence=_sentence,
    missing=_missing,
    tables=_tables,
    method=lambda analysis, result: {"Choice of a strength": METHOD} if result else {},
)
