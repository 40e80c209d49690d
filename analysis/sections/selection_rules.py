"""Selection rules held against each other: what the choice of an epoch does out of distribution.

Trials that differ in their selection rule alone share a training, so a cell that held them all would count each
training several times. One rule is therefore analysed, and the others are compared with it here.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.answer.correlations import reference, within_cells
from analysis.answer.entry import Correlation
from analysis.report.numbers import count, interval, name, number
from analysis.sections.methods import Spread, spread
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.stats.estimate import Estimate, jackknife_bounds
from analysis.trials.selection import SELECTION, UNKNOWN, rules_of
from analysis.trials.trials import Primary
from records import columns

CONFIGURATION = ("dataset", "severity", "method", "strength", "model", "seed", "data_seed", "preset", "epochs")
"""Columns that, with the hyperparameters, two trials of one training share."""


@dataclass(frozen=True, kw_only=True)
class Difference(Estimate):
    """Mean over pairs of trials of one training: the outcome under a rule less that under the analysed rule."""

    n: int
    """Pairs with both outcomes."""


@dataclass(frozen=True)
class RuleRow:
    """What one selection rule leads to."""

    selection: str
    n: int
    """Trials."""
    outcome: Spread
    difference: Difference | None
    """Against the analysed rule; None for that rule itself."""
    localisation: Correlation | None
    """The primary's rho within cells among this rule's trials; None where it is in no trial."""
    reference: Correlation | None
    """The same of the AUC on the ID test set: rho(ID, OOD)."""


@dataclass(frozen=True)
class SelectionRules:
    """The analysed rule first, the others in a fixed order."""

    analysed: str
    rows: tuple[RuleRow, ...]
    sentence: str


def selection_rules(table: pd.DataFrame, primary: Primary, *, replicates: int, seed: int) -> SelectionRules | None:
    """Each rule's outcome, its difference to the analysed rule on the same trainings, and its correlations.

    The difference's interval is the delete-one-data-seed jackknife's.

    Args:
        table: trials of all rules, as in `Trials.all_selections`.
        primary: whose outcome and score are compared.
        replicates, seed: of the bootstrap and the permutations.

    Returns:
        None where there are not two rules.
    """
    rules = rules_of(table)
    if len(rules) < 2:
        return None
    known = table[SELECTION].fillna(UNKNOWN).astype(str)
    parts = {rule: table[known == rule].reset_index(drop=True) for rule in rules}
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
    keys = [c for c in part if c in CONFIGURATION or str(c).startswith(columns.HYPERPARAMETER_PREFIX)]
    # As text, so that a missing setting equals a missing one and a list has a hash.
    sides = [side[keys].astype(str).assign(outcome=side[outcome]) for side in (part, analysed)]
    pairs = sides[0].merge(sides[1], on=keys, suffixes=("", "_analysed")).dropna(subset=["outcome", "outcome_analysed"])
    if pairs.empty:
        return Difference(n=0, reason="no training was scored by both rules")
    gain = (pairs["outcome"] - pairs["outcome_analysed"]).to_numpy(dtype=np.float64)
    clusters = pd.MultiIndex.from_frame(pairs[["dataset", "data_seed"]])
    cluster, index = pd.factorize(clusters, sort=True)
    sums, sizes = np.bincount(cluster, gain), np.bincount(cluster)
    mean = float(gain.mean())
    with np.errstate(invalid="ignore", divide="ignore"):
        deleted = (gain.sum() - sums) / (len(gain) - sizes)
    dataset = pd.factorize(index.get_level_values(0))[0].astype(np.intp)
    return Difference(n=len(gain), estimate=mean, **jackknife_bounds(mean, deleted, dataset))


def _sentence(analysed: str, rows: list[RuleRow]) -> str:
    told = []
    for row in rows:
        if row.difference is None:
            continue
        if row.difference.estimate is None:
            told.append(f"{name(row.selection)} cannot be paired with it ({row.difference.reason})")
            continue
        bounds = interval(row.difference.ci_low, row.difference.ci_high, 3)
        told.append(
            f"{name(row.selection)} changes the outcome by {number(row.difference.estimate, 3)} ({bounds}) over "
            f"{count(row.difference.n, 'training')}"
        )
    return f"Analysed are the trials selected by {name(analysed)}. Against it, {'; '.join(told)}."
