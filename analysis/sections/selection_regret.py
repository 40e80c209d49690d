"""Selection regret: what choosing a model by accuracy, by its map or by both costs out of distribution."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.report.numbers import count
from analysis.stats.cluster_bootstrap import Resamples
from analysis.stats.estimate import Estimate, jackknife_bounds
from analysis.stats.rank_correlation import Floats
from analysis.trials.design import cell_rows, strata_of
from records import columns

Choices = NDArray[np.intp]
RULES = ("id_valid", "localisation", "id_valid_and_localisation", "ood_valid", "random")


@dataclass(frozen=True, kw_only=True)
class Regret(Estimate):
    """The mean regret of one rule, in the outcome's units; never negative."""

    rule: str
    dataset: str | None
    """None for the mean over strata."""
    severity: float | None
    n: int
    """Trials chosen from."""
    n_missing: int
    """Trials without the outcome or a column that one of the rules needs."""
    n_choices: int
    """Data seeds, among whose own trials a choice is made; for the mean over strata, of all of them."""
    whole_stratum: float | None = None
    """The same for one choice among all trials of the stratum at once."""


def selection_regret(table: pd.DataFrame, score: str, outcome: str, resamples: Resamples) -> list[Regret]:
    """Regret = the best outcome among the trials − the outcome of the trial that a rule picks; of a loss, its excess.

    A choice is made among the trials of one (dataset, severity, data seed): methods, strengths and other settings
    trained on the same images, which is what someone who must pick one has before them. The regret is averaged
    over data seeds, and over strata for the overall row. The rules pick the largest

    - id_valid: accuracy on the ID validation set, `valid_id.<measure>` with the outcome's measure;
    - localisation: the score mu;
    - id_valid_and_localisation: z(a) + z(mu), each standardised over the trials to choose from (0 where constant);
    - ood_valid: the same measure on the OOD validation set, an oracle that nobody has before the shift;
    - random: the mean over all trials, what picking blindly costs.

    Of trials tied at the top the mean outcome counts. All rules choose from the same trials: those with the outcome
    and every column that some rule can use. A rule whose column the table lacks is undefined and says so. Data
    seeds with one trial offer no choice; a stratum with no others is one choice, without an interval. Intervals are
    Student's over data seeds, by the delete-one-data-seed jackknife, cut at 0; they need 6 data seeds on each dataset.

    Returns:
        Per rule the overall row first, then one row per stratum, strata in ascending order.
    """
    measure = outcome.rpartition(".")[2]
    names = {
        "id_valid": columns.performance("valid_id", measure),
        "ood_valid": columns.performance("valid_ood", measure),
    }
    needs = {
        "id_valid": [names["id_valid"]],
        "localisation": [score],
        "id_valid_and_localisation": [names["id_valid"], score],
        "ood_valid": [names["ood_valid"]],
        "random": [],
    }
    held = [name for name in dict.fromkeys([outcome, score, *names.values()]) if name in table]
    values = table[held].to_numpy(dtype=np.float64)
    if measure == "loss":
        values[:, [i for i, name in enumerate(held) if name != score]] *= -1  # the smaller, the better
    known = np.isfinite(values).all(axis=1)
    groups = cell_rows(table)
    data_seed = table["data_seed"].to_numpy()
    found: dict[str, list[Regret]] = {rule: [] for rule in RULES}
    # Per rule and stratum, the regret without each data seed of the table.
    deleted: dict[str, list[Floats]] = {rule: [] for rule in RULES}
    used: list[NDArray[np.intp]] = []
    without = 1 - np.eye(len(resamples.dataset))
    for (dataset, severity), cells in strata_of(groups).items():
        positions = np.sort(np.concatenate([groups[cell] for cell in cells]))
        rows = positions[known[positions]]
        column = {name: values[rows, i] for i, name in enumerate(held)}
        seeds, choice = np.unique(data_seed[rows], return_inverse=True)
        offered = np.isin(choice, np.flatnonzero(np.bincount(choice, minlength=len(seeds)) > 1))
        one_choice = not offered.any()
        if not one_choice:
            rows, column = rows[offered], {name: v[offered] for name, v in column.items()}
            seeds, start, choice = np.unique(data_seed[rows], return_index=True, return_inverse=True)
            cluster = resamples.cluster[rows[start]]
        own = np.unique(resamples.cluster[rows])
        used.append(own)
        for rule in RULES:
            head: dict[str, Any] = {
                "rule": rule,
                "dataset": dataset,
                "severity": severity,
                "n": len(rows),
                "n_missing": len(positions) - int(known[positions].sum()),
                "n_choices": min(1, len(rows)) if one_choice else len(seeds),
            }
            absent = [name for name in needs[rule] if name not in table]
            why = f"no trial has the column {absent[0]!r}" if absent else None
            if why is None and len(rows) < 2:
                why = f"{count(len(rows), 'trial')}, nothing to choose from"
            if why is not None:
                found[rule].append(Regret(**head, reason=why))
                continue
            g = column[outcome]
            pick = _picker(rule, [column[name] for name in needs[rule]])
            whole = float(_regrets(pick, g, np.zeros(len(rows), dtype=np.intp))[0])
            if one_choice:
                why = "each data seed has one trial: one choice among all"
                found[rule].append(Regret(**head, estimate=whole, whole_stratum=whole, interval_reason=why))
                continue
            regrets = _regrets(pick, g, choice.astype(np.intp))
            mean = float(regrets.mean())
            deleted[rule].append(_weighted_mean(regrets, without[:, cluster]))
            interval = _interval(mean, deleted[rule][-1], own, resamples)
            found[rule].append(Regret(**head, estimate=mean, whole_stratum=whole, **interval))
    clusters = np.unique(np.concatenate([np.empty(0, dtype=np.intp), *used]))
    overall = {rule: _overall(rule, found[rule], deleted[rule], clusters, resamples) for rule in RULES}
    return [entry for rule in RULES for entry in (overall[rule], *found[rule])]


Picker = Callable[[Choices, int], Floats]
"""From each trial's choice and the number of choices to the value of which the largest is picked."""


def _picker(rule: str, criteria: list[Floats]) -> Picker | None:
    """None for the random rule."""
    if rule == "random":
        return None
    if len(criteria) == 1:
        return lambda choice, n: criteria[0]
    return lambda choice, n: np.sum([_standardised(c, choice, n) for c in criteria], axis=0)


def _regrets(pick: Picker | None, g: Floats, choice: Choices) -> Floats:
    """[choices] the best outcome less the mean outcome of the trials tied at the top."""
    n = int(choice.max()) + 1
    best = np.full(n, -np.inf)
    np.maximum.at(best, choice, g)
    if pick is None:
        picked = np.ones(len(g))
    else:
        criterion = pick(choice, n)
        top = np.full(n, -np.inf)
        np.maximum.at(top, choice, criterion)
        picked = (criterion >= top[choice] - 1e-12).astype(np.float64)
    return best - np.bincount(choice, weights=picked * g, minlength=n) / np.bincount(choice, picked, minlength=n)


def _standardised(values: Floats, choice: Choices, n: int) -> Floats:
    """z within each choice; 0 where its values are constant."""
    size = np.bincount(choice, minlength=n)
    rest = values - (np.bincount(choice, weights=values, minlength=n) / size)[choice]
    spread = np.sqrt(np.bincount(choice, weights=rest**2, minlength=n) / size)[choice]
    return np.where(spread > 1e-12, rest / np.where(spread > 1e-12, spread, 1.0), 0.0)


def _weighted_mean(regrets: Floats, weights: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((weights @ regrets) / weights.sum(axis=1))


def _interval(mean: float, deleted: Floats, clusters: NDArray[np.intp], resamples: Resamples) -> dict[str, Any]:
    found = jackknife_bounds(mean, deleted[clusters], resamples.dataset[clusters])
    return found | ({"ci_low": max(0.0, found["ci_low"])} if "ci_low" in found else {})


def _overall(
    rule: str, strata: list[Regret], deleted: list[Floats], clusters: NDArray[np.intp], resamples: Resamples
) -> Regret:
    """The mean over strata that have a regret, each counting the same."""
    defined = [entry for entry in strata if entry.estimate is not None]
    head: dict[str, Any] = {
        "rule": rule,
        "dataset": None,
        "severity": None,
        "n": sum(entry.n for entry in defined),
        "n_missing": sum(entry.n_missing for entry in strata),
        "n_choices": sum(entry.n_choices for entry in defined),
    }
    if not defined:
        return Regret(**head, reason=strata[0].reason if strata else "no trials")
    estimate = float(np.mean([entry.estimate for entry in defined if entry.estimate is not None]))
    if len(deleted) < len(defined):
        why = "a stratum has one trial per data seed: one choice among all"
        return Regret(**head, estimate=estimate, interval_reason=why)
    return Regret(**head, estimate=estimate, **_interval(estimate, np.mean(deleted, axis=0), clusters, resamples))
