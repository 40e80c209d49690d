"""Selection rules compared: how the choice of an epoch affects the outcome. trials/design.py ranks the rules."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.answer.answer import Analysis
from analysis.answer.correlations import reference, within_cells
from analysis.answer.entry import Correlation
from analysis.numbers import count, name, with_interval
from analysis.sections.mask_controls import RIGHT, twins
from analysis.sections.methods import Spread, spread, spread_columns
from analysis.sections.section import Section
from analysis.sections.table import Column, Table, estimates, words
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.stats.replicated import Estimate, mean
from analysis.trials.design import SELECTION, rules_of, selection_of
from analysis.trials.trials import Primary
from records import columns


@dataclass(frozen=True, kw_only=True)
class Difference(Estimate):
    """Mean over trainings of the outcome under a rule less the outcome under the analysed rule."""

    n: int


@dataclass(frozen=True)
class RuleRow:
    """The trials of one selection rule."""

    selection: str
    n: int
    outcome: Spread
    difference: Difference | None
    """From the analysed rule; None for that rule itself."""
    localisation: Correlation | None
    """The primary's rho within cells."""
    reference: Correlation | None
    """The same of the AUC on the ID test set."""


@dataclass(frozen=True)
class SelectionRules:
    """The analysed rule first, the others in a fixed order."""

    analysed: str
    rows: tuple[RuleRow, ...]
    sentence: str


def selection_rules(
    table: pd.DataFrame | None, primary: Primary, *, replicates: int, seed: int
) -> SelectionRules | None:
    """Each rule's outcome, its difference from the analysed rule on the same trainings, and its correlations.

    `table` has the trials of all rules, as `Trials.all_selections`; None with fewer than two rules.
    """
    if table is None or len(rules := rules_of(table)) < 2:
        return None
    by_rule = {rule: table[selection_of(table) == rule].reset_index(drop=True) for rule in rules}
    rows = []
    for rule, trials in by_rule.items():
        data = trials, primary.column, primary.outcome
        resamples = draw_resamples(trials, replicates=replicates, seed=seed)
        row = RuleRow(
            selection=rule,
            n=len(trials),
            outcome=spread(trials, primary.outcome),
            difference=_difference(trials, by_rule[rules[0]], primary.outcome) if rule != rules[0] else None,
            localisation=within_cells(*data, resamples, seed=seed) if primary.column in table else None,
            reference=next(iter(reference(trials, primary.outcome, resamples, seed=seed)), None),
        )
        rows.append(row)
    return SelectionRules(rules[0], tuple(rows), _sentence(rows))


def _difference(trials: pd.DataFrame, analysed: pd.DataFrame, outcome: str) -> Difference:
    kept = [*columns.settings_in(trials), outcome]
    pairs = twins(trials[kept], analysed[kept], [SELECTION], [outcome]).dropna(subset=[outcome, outcome + RIGHT])
    if pairs.empty:
        return Difference(n=0, reason="no training was scored by both rules")
    gain = (pairs[outcome] - pairs[outcome + RIGHT]).to_numpy(dtype=float)
    resamples = draw_resamples(pairs, replicates=1, seed=0)
    return Difference(n=len(gain)).of(mean(gain, resamples.cluster, resamples.dataset))


def _sentence(rows: list[RuleRow]) -> str:
    changes = [
        f"{name(row.selection)} {with_interval(row.difference, 3)} over {count(row.difference.n, 'training')}"
        + (f" ({row.difference.reason})" if row.difference.reason else "")
        for row in rows
        if row.difference is not None
    ]
    analysed, others = name(rows[0].selection), "; ".join(changes)
    return (
        f"The analysis uses the trials selected by {analysed}. Change of the outcome under the other rules: {others}."
    )


def _table(analysis: Analysis, result: SelectionRules) -> Table:
    outcome = analysis.primary.outcome
    return Table(
        caption=(
            f"{outcome} by selection rule, and its difference from the analysed rule on the same trainings. ρ within "
            "cells: the primary’s map score and the AUC on the ID test set, each with the outcome."
        ),
        columns=(
            words("selection", "selection"),
            *spread_columns("outcome", outcome, "outcome", sd="sd"),
            *estimates("difference", "difference", "difference", digits=3, interval="difference_interval"),
            *estimates("rho_localisation", "ρ (map, OOD)", "localisation", interval="rho_localisation_interval"),
            *estimates("rho_id", "ρ (ID, OOD)", "reference", interval="rho_id_interval"),
            Column("n", "n"),
        ),
        rows=result.rows,
    )


SECTION: Section[Any] = Section(
    key="selection_rules",
    title="Which epoch is scored",
    compute=lambda analysis: selection_rules(
        analysis.trials.all_selections, analysis.primary, replicates=analysis.replicates, seed=analysis.seed
    ),
    sentence=lambda analysis, result: str(result.sentence),
    tables=lambda analysis, result: [_table(analysis, result)],
)
