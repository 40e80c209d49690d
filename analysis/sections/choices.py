"""Rules for choosing a model, and what each costs under the shift."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.numbers import column_name, count
from analysis.stats.cluster_bootstrap import Resamples
from analysis.stats.rank_correlation import Floats
from analysis.stats.replicated import Estimate, Replicated, mean
from analysis.trials.design import cell_rows, strata_of
from analysis.trials.trials import Primary
from records import columns

Choices = NDArray[np.intp]
MASKED = "masked"
RULES = {
    "localisation_id": "the map of unshifted images",
    "id_valid": "validation on unshifted images",
    "id_valid_and_localisation_id": "validation and the map together",
    **{f"outside_{outside}": column_name(columns.probe(outside)) for outside in columns.OUTSIDES},
    MASKED: "training on masked images",
    "random": "a random pick",
    "localisation_ood": "the map of shifted images",
    "ood_valid": "validation on shifted images",
    "oracle": "the outcome itself (an oracle)",
}
"""Each rule as words, in the order of tables and figures."""
BY_MAP = "localisation_id"
UNKNOWABLE = ("localisation_ood", "ood_valid", "oracle")
"""Rules that need labelled shifted images, which are not available in advance."""


@dataclass(frozen=True, kw_only=True)
class Regret(Estimate):
    """The mean regret of one rule in units of the outcome; never negative."""

    rule: str
    dataset: str | None
    """None for the mean over all strata with a shift."""
    severity: float | None
    """None for the mean over the strata with a shift."""
    n: int
    """Trials to choose from."""
    n_missing: int
    """Trials without the outcome or a column that some rule uses in the stratum."""
    n_choices: int
    """Data seeds, each of which is one choice; the sum over strata in the overall row."""
    whole_stratum: float | None = None
    """The regret of one choice among all trials of the stratum."""
    saved: float | None = None
    """In means over strata: the regret of choosing by the map of unshifted images, less this rule's, with its interval.

    Both rules choose from the same trials, so what a data seed does to both cancels.
    """
    saved_low: float | None = None
    saved_high: float | None = None
    saved_p: float | None = None
    """Two-sided p-value of no difference."""


def criteria_of(primary: Primary) -> dict[str, list[str]]:
    """The columns by which each rule of `RULES` chooses."""
    measure = primary.outcome.rpartition(".")[2]
    id_valid, ood_valid = (columns.performance(split, measure) for split in ("valid_id", "valid_ood"))
    on_id, on_ood = (
        columns.localisation(split, primary.metric, primary.attribution) for split in ("test_id", "test_ood")
    )
    return {
        "localisation_id": [on_id],
        "id_valid": [id_valid],
        "id_valid_and_localisation_id": [id_valid, on_id],
        **{f"outside_{outside}": [columns.probe(outside)] for outside in columns.OUTSIDES},
        MASKED: [MASKED],
        "random": [],
        "localisation_ood": [on_ood],
        "ood_valid": [ood_valid],
        "oracle": [primary.outcome],
    }


def selection_regret(table: pd.DataFrame, primary: Primary, resamples: Resamples) -> list[Regret]:
    """Regret = the best outcome among the trials − the outcome of the trial that a rule picks.

    A choice is made among the trials of one (dataset, severity, data seed): methods, strengths and other settings
    trained on the same images. The regret is averaged over data seeds, and for the overall row over strata with a
    shift; without a shift all models generalize alike. The rules pick the largest

    - localisation_id: mu, the primary's metric and attribution on the ID test set;
    - id_valid: a, `valid_id.<measure>` with the outcome's measure;
    - id_valid_and_localisation_id: z(a) + z(mu), each standardised over the trials to choose from (0 where constant);
    - outside_zeroed, outside_shuffled, outside_swapped: the probe of this name;
    - masked: whether the method is `masked`, so that all of its trials tie; data seeds without such a trial are left
      out;
    - localisation_ood: mu on the OOD test set, the images of the outcome;
    - ood_valid: the outcome's measure on the OOD validation set. Its images are not those of the outcome, so another
      rule can have a smaller regret;
    - oracle: the outcome itself; its regret is zero by definition;
    - random: the mean over all trials.

    Trials tied at the top count as their mean outcome. All rules choose from the same trials of a stratum: those with
    the outcome and every column that some rule can use there. A rule whose column no trial of the stratum has is
    undefined, with the reason, and so is its mean over strata. Data seeds with one trial offer no choice; if all have
    one, the stratum is one choice, without an interval. Intervals are Student's over data seeds, by the
    delete-one-data-seed jackknife, cut at 0; they need 6 data seeds on each dataset.

    Returns:
        Per rule the mean over all strata with a shift, that of each dataset if there are several, then one row per
        stratum, strata in ascending order.
    """
    criteria, outcome = criteria_of(primary), primary.outcome
    names = {outcome, *(column for rule in criteria.values() for column in rule)} - {MASKED}
    values = pd.DataFrame({name: table[name].to_numpy(dtype=np.float64) for name in sorted(names) if name in table})
    values = values.where(np.isfinite(values)).dropna(axis=1, how="all")
    if (masked := table["method"].eq(MASKED).to_numpy()).any():
        values[MASKED] = masked.astype(np.float64)
    strata = list(_strata(table, values, outcome))
    by_rule = {
        rule: [_in_stratum(rule, criteria[rule], outcome, stratum, values, resamples) for stratum in strata]
        for rule in RULES
    }
    datasets = sorted({stratum.dataset for stratum in strata if stratum.level})
    regrets: list[Regret] = []
    for rule, parts in by_rule.items():
        for dataset in (None, *(datasets if len(datasets) > 1 else [])):
            (mean, value), (_, by_map) = (_mean_over(r, dataset, by_rule[r]) for r in (rule, BY_MAP))
            regrets.append(mean if value is None or by_map is None else _against_map(mean, by_map - value))
        regrets += [regret for regret, _ in parts]
    return regrets


_Part = tuple[Regret, Replicated | None]
"""The regret of a rule in one stratum; no value where there is no interval."""


@dataclass(frozen=True)
class _Stratum:
    """The trials of one stratum from which the rules choose."""

    dataset: str
    level: float
    trials: pd.DataFrame
    """The columns that trials of the stratum have, by the trials' positions in the table."""
    choice: Choices
    """[trials] the choice to which each belongs, that of its data seed."""
    n_missing: int


def _strata(table: pd.DataFrame, values: pd.DataFrame, outcome: str) -> Iterator[_Stratum]:
    groups, data_seed = cell_rows(table), table["data_seed"].to_numpy()
    for (dataset, level), cells in strata_of(groups).items():
        rows = np.sort(np.concatenate([groups[cell] for cell in cells]))
        trials = values.iloc[rows].dropna(axis=1, how="all")
        trials = trials.dropna() if outcome in trials else trials.iloc[:0]
        n_missing = len(rows) - len(trials)
        choice = np.unique(data_seed[trials.index], return_inverse=True)[1]
        has_others = np.bincount(choice)[choice] > 1
        if has_others.any():
            trials, choice = trials[has_others], np.unique(choice[has_others], return_inverse=True)[1]
        if MASKED in trials and not trials[MASKED].any():
            trials = trials.drop(columns=MASKED)
        yield _Stratum(dataset, level, trials, choice, n_missing)


def _in_stratum(
    rule: str, criteria: list[str], outcome: str, stratum: _Stratum, values: pd.DataFrame, resamples: Resamples
) -> _Part:
    trials, choice = stratum.trials, stratum.choice
    one_choice = len(trials) == len(np.unique(choice))
    absent = next((name for name in (outcome, *criteria) if name not in trials), None)
    if rule == MASKED and absent is None and not one_choice:
        kept = np.isin(choice, choice[trials[MASKED] > 0])
        trials, choice = trials[kept], np.unique(choice[kept], return_inverse=True)[1]
    starts = np.unique(choice, return_index=True)[1]
    n = len(trials)
    result = Regret(
        rule=rule,
        dataset=stratum.dataset,
        severity=stratum.level,
        n=n,
        n_missing=stratum.n_missing,
        n_choices=min(1, n) if one_choice else len(starts),
    )
    if absent is not None:
        kind = {MASKED: "method", outcome: "outcome"}.get(absent, "column")
        where = " of the stratum" if absent in values else ""
        return replace(result, reason=f"no trial{where} has the {kind} {absent!r}"), None
    if n < 2:
        return replace(result, reason=f"{count(n, 'trial')}, nothing to choose from"), None
    columns_and_outcome = [trials[name].to_numpy() for name in criteria], trials[outcome].to_numpy()
    whole = float(_regrets(*columns_and_outcome, np.zeros(n, dtype=np.intp))[0])
    result = replace(result, estimate=whole, whole_stratum=whole)
    if one_choice:
        return replace(result, interval_reason="each data seed has one trial: one choice among all"), None
    regrets = _regrets(*columns_and_outcome, choice)
    value = mean(regrets, resamples.cluster[trials.index[starts]], resamples.dataset)
    return _with_interval(result, value), value


def _regrets(criteria: list[Floats], g: Floats, choice: Choices) -> Floats:
    """[choices] the best outcome less the mean outcome of the trials tied at the top (all without a criterion)."""
    criterion = sum((_standardised(values, choice) for values in criteria), np.zeros(len(g)))
    picked = (criterion >= _largest(criterion, choice)[choice] - 1e-12).astype(np.float64)
    return _largest(g, choice) - np.bincount(choice, picked * g) / np.bincount(choice, picked)


def _largest(values: Floats, choice: Choices) -> Floats:
    """[choices] the largest value of each."""
    largest = np.full(int(choice.max()) + 1, -np.inf)
    np.maximum.at(largest, choice, values)
    return largest


def _standardised(values: Floats, choice: Choices) -> Floats:
    """z within each choice; 0 where its values are constant."""
    size = np.bincount(choice)
    rest = values - (np.bincount(choice, values) / size)[choice]
    spread = np.sqrt(np.bincount(choice, rest**2) / size)[choice]
    return np.divide(rest, spread, out=np.zeros(len(rest)), where=spread > 1e-12)


def _with_interval(result: Regret, value: Replicated) -> Regret:
    if np.ptp(value.values[1:][value.present]) < 1e-12:
        return replace(result, estimate=value.whole, interval_reason="the same without any one of the data seeds")
    return result.of(value, low=0.0)


def _against_map(result: Regret, saved: Replicated) -> Regret:
    """The mean with its difference from choosing by the map."""
    interval = saved.interval()
    if result.rule == BY_MAP or interval is None or not interval.standard_error:
        return result
    low, high = interval.bounds()
    return replace(result, saved=saved.whole, saved_low=low, saved_high=high, saved_p=interval.p_value)


def _mean_over(rule: str, dataset: str | None, parts: list[_Part]) -> _Part:
    """The unweighted mean over a dataset's strata that offer a choice; undefined if one of them has no regret."""
    by_stratum = [part for part in parts if part[0].severity and dataset in (None, part[0].dataset)]
    defined = [(regret, value) for regret, value in by_stratum if regret.estimate is not None]
    result = Regret(
        rule=rule,
        dataset=dataset,
        severity=None,
        n=sum(regret.n for regret, _ in defined),
        n_missing=sum(regret.n_missing for regret, _ in by_stratum),
        n_choices=sum(regret.n_choices for regret, _ in defined),
    )
    if not defined:
        why = by_stratum[0][0].reason if by_stratum else "no stratum has a shift (severity above 0)"
        return replace(result, reason=why), None
    offering = sum(regret.n > 1 for regret, _ in by_stratum)
    if len(defined) < offering:
        return replace(result, reason=f"{len(defined)} of {offering} strata with a shift have it"), None
    values = [value for _, value in defined if value is not None]
    if len(values) < len(defined):
        estimate = float(np.mean([regret.estimate for regret, _ in defined]))
        why = "a stratum has one trial per data seed: one choice among all"
        return replace(result, estimate=estimate, interval_reason=why), None
    value = sum(values[1:], values[0]) / len(values)
    return _with_interval(result, value), value
