"""Tables of the studies that are counted in trials.parquet, beside those from report.json in `docs.studies`."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.numbers import interval, number, percent, strength, with_interval
from analysis.sections.choices import MASKED, RULES, selection_regret
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.trials.trials import Primary
from docs.markdown import table

RESULTS = Path(__file__).parent / "results"
PRIMARY = Primary()
"""Of all studies."""
SCORE, OUTCOME = PRIMARY.column, PRIMARY.outcome
DATASETS = {"synthetic": "crosses", "decoy_digits": "digits", "digits_on_photos": "photographs"}


@cache
def trials_of(study: str) -> pd.DataFrame:
    """The completed trials of a study."""
    return pd.read_parquet(RESULTS / study / "trials.parquet").query("status == 'completed'")


def dataset_name(name: Any) -> str:
    """A dataset as the pages call it."""
    return DATASETS.get(name, str(name))


def stratum_name(dataset: Any, severity: float) -> str:
    """A dataset and severity as the pages call it."""
    return f"{dataset_name(dataset)}, s = {severity:g}"


def bands(trials: pd.DataFrame) -> str:
    """How right the models are whose maps are this good, on each dataset at its largest severity."""
    edges = (-np.inf, 0.2, 0.3, 0.4, 0.5, 0.6, np.inf)
    names = ("below 0.2", *(f"{low:g} to {high:g}" for low, high in pairwise(edges[1:-1])), "0.6 and above")
    own = trials[trials["severity"] == trials.groupby("dataset")["severity"].transform("max")]
    band = pd.cut(own[SCORE], edges, right=False, labels=names)
    groups = [(stratum_name(name, one["severity"].iloc[0]), one[OUTCOME]) for name, one in own.groupby("dataset")]

    def cells(name: str) -> Iterator[str]:
        for _, outcome in groups:
            chosen = outcome[band[outcome.index] == name]
            yield f"{len(chosen)}"
            low, median, high = chosen.quantile([0.1, 0.5, 0.9])
            yield f"{number(median)}, {interval(low, high)}" if len(chosen) else ""

    head = (heading for stratum, _ in groups for heading in (f"{stratum}: trials", "OOD AUC: median, middle 80 %"))
    return table(("IoU", *head), ((name, *cells(name)) for name in names))


def epochs(trials: pd.DataFrame) -> str:
    """The share of trials whose selected epoch, counted from 1, is this one."""
    groups = trials.groupby(["dataset", "hp.lr"])["best_epoch"]
    share = groups.value_counts(normalize=True).unstack(fill_value=0)
    rows = ((dataset_name(name), f"{lr:g}", *map(percent, own)) for (name, lr), own in _rows(share))
    return table(("selected epoch", "learning rate", *(f"{int(epoch) + 1}" for epoch in share.columns)), rows)


def rates(trials: pd.DataFrame) -> str:
    """OOD AUC / IoU of each learning rate and stratum with a shift, mean over all methods and strengths."""
    shifted = trials[trials["severity"] > 0]
    shifted = shifted.assign(stratum=list(map(stratum_name, shifted["dataset"], shifted["severity"])))
    means = shifted.groupby(["hp.lr", "stratum"])[[OUTCOME, SCORE]].mean().map(number)
    cells = (means[OUTCOME] + " / " + means[SCORE]).unstack()
    return table(("learning rate", *cells.columns), ((f"{lr:g}", *own) for lr, own in _rows(cells)))


def candidates(trials: pd.DataFrame) -> str:
    """What each rule costs over the strata with a shift, with fewer and fewer methods to choose from."""
    chosen = {
        "all methods": trials,
        f"without `{MASKED}`": trials[trials["method"] != MASKED],
        f"without `{MASKED}` and `shuffled`": trials[~trials["method"].isin([MASKED, "shuffled"])],
    }
    costs = {}
    for name, own in chosen.items():
        own = own.reset_index(drop=True)
        regrets = selection_regret(own, PRIMARY, draw_resamples(own, replicates=1, seed=0))
        costs[name] = {one.rule: one for one in regrets if one.dataset is None and one.estimate is not None}
    rules = [rule for rule in RULES if rule in costs["all methods"] and rule != "oracle"]
    rows = (
        (RULES[rule], *(with_interval(own[rule], 3) if rule in own else "" for own in costs.values())) for rule in rules
    )
    return table(("choose by", *costs), rows)


def unshifted(trials: pd.DataFrame) -> str:
    """Whether a setting's map tells more than that it trains well.

    Spearman's ρ among the settings of a method, of OOD AUC under the shift with the IoU of the same trials and with the
    IoU of the same settings without a shift; averages over seeds as they are, then the mean over the methods.
    """
    settings = ["dataset", "method", "strength", "hp.lr"]
    means = trials.groupby([*settings, "severity"])[[SCORE, OUTCOME]].mean().reset_index()
    without = means[means["severity"] == 0].set_index(settings)[SCORE].rename("without")
    shifted = means[means["severity"] > 0].join(without, on=settings)
    rows = []
    for (dataset, severity), own in _groups(shifted, ["dataset", "severity"]):
        cells = [one for _, one in own.groupby("method") if len(one) >= 4]
        found = [[one[OUTCOME].corr(one[score], method="spearman") for one in cells] for score in (SCORE, "without")]
        rows.append((stratum_name(dataset, severity), *(number(float(np.mean(values))) for values in found)))
    return table(("", "its own map", "its map without a shift"), sorted(rows))


def networks(trials: pd.DataFrame, others: pd.DataFrame | None = None) -> str:
    """OOD AUC / IoU of each method and strength, means over seeds, beside the same in the study `laptop`."""
    both = [trials, trials_of("laptop") if others is None else others]
    place, row = ["dataset", "severity", "hp.lr"], ["method", "strength"]
    shared = both[0][[*place, *row]].drop_duplicates().merge(both[1][[*place, *row]].drop_duplicates())
    cells = []
    for one in both:
        means = one.merge(shared).groupby([*row, "severity", "model"], sort=False)[[OUTCOME, SCORE]].mean().map(number)
        cells.append((means[OUTCOME] + " / " + means[SCORE]).unstack(["severity", "model"]))
    joined = pd.concat(cells, axis=1).sort_index(axis=1, level="severity", sort_remaining=False, kind="stable")
    places: list[Any] = joined.columns.to_list()
    head = (f"{model}, s = {severity:g}" for severity, model in places)
    rows = ((f"`{method}`", strength(weight) if weight else "", *own) for (method, weight), own in _rows(joined))
    return table(("method", "strength", *head), rows)


TABLES: Mapping[str, Callable[[pd.DataFrame], str]] = {
    "bands": bands,
    "candidates": candidates,
    "epochs": epochs,
    "networks": networks,
    "rates": rates,
    "unshifted": unshifted,
}


def _rows(frame: pd.DataFrame) -> Iterator[tuple[Any, Any]]:
    """`iterrows`, whose labels are not typed."""
    yield from frame.iterrows()


def _groups(frame: pd.DataFrame, by: list[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """`groupby`, whose keys are not typed."""
    yield from frame.groupby(by)
