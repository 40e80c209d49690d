"""Selection rules compared: how the choice of an epoch affects the outcome. trials/selection.py ranks the rules."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.answer.answer import Analysis
from analysis.answer.correlations import reference, within_cells
from analysis.answer.entry import Correlation
from analysis.numbers import count, name, with_interval
from analysis.sections.methods import Spread, spread, spread_entries
from analysis.sections.section import Section
from analysis.sections.table import Table, estimated, whole
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.stats.replicated import Estimate, mean
from analysis.trials.selection import SELECTION, rules_of, selection_of
from analysis.trials.trials import Primary
from records import columns


@dataclass(frozen=True, kw_only=True)
class Difference(Estimate):
    """Mean over trainings of the outcome under a rule less the outcome under the analysed rule."""

    n: int
    """Pairs with both outcomes."""


@dataclass(frozen=True)
class RuleRow:
    """Results of one selection rule."""

    selection: str
    n: int
    """Trials."""
    outcome: Spread
    difference: Difference | None
    """From the analysed rule; None for that rule itself."""
    localisation: Correlation | None
    """The primary's rho within cells among this rule's trials; None if no trial has it."""
    reference: Correlation | None
    """rho within cells of the AUC on the ID test set and the outcome."""


@dataclass(frozen=True)
class SelectionRules:
    """The analysed rule first, the others in a fixed order."""

    analysed: str
    rows: tuple[RuleRow, ...]
    sentence: str


def selection_rules(table: pd.DataFrame, primary: Primary, *, replicates: int, seed: int) -> SelectionRules | None:
    """Each rule's outcome, its difference from the analysed rule on the same trainings, and its correlations.

    The interval of a difference is by the delete-one-data-seed jackknife.

    Args:
        table: trials of all rules, as in `Trials.all_selections`.
        primary: the outcome and score to compare.
        replicates, seed: of the bootstrap and the permutations.

    Returns:
        None with fewer than two rules.
    """
    rules = rules_of(table)
    if len(rules) < 2:
        return None
    parts = {rule: table[selection_of(table) == rule].reset_index(drop=True) for rule in rules}
    analysed = rules[0]
    rows = []
    for rule, part in parts.items():
        resamples = draw_resamples(part, replicates=replicates, seed=seed)
        rows.append(
            RuleRow(
                selection=rule,
                n=len(part),
                outcome=spread(part[primary.outcome].dropna().to_numpy(dtype=float)),
                difference=None if rule == analysed else _difference(part, parts[analysed], primary.outcome),
                localisation=within_cells(part, primary.column, primary.outcome, resamples, seed=seed)
                if primary.column in part
                else None,
                reference=next(iter(reference(part, primary.outcome, resamples, seed=seed)), None),
            )
        )
    return SelectionRules(analysed, tuple(rows), _sentence(analysed, rows))


def _difference(part: pd.DataFrame, analysed: pd.DataFrame, outcome: str) -> Difference:
    keys = [c for c in columns.settings_in(part) if c != SELECTION]
    # As text, so that a missing setting equals a missing one and a list has a hash.
    sides = [side[keys].astype(str).assign(outcome=side[outcome]) for side in (part, analysed)]
    pairs = sides[0].merge(sides[1], on=keys, suffixes=("", "_analysed")).dropna(subset=["outcome", "outcome_analysed"])
    if pairs.empty:
        return Difference(n=0, reason="no training was scored by both rules")
    gain = (pairs["outcome"] - pairs["outcome_analysed"]).to_numpy(dtype=np.float64)
    clusters = pd.MultiIndex.from_frame(pairs[["dataset", "data_seed"]])
    cluster, index = pd.factorize(clusters, sort=True)
    dataset = pd.factorize(index.get_level_values(0))[0].astype(np.intp)
    return Difference(n=len(gain)).of(mean(gain, cluster.astype(np.intp), dataset))


def _sentence(analysed: str, rows: list[RuleRow]) -> str:
    changes = []
    for row in rows:
        if (difference := row.difference) is None:
            continue
        if difference.estimate is None:
            changes.append(f"{name(row.selection)} cannot be paired with it ({difference.reason})")
        else:
            change, trainings = with_interval(difference, 3), count(difference.n, "training")
            changes.append(f"{name(row.selection)} changes the outcome by {change} over {trainings}")
    return f"The analysis uses the trials selected by {name(analysed)}. Compared with it, {'; '.join(changes)}."


def _compute(analysis: Analysis) -> SelectionRules | None:
    table = analysis.trials.all_selections
    if table is None:
        return None
    return selection_rules(table, analysis.primary, replicates=analysis.replicates, seed=analysis.seed)


def _tables(analysis: Analysis, result: SelectionRules | None) -> list[Table]:
    if result is None:
        return []
    outcome = analysis.primary.outcome
    table = Table(
        name="selection_rules",
        title="Which epoch is scored",
        caption=(
            f"{outcome} by selection rule. The report analyses the first rule; the difference is from that rule on the "
            "same trainings. ρ within cells: the primary’s map score and the AUC on the ID test set, each with the "
            "outcome, among the trials of each rule."
        ),
        headings=(
            *("selection", outcome, "sd", "difference", "95 % interval"),
            *("ρ (map, OOD)", "95 % interval", "ρ (ID, OOD)", "95 % interval", "n"),
        ),
        rows=tuple(
            (
                (row.selection, name(row.selection)),
                *spread_entries(row.outcome),
                *estimated(row.difference, 3),
                *estimated(row.localisation),
                *estimated(row.reference),
                whole(row.n),
            )
            for row in result.rows
        ),
        text_columns=1,
        fields=(
            *("selection", "outcome", "sd", "difference", "difference_interval"),
            *("rho_localisation", "rho_localisation_interval", "rho_id", "rho_id_interval", "n"),
        ),
    )
    return [table]


SECTION = Section(
    key="selection_rules",
    title="Which epoch is scored",
    compute=_compute,
    sentence=lambda analysis, result: "" if result is None else result.sentence,
    tables=_tables,
)
