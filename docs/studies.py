"""The tables of the studies in docs/results, generated from their report.json and trials.parquet; `make docs` does it.

On a page, `<!-- laptop: choices -->` and `<!-- end -->`, each on a line of its own, enclose the table `choices` of the
study docs/results/laptop.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.answer.verdict import LABELS
from analysis.numbers import column_name, interval, number, percent, with_interval
from analysis.sections.choices import RULES, UNKNOWABLE
from analysis.stats.estimate import Estimate
from docs.markdown import table
from records import columns

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PAGES = tuple(sorted(RESULTS.glob("*.md")))
BLOCK = re.compile(r"^<!-- (?P<study>\w+): (?P<kind>\w+) -->\n.*?^<!-- end -->$", re.DOTALL | re.MULTILINE)

Report = Mapping[str, Any]
"""What report.json holds."""
PAIRS = {
    "seed": "two runs of one recipe?",
    "setting": "two settings of one method?",
    "method": "two methods?",
    "given_id": "two models of equal validation AUC?",
}
DIFFER_IN = {
    "seed": "seeds alone",
    "setting": "settings of a method",
    "method": "the method",
    "given_id": "seeds and settings, at equal validation AUC",
}
DATASETS = {"synthetic": "crosses", "decoy_digits": "digits", "digits_on_photos": "photographs"}
SCORE, OUTCOME = "test_ood.iou.integrated_gradients", "test_ood.auc"
"""The primary's, which all studies share."""


def updated(text: str) -> str:
    """`text` with the tables between its marks brought up to date."""

    def made(block: re.Match[str]) -> str:
        first = block[0].splitlines()[0]
        study, kind = block["study"], block["kind"]
        made = TABLES[kind](_report(study)) if kind in TABLES else TABLES_OF_TRIALS[kind](_trials(study))
        return f"{first}\n\n{made}\n\n<!-- end -->"

    return BLOCK.sub(made, text)


def pairs(report: Report) -> str:
    """The README's: the word and the correlation of each comparison."""
    head = (
        "is the one with the better map the better model, of …",
        "[answer](docs/answer.md)",
        "rank correlation, 95 % interval",
    )
    rows = ((PAIRS[one["comparison"]], one["answer"], _with_interval(one)) for one in report["comparisons"])
    return table(head, rows)


def answer(report: Report) -> str:
    """Each comparison with its prediction intervals and effect."""
    head = ("the models differ in", "answer", "rank correlation, 95 %", "a new method", "a new dataset")
    rows = (
        (
            DIFFER_IN[one["comparison"]],
            f"**{one['answer']}**" if one["answer"] in ("yes", "no", "reverse") else one["answer"],
            _with_interval(one),
            _range(one, "prediction"),
            _range(one, "prediction_dataset"),
            _number(one["auc_per_tenth"]),
        )
        for one in report["comparisons"]
    )
    return table((*head, "OOD AUC per 0.1 of IoU"), rows)


def strata(report: Report) -> str:
    """The correlation of each comparison by dataset and severity."""
    return _by_level(report, "strata", lambda level: _stratum(level["dataset"], level["severity"]))


def methods(report: Report) -> str:
    """The correlation of each comparison by method, over the strata with a shift."""
    return _by_level(report, "methods", lambda level: f"`{level['method']}`")


def choices(report: Report) -> str:
    """What each way of choosing a model costs, over the strata with a shift."""
    estimated = [one for one in report["regret"] if one["estimate"] is not None]
    whole = {one["rule"]: one for one in estimated if one["dataset"] is None}
    rows = []
    for rule in (rule for rule in RULES if rule in whole and rule != "oracle"):
        shifted = [one for one in estimated if one["rule"] == rule and one["severity"]]
        worst = max(shifted, key=lambda one: one["estimate"])
        at_worst = f"{worst['estimate']:.3f}, {_stratum(worst['dataset'], worst['severity'])}"
        named = RULES[rule] + (", nobody’s to have beforehand" if rule in UNKNOWABLE else "")
        rows.append((named, _with_interval(whole[rule], 3), at_worst))
    return table(("choose by", "OOD AUC lost, 95 %", "at worst"), rows)


def predictors(report: Report) -> str:
    """The correlation of each comparison by the primary's map, and by what one has without the shift."""
    declared = [one["comparison"] for one in report["comparisons"]]
    rows = []
    for score in report["predictors"]:
        own = {one["comparison"]: _with_interval(one) for one in score["comparisons"]}
        rows.append((column_name(score["column"]), *(own.get(comparison, "") for comparison in declared)))
    return table(("score", *(LABELS[comparison] for comparison in declared)), rows)


def pairs_of_trainings(report: Report) -> str:
    """How often the better score goes with the better model, of two trials of one configuration."""
    shares: dict[tuple[str, float], dict[str, str]] = {}
    for one in report["same_images"]:
        if one["dataset"] is None and one["method"] is None and one["estimate"] is not None:
            own = shares.setdefault((one["images"], one["apart"]), {"pairs": f"{one['n']:,}"})
            own["map" if columns.parse_localisation(one["score"]) else "validation"] = _with_interval(one)
    rows = [
        (
            images,
            f"at least {apart:g} apart" if apart else "all",
            *(own.get(k, "") for k in ("map", "validation", "pairs")),
        )
        for (images, apart), own in shares.items()
    ]
    return table(("images", "outcomes", "by the map", "by validation AUC", "pairs"), rows)


def strengths(report: Report) -> str:
    """The strength that each rule chooses for a method, and what that costs."""
    rows: dict[tuple[str, str], dict[str, Report]] = {}
    for one in report["strength_choices"]:
        rows.setdefault((one["dataset"], one["method"]), {})[one["rule"]] = one
    rules = [rule for rule in RULES if rule != "oracle" and any(rule in own for own in rows.values())]

    def cells(own: Mapping[str, Report]) -> Iterator[str]:
        yield f"{own['oracle']['strength']:g}: {_number(own['oracle']['outcome'])}"
        for one in (own.get(rule) for rule in rules):
            strength = f"{one['strength']:g}: " if one and one["strength"] is not None else ""
            yield f"{strength}{one['estimate']:.3f}" if one and one["estimate"] is not None else ""

    body = [(_dataset(dataset), f"`{method}`", *cells(own)) for (dataset, method), own in rows.items()]
    costs = ([own[rule]["estimate"] for own in rows.values()] for rule in rules)
    body.append(("mean cost", "", "", *(f"{np.mean(own):.3f}" if None not in own else "" for own in costs)))
    return table(("", "method", "best: OOD AUC", *(RULES[rule] for rule in rules)), body)


def means(report: Report) -> str:
    """OOD AUC / IoU of each method and stratum with a shift, at the strength with the highest OOD AUC."""
    best: dict[str, dict[str, Report]] = {}
    for one in (*report["methods"], *report["strengths"]):
        if not one["severity"]:
            continue
        own = best.setdefault(one["method"], {})
        stratum = _stratum(one["dataset"], one["severity"])
        # `methods` has the mean over all strengths; `strengths`, which comes after, each of them.
        earlier = own.get(stratum)
        if earlier is None or earlier["strength"] is None or one["ood"]["mean"] > earlier["ood"]["mean"]:
            own[stratum] = one
    strata = sorted({stratum for own in best.values() for stratum in own})
    rows = ((f"`{method}`", *(_means(own.get(stratum)) for stratum in strata)) for method, own in best.items())
    return table(("method", *strata), rows)


def bands(trials: pd.DataFrame) -> str:
    """How right the models are whose maps are this good, on each dataset at its largest severity."""
    edges = (-np.inf, 0.2, 0.3, 0.4, 0.5, 0.6, np.inf)
    names = ("below 0.2", *(f"{low:g} to {high:g}" for low, high in pairwise(edges[1:-1])), "0.6 and above")
    own = trials[trials["severity"] == trials.groupby("dataset")["severity"].transform("max")]
    band = pd.cut(own[SCORE], edges, right=False, labels=names)
    groups = [(_stratum(name, one["severity"].iloc[0]), one[OUTCOME]) for name, one in own.groupby("dataset")]

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
    share = trials.groupby("dataset")["best_epoch"].value_counts(normalize=True).unstack(fill_value=0)
    rows = ((_dataset(name), *(percent(value) for value in own)) for name, own in share.iterrows())
    return table(("selected epoch", *(f"{int(epoch) + 1}" for epoch in share.columns)), rows)


TABLES: Mapping[str, Callable[[Report], str]] = {
    "pairs": pairs,
    "answer": answer,
    "strata": strata,
    "methods": methods,
    "choices": choices,
    "predictors": predictors,
    "trainings": pairs_of_trainings,
    "strengths": strengths,
    "means": means,
}
TABLES_OF_TRIALS: Mapping[str, Callable[[pd.DataFrame], str]] = {"bands": bands, "epochs": epochs}


@cache
def _report(study: str) -> Report:
    report: Report = json.loads((RESULTS / study / "report.json").read_text())
    return report


@cache
def _trials(study: str) -> pd.DataFrame:
    return pd.read_parquet(RESULTS / study / "trials.parquet").query("status == 'completed'")


def _by_level(report: Report, levels: str, name: Callable[[Report], str]) -> str:
    shown = [one for one in report["comparisons"] if one[levels]]
    values = {one["comparison"]: {name(level): level["estimate"] for level in one[levels]} for one in shown}
    rows = {row for own in values.values() for row in own}
    return table(
        ("", *(LABELS[comparison] for comparison in values)),
        ((row, *(_number(own.get(row)) for own in values.values())) for row in sorted(rows)),
    )


def _dataset(name: Any) -> str:
    return DATASETS.get(name, str(name))


def _stratum(dataset: Any, severity: float) -> str:
    return f"{_dataset(dataset)}, s = {severity:g}"


def _means(one: Report | None) -> str:
    if one is None:
        return ""
    strength = f" ({one['strength']:g})" if one["strength"] else ""
    return f"{_number(one['ood']['mean'])} / {_number(one['localisation']['mean'])}{strength}"


def _number(value: float | None) -> str:
    return "" if value is None else number(value)


def _range(one: Report, name: str) -> str:
    low, high = one[f"{name}_low"], one[f"{name}_high"]
    return "" if low is None else interval(low, high)


def _with_interval(one: Report, digits: int = 2) -> str:
    entry = Estimate(**{key: one[key] for key in ("estimate", "ci_low", "ci_high")})
    return "" if entry.estimate is None else with_interval(entry, digits)
