"""The tables of the studies in docs/results, made from report.json and trials.parquet; `make docs` writes them.

On a page, `<!-- laptop: choices -->` and `<!-- end -->`, each on a line of its own, enclose the table `choices` of the
study docs/results/laptop.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from analysis.answer.verdict import LABELS
from analysis.numbers import column_name, interval, name, number, percent, strength, with_interval
from analysis.sections.choices import RULES, UNKNOWABLE
from analysis.stats.estimate import Estimate
from docs import trial_tables
from docs.markdown import table
from docs.trial_tables import RESULTS, dataset_name, stratum_name, trials_of
from records import columns

ROOT = Path(__file__).parents[1]
PAGES = tuple(sorted(RESULTS.glob("*.md")))
BLOCK = re.compile(r"^<!-- (?P<study>\w+): (?P<kind>\w+) -->\n.*?^<!-- end -->$", re.DOTALL | re.MULTILINE)

Report = Mapping[str, Any]
"""What report.json holds."""
PAIRS = {
    "seed": "two runs of one recipe?",
    "setting": "two settings of one method?",
    "method": "two methods?",
    "given_id": "two models of one method with equal validation AUC?",
}
DIFFER_IN = {
    "seed": "seeds alone",
    "setting": "settings of a method",
    "method": "the method",
    "given_id": "seeds and settings of a method, at equal validation AUC",
}


def updated(text: str) -> str:
    """`text` with the tables between its marks brought up to date."""

    def made(block: re.Match[str]) -> str:
        first = block[0].splitlines()[0]
        study, kind = block["study"], block["kind"]
        made = TABLES[kind](_report(study)) if kind in TABLES else trial_tables.TABLES[kind](trials_of(study))
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
    return _by_level(report, "strata", lambda level: stratum_name(level["dataset"], level["severity"]))


def methods(report: Report) -> str:
    """The correlation of each comparison by method, over the strata with a shift."""
    return _by_level(report, "methods", lambda level: f"`{level['method']}`")


def strata_by_map_on_id(report: Report) -> str:
    """The same by the map of ID images, which is what one has before a shift."""
    (on_id,) = (one for one in report["predictors"] if one["column"].startswith("test_id.iou."))
    return strata({"comparisons": on_id["comparisons"]})


def choices(report: Report) -> str:
    """What each way of choosing a model costs, over the strata with a shift and in each of them."""
    costs: dict[str, dict[tuple[str, float] | None, Report]] = {}
    for one in report["regret"]:
        if one["estimate"] is not None and (one["dataset"] is None or one["severity"]):
            place = None if one["dataset"] is None else (one["dataset"], one["severity"])
            costs.setdefault(one["rule"], {})[place] = one
    places = sorted({place for own in costs.values() for place in own if place}, key=lambda place: stratum_name(*place))
    rows = []
    for rule in (rule for rule in RULES if None in costs.get(rule, ()) and rule != "oracle"):
        named = RULES[rule] + (" (not available beforehand)" if rule in UNKNOWABLE else "")
        own = costs[rule]
        by_stratum = (number(own[place]["estimate"], 3) if place in own else "" for place in places)
        rows.append((named, _with_interval(own[None], 3), *by_stratum))
    return table(("choose by", "OOD AUC lost, 95 %", *(stratum_name(*place) for place in places)), rows)


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
        yield f"{strength(own['oracle']['strength'])}: {_number(own['oracle']['outcome'])}"
        for one in (own.get(rule) for rule in rules):
            chosen = f"{strength(one['strength'])}: " if one and one["strength"] is not None else ""
            yield f"{chosen}{one['estimate']:.3f}" if one and one["estimate"] is not None else ""

    body = [(dataset_name(dataset), f"`{method}`", *cells(own)) for (dataset, method), own in rows.items()]
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
        stratum = stratum_name(one["dataset"], one["severity"])
        # `methods` has the mean over all strengths; `strengths`, which comes after, each of them.
        earlier = own.get(stratum)
        if earlier is None or earlier["strength"] is None or one["ood"]["mean"] > earlier["ood"]["mean"]:
            own[stratum] = one
    strata = sorted({stratum for own in best.values() for stratum in own})
    rows = ((f"`{method}`", *(_means(own.get(stratum)) for stratum in strata)) for method, own in best.items())
    return table(("method", *strata), rows)


def one_setting(report: Report) -> str:
    """Along each setting: psi, and how often the map orders two configurations wrongly that differ in it alone."""
    wrong = {one["axis"]: one["mean"] for one in report["sign_error"]["axes"]}
    rows = (
        (column_name(one["axis"]), _number(one["estimate"]), percent(wrong.get(one["axis"])))
        for one in report["granulated_kendall"]["axes"]
    )
    return table(("setting that differs", "ψ", "wrong order"), rows)


def per_image(report: Report) -> str:
    """Within a model, the AUROC of an image's map for a right answer on it; by method of the primary's maps."""
    rows = (
        (
            f"IoU of {name(one['attribution'])}" + (f", `{one['method']}`" if one["method"] else ""),
            _with_interval(one),
            f"{one['n']:,} of {one['n'] + one['n_missing']:,}",
        )
        for one in report["per_image"]
        if one["dataset"] is None and one["estimate"] is not None
    )
    return table(("map", "AUROC for a right answer", "models"), rows)


def maps(report: Report) -> str:
    """The correlation of each attribution's maps with the outcome within cells, all severities together."""
    primary = report["primary"]
    values: dict[str, dict[str, str]] = {}
    for one in report["correlations"]:
        wanted = (primary["metric"], primary["outcome"], "within_cell", "spearman", None)
        if (one["metric"], one["outcome"], one["scope"], one["statistic"], one["stratum"]) == wanted:
            values.setdefault(one["attribution"], {})[one["split"]] = _with_interval(one)
    rows = (
        (name(attribution), *(own.get(split, "") for split in ("test_ood", "test_id")))
        for attribution, own in values.items()
    )
    return table((f"{name(primary['metric'])} of", "OOD images", "ID images"), rows)


TABLES: Mapping[str, Callable[[Report], str]] = {
    "pairs": pairs,
    "answer": answer,
    "strata": strata,
    "strata_by_map_on_id": strata_by_map_on_id,
    "methods": methods,
    "choices": choices,
    "predictors": predictors,
    "trainings": pairs_of_trainings,
    "strengths": strengths,
    "means": means,
    "one_setting": one_setting,
    "per_image": per_image,
    "maps": maps,
}


@cache
def _report(study: str) -> Report:
    report: Report = json.loads((RESULTS / study / "report.json").read_text())
    return report


def _by_level(report: Report, levels: str, name: Callable[[Report], str]) -> str:
    shown = [one for one in report["comparisons"] if one[levels]]
    values = {one["comparison"]: {name(level): level["estimate"] for level in one[levels]} for one in shown}
    rows = {row for own in values.values() for row in own}
    return table(
        ("", *(LABELS[comparison] for comparison in values)),
        ((row, *(_number(own.get(row)) for own in values.values())) for row in sorted(rows)),
    )


def _means(one: Report | None) -> str:
    if one is None:
        return ""
    chosen = f" ({strength(one['strength'])})" if one["strength"] else ""
    return f"{_number(one['ood']['mean'])} / {_number(one['localisation']['mean'])}{chosen}"


def _number(value: float | None) -> str:
    return "" if value is None else number(value)


def _range(one: Report, name: str) -> str:
    low, high = one[f"{name}_low"], one[f"{name}_high"]
    return "" if low is None else interval(low, high)


def _with_interval(one: Report, digits: int = 2) -> str:
    entry = Estimate(**{key: one[key] for key in ("estimate", "ci_low", "ci_high")})
    return "" if entry.estimate is None else with_interval(entry, digits)
