"""Selection regret: what choosing a model by its performance, its map or both costs under the shift."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.answer.answer import Analysis
from analysis.numbers import column_name, count, name, severity, with_interval
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
from analysis.sections.section import OTHER_WAYS, Section, if_estimated, no_interval
from analysis.sections.table import Table, estimated, remark, value, whole
from analysis.stats.cluster_bootstrap import Resamples
from analysis.stats.estimate import Estimate, jackknife_bounds
from analysis.stats.rank_correlation import Floats
from analysis.trials.design import cell_rows, strata_of
from records import columns

Choices = NDArray[np.intp]
RULES = {
    "id_valid": "performance without the shift",
    "localisation": "the map",
    "id_valid_and_localisation": "both together",
    "ood_valid": "performance under the shift, on other images",
    "oracle": "the outcome itself (an oracle)",
    "random": "a random pick",
}
"""Each rule as words."""


@dataclass(frozen=True, kw_only=True)
class Regret(Estimate):
    """The mean regret of one rule, in the outcome's units; never negative."""

    rule: str
    dataset: str | None
    """None for the mean over strata with a shift."""
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
    over data seeds, and over strata with a shift for the overall row: without a shift all models generalize alike, so
    those strata are shown and do not count. The rules pick the largest

    - id_valid: accuracy on the ID validation set, `valid_id.<measure>` with the outcome's measure;
    - localisation: the score mu;
    - id_valid_and_localisation: z(a) + z(mu), each standardised over the trials to choose from (0 where constant);
    - ood_valid: the same measure on the OOD validation set, which nobody has before the shift. Its images are not those
      of the outcome, so another rule can come out below it;
    - oracle: the outcome itself; its regret is zero, the least of all by definition;
    - random: the mean over all trials, what picking blindly costs.

    Of trials tied at the top the mean outcome counts. All rules choose from the same trials: those with the outcome
    and every column that some rule can use. A rule whose column the table lacks is undefined, with the reason. Data
    seeds with one trial offer no choice; a stratum with no others is one choice, without an interval. Intervals are
    Student's over data seeds, by the delete-one-data-seed jackknife, cut at 0; they need 6 data seeds on each dataset.

    Returns:
        Per rule the overall row first, then one row per stratum, strata in ascending order.
    """
    measure = outcome.rpartition(".")[2]
    id_valid, ood_valid = (columns.performance(split, measure) for split in ("valid_id", "valid_ood"))
    criteria = {
        "id_valid": [id_valid],
        "localisation": [score],
        "id_valid_and_localisation": [id_valid, score],
        "ood_valid": [ood_valid],
        "oracle": [outcome],
        "random": [],
    }
    names = [name for name in dict.fromkeys([outcome, score, id_valid, ood_valid]) if name in table]
    values = {name: table[name].to_numpy(dtype=np.float64) for name in names}
    if measure == "loss":
        values = {name: v if name == score else -v for name, v in values.items()}  # the smaller, the better
    known = np.isfinite(np.column_stack(list(values.values()))).all(axis=1)
    strata = _strata(table, known, resamples)
    shifted_rows = [resamples.cluster[stratum.rows] for stratum in strata if stratum.level > 0]
    used = np.concatenate([np.empty(0, dtype=np.intp), *shifted_rows])
    regrets: list[Regret] = []
    for rule in RULES:
        by_stratum = [_in_stratum(rule, criteria[rule], outcome, values, stratum, resamples) for stratum in strata]
        shifted = [(entry, deleted) for entry, deleted in by_stratum if entry.severity]
        overall = _overall(rule, shifted, used, resamples)
        regrets += [overall, *(entry for entry, _ in by_stratum)]
    return regrets


@dataclass(frozen=True)
class _Stratum:
    """The trials of one stratum that the rules choose from."""

    dataset: str
    level: float
    rows: Choices
    """Their positions in the table."""
    choice: Choices
    """[trials] the choice that each takes part in: its data seed's."""
    cluster: Choices
    """[choices] the cluster of each."""
    is_one_choice: bool
    """Whether no data seed has several trials, so that all of them are one choice."""
    n_missing: int


def _strata(table: pd.DataFrame, known: NDArray[np.bool_], resamples: Resamples) -> list[_Stratum]:
    groups, data_seed = cell_rows(table), table["data_seed"].to_numpy()
    strata = []
    for (dataset, level), cells in strata_of(groups).items():
        positions = np.sort(np.concatenate([groups[cell] for cell in cells]))
        rows = positions[known[positions]]
        n_missing = len(positions) - len(rows)
        seeds, choice = np.unique(data_seed[rows], return_inverse=True)
        offered = np.isin(choice, np.flatnonzero(np.bincount(choice, minlength=len(seeds)) > 1))
        if offered.any():
            rows = rows[offered]
        _, start, choice = np.unique(data_seed[rows], return_index=True, return_inverse=True)
        cluster = resamples.cluster[rows[start]]
        strata.append(_Stratum(dataset, level, rows, choice.astype(np.intp), cluster, not offered.any(), n_missing))
    return strata


def _in_stratum(
    rule: str,
    criteria: list[str],
    outcome: str,
    values: dict[str, Floats],
    stratum: _Stratum,
    resamples: Resamples,
) -> tuple[Regret, Floats | None]:
    """(the regret of a rule, the same without each cluster of the table or None where there is no interval)."""
    n, one_choice = len(stratum.rows), stratum.is_one_choice
    n_choices = min(1, n) if one_choice else len(stratum.cluster)
    result = Regret(
        rule=rule,
        dataset=stratum.dataset,
        severity=stratum.level,
        n=n,
        n_missing=stratum.n_missing,
        n_choices=n_choices,
    )
    absent = [name for name in criteria if name not in values]
    if absent:
        return replace(result, reason=f"no trial has the column {absent[0]!r}"), None
    if n < 2:
        return replace(result, reason=f"{count(n, 'trial')}, nothing to choose from"), None
    parts = [values[name][stratum.rows] for name in criteria], values[outcome][stratum.rows]
    whole = float(_regrets(*parts, np.zeros(n, dtype=np.intp))[0])
    result = replace(result, estimate=whole, whole_stratum=whole)
    if one_choice:
        return replace(result, interval_reason="each data seed has one trial: one choice among all"), None
    regrets, n_clusters = _regrets(*parts, stratum.choice), len(resamples.dataset)
    sums, sizes = (np.bincount(stratum.cluster, w, n_clusters) for w in (regrets, np.ones(len(regrets))))
    with np.errstate(invalid="ignore", divide="ignore"):
        deleted = (regrets.sum() - sums) / (len(regrets) - sizes)
    return _with_interval(replace(result, estimate=float(regrets.mean())), deleted, stratum.cluster, resamples), deleted


def _regrets(criteria: list[Floats], g: Floats, choice: Choices) -> Floats:
    """[choices] the best outcome less the mean outcome of the trials tied at the top; without a criterion all tie."""
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
    return np.where(spread > 1e-12, rest / np.where(spread > 1e-12, spread, 1.0), 0.0)


def _with_interval(result: Regret, deleted: Floats, clusters: Choices, resamples: Resamples) -> Regret:
    used = np.unique(clusters)
    interval = jackknife_bounds(result.estimate or 0.0, deleted[used], resamples.dataset[used])
    return replace(result, **interval | ({"ci_low": max(0.0, interval["ci_low"])} if "ci_low" in interval else {}))


def _overall(
    rule: str, by_stratum: list[tuple[Regret, Floats | None]], clusters: Choices, resamples: Resamples
) -> Regret:
    """The mean over strata that have a regret, each counting the same."""
    defined = [(entry, deleted) for entry, deleted in by_stratum if entry.estimate is not None]
    result = Regret(
        rule=rule,
        dataset=None,
        severity=None,
        n=sum(entry.n for entry, _ in defined),
        n_missing=sum(entry.n_missing for entry, _ in by_stratum),
        n_choices=sum(entry.n_choices for entry, _ in defined),
    )
    if not defined:
        why = by_stratum[0][0].reason if by_stratum else "no stratum has a shift (severity above 0)"
        return replace(result, reason=why)
    result = replace(result, estimate=float(np.mean([entry.estimate for entry, _ in defined])))
    known = [deleted for _, deleted in defined if deleted is not None]
    if len(known) < len(defined):
        return replace(result, interval_reason="a stratum has one trial per data seed: one choice among all")
    return _with_interval(result, np.mean(known, axis=0), clusters, resamples)


def _sentence(analysis: Analysis, result: tuple[Regret, ...]) -> str:
    overall = {part.rule: part for part in result if part.dataset is None}
    if overall["localisation"].estimate is None:
        return f"Not estimated: {overall['localisation'].reason}."
    known = [part for part in overall.values() if part.estimate is not None and part.rule != "oracle"]
    costs = "; ".join(f"by {RULES[part.rule]} {with_interval(part, 3)}" for part in known)
    return (
        f"Under a shift, picking one of the models trained on the same images costs, in "
        f"{column_name(analysis.primary.outcome)} against the best of them, on average: {costs}.{no_interval(known)}"
    )


def _figure(analysis: Analysis, result: tuple[Regret, ...]) -> Drawing | None:
    """Mean over strata as bars, each stratum as a dot; None where choosing by the map has no regret."""
    known = [part for part in result if part.estimate is not None and part.rule != "oracle" and part.severity != 0]
    overall = [part for part in known if part.dataset is None]
    if all(part.rule != "localisation" for part in overall):
        return None
    outcome = column_name(analysis.primary.outcome)
    shades = (PALETTE[6], PALETTE[2], PALETTE[4], PALETTE[3], "#9aa1ab")
    colours = dict(zip((rule for rule in RULES if rule != "oracle"), shades, strict=True))
    with settings():
        figure = new_figure(6.8, 0.9 + 0.48 * len(overall))
        axes = figure.subplots()
        for position, part in enumerate(overall):
            axes.barh(-position, part.estimate or 0.0, height=0.62, color=colours[part.rule], alpha=0.75)
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
            "interval; each dot is one dataset and severity with a shift. Performance under the shift is unknown "
            "beforehand; it is measured on other images than the outcome, so it is not the best possible, which is 0."
        ),
        alt=(
            "Bars of the mean regret by rule of choice. "
            f"{'; '.join(f'{RULES[part.rule]}: {with_interval(part, 3)}' for part in overall)}."
        ),
        figure=figure,
    )


def _table(analysis: Analysis, result: tuple[Regret, ...]) -> Table:
    return Table(
        name="regret",
        title=TITLE,
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
            for part in sorted(result, key=lambda r: (r.dataset or "", r.severity or 0.0))
        ),
        text_columns=3,
        fields=("dataset", "severity", "rule", "regret", "interval", "whole_stratum", "n_choices", "n", "remark"),
        group=1,
        fold=0,
    )


TITLE = "What does choosing a model by its map cost?"
SECTION = Section(
    key="regret",
    title=TITLE,
    part=OTHER_WAYS,
    compute=lambda analysis: tuple(selection_regret(*analysis.data, analysis.resamples)),
    sentence=_sentence,
    figures=lambda analysis, result: [_figure(analysis, result)],
    tables=lambda analysis, result: [_table(analysis, result)],
    reported=if_estimated("the regret of selecting a model by its in-distribution performance, its map, or both"),
)
