"""The tables of the studies in docs/results, made from report.json and trials.parquet; `make docs` writes them.

On a page, `<!-- laptop: choices -->` and `<!-- end -->`, each on a line by itself, enclose the table `choices` of the
study docs/results/laptop. `python -m docs.studies laptop sweeps/laptop/report/report.json` stores the part of a report
that pages and tests use.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.answer.verdict import LABELS
from analysis.numbers import column_name, interval, name, number, percent, strength, with_interval
from analysis.sections.choices import MASKED, RULES, UNKNOWABLE, selection_regret
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.stats.replicated import Estimate
from analysis.trials.trials import Primary
from docs.markdown import table
from records import columns

RESULTS = Path(__file__).parent / "results"
PAGES = tuple(sorted(RESULTS.glob("*.md")))
BLOCK = re.compile(r"^<!-- (?P<study>\w+): (?P<kind>\w+) -->\n.*?^<!-- end -->$", re.DOTALL | re.MULTILINE)
STORED = "n_trials primary comparisons regret predictors same_images strength_choices strengths methods sign_error"
STORED += " granulated_kendall per_image below_chance"
"""The keys of report.json that pages and tests use; of `correlations` they use those within cells."""
PRIMARY = Primary()
"""The primary of all studies."""
SCORE, OUTCOME = PRIMARY.column, PRIMARY.outcome
NAMES = {"synthetic": "crosses", "decoy_digits": "digits", "digits_on_photos": "photographs"}
COMPARED = {
    "seed": ("two runs of one recipe?", "seeds alone"),
    "setting": ("two settings of one method?", "settings of a method"),
    "method": ("two methods?", "the method"),
    "given_id": (
        "two models of one method with equal validation AUC?",
        "seeds and settings of a method, at equal validation AUC",
    ),
}
"""The models of each comparison, in the README and on the studies' pages."""

Report = Mapping[str, Any]
"""The content of report.json."""


def updated(text: str) -> str:
    """`text` with the tables between its marks brought up to date."""

    def made(block: re.Match[str]) -> str:
        study, kind = block["study"], block["kind"]
        written = TABLES[kind](_report(study)) if kind in TABLES else TRIAL_TABLES[kind](trials_of(study))
        return f"{block[0].splitlines()[0]}\n\n{written}\n\n<!-- end -->"

    return BLOCK.sub(made, text)


@cache
def _report(study: str) -> Report:
    report: Report = json.loads((RESULTS / study / "report.json").read_text())
    return report


@cache
def trials_of(study: str) -> pd.DataFrame:
    """The completed trials of a study."""
    return pd.read_parquet(RESULTS / study / "trials.parquet").query("status == 'completed'")


def dataset_name(name: Any) -> str:
    """A dataset as the pages call it."""
    return NAMES.get(name, str(name))


def stratum_name(dataset: Any, severity: float) -> str:
    """A dataset and severity as the pages call it."""
    return f"{dataset_name(dataset)}, s = {severity:g}"


# Tables from report.json


def pairs(report: Report) -> str:
    """The README's table: the answer and the correlation of each comparison."""
    head = ("is the one with the better map the better model, of …", "[answer](docs/answer.md)")
    rows = ((COMPARED[one["comparison"]][0], one["answer"], _with_interval(one)) for one in report["comparisons"])
    return table((*head, "rank correlation, 95 % interval"), rows)


def answer(report: Report) -> str:
    """Each comparison with its prediction intervals and effect."""
    head = ("the models differ in", "answer", "rank correlation, 95 %", "a new method", "a new dataset")
    rows = (
        (
            COMPARED[one["comparison"]][1],
            f"**{one['answer']}**" if one["answer"] in ("yes", "no", "reverse") else one["answer"],
            _with_interval(one),
            *(
                "" if one[f"{kind}_low"] is None else interval(one[f"{kind}_low"], one[f"{kind}_high"])
                for kind in ("prediction", "prediction_dataset")
            ),
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
    """The correlations by stratum for the map of ID images, which is available before a shift."""
    (on_id,) = (one for one in report["predictors"] if one["column"].startswith("test_id.iou."))
    return strata({"comparisons": on_id["comparisons"]})


def choices(report: Report) -> str:
    """The cost of each way of choosing a model, over the strata with a shift and in each of them."""
    costs: dict[str, dict[str, Report]] = {}
    for one in report["regret"]:
        if one["estimate"] is not None and (one["dataset"] is None or one["severity"]):
            place = "" if one["dataset"] is None else stratum_name(one["dataset"], one["severity"])
            costs.setdefault(one["rule"], {})[place] = one
    places = sorted({place for by_place in costs.values() for place in by_place if place})
    rows = []
    for rule, label in RULES.items():
        if rule != "oracle" and "" in costs.get(rule, ()):
            by_place = costs[rule]
            named = label + (" (not available beforehand)" if rule in UNKNOWABLE else "")
            cells = (number(by_place[place]["estimate"], 3) if place in by_place else "" for place in places)
            rows.append((named, _with_interval(by_place[""], 3), *cells))
    return table(("choose by", "OOD AUC lost, 95 %", *places), rows)


def predictors(report: Report) -> str:
    """The correlation of each comparison for the primary's map, and for scores that are available without the shift."""
    declared = [one["comparison"] for one in report["comparisons"]]
    rows = []
    for score in report["predictors"]:
        values = {one["comparison"]: _with_interval(one) for one in score["comparisons"]}
        rows.append((column_name(score["column"]), *(values.get(comparison, "") for comparison in declared)))
    return table(("score", *(LABELS[comparison] for comparison in declared)), rows)


def trainings(report: Report) -> str:
    """How often the better score goes with the better model, for two trials of one configuration."""
    shares: dict[tuple[str, float], dict[str, str]] = {}
    for one in report["same_images"]:
        if one["dataset"] is None and one["method"] is None and one["estimate"] is not None:
            cells = shares.setdefault((one["images"], one["apart"]), {"pairs": f"{one['n']:,}"})
            cells["map" if columns.parse_localisation(one["score"]) else "validation"] = _with_interval(one)
    rows = (
        (
            images,
            f"at least {apart:g} apart" if apart else "all",
            *map(cells.get, ("map", "validation", "pairs"), [""] * 3),
        )
        for (images, apart), cells in shares.items()
    )
    return table(("images", "outcomes", "by the map", "by validation AUC", "pairs"), rows)


def strengths(report: Report) -> str:
    """The strength that each rule chooses for a method, and its cost."""
    chosen: dict[tuple[str, str], dict[str, Report]] = {}
    for one in report["strength_choices"]:
        chosen.setdefault((one["dataset"], one["method"]), {})[one["rule"]] = one
    rules = [rule for rule in RULES if rule != "oracle" and any(rule in by_rule for by_rule in chosen.values())]

    def cell(one: Report | None) -> str:
        if one is None or one["estimate"] is None:
            return ""
        return (f"{strength(one['strength'])}: " if one["strength"] is not None else "") + f"{one['estimate']:.3f}"

    body = []
    for (dataset, method), by_rule in chosen.items():
        best = f"{strength(by_rule['oracle']['strength'])}: {_number(by_rule['oracle']['outcome'])}"
        body.append((dataset_name(dataset), f"`{method}`", best, *(cell(by_rule.get(rule)) for rule in rules)))
    costs = ([by_rule[rule]["estimate"] for by_rule in chosen.values()] for rule in rules)
    body.append(("mean cost", "", "", *("" if None in values else f"{np.mean(values):.3f}" for values in costs)))
    return table(("", "method", "best: OOD AUC", *(RULES[rule] for rule in rules)), body)


def means(report: Report) -> str:
    """OOD AUC / IoU of each method and stratum with a shift, at the strength with the highest OOD AUC."""
    best: dict[str, dict[str, Report]] = {}
    # `methods` has the mean over all strengths; `strengths`, which comes after, each of them.
    for one in (*report["methods"], *report["strengths"]):
        if one["severity"]:
            by_stratum = best.setdefault(one["method"], {})
            earlier = by_stratum.get(stratum := stratum_name(one["dataset"], one["severity"]))
            if earlier is None or earlier["strength"] is None or one["ood"]["mean"] > earlier["ood"]["mean"]:
                by_stratum[stratum] = one

    def cell(one: Report | None) -> str:
        if one is None:
            return ""
        chosen = f" ({strength(one['strength'])})" if one["strength"] else ""
        return f"{_number(one['ood']['mean'])} / {_number(one['localisation']['mean'])}{chosen}"

    strata = sorted({stratum for by_stratum in best.values() for stratum in by_stratum})
    return table(("method", *strata), ((f"`{m}`", *map(cell, map(by.get, strata))) for m, by in best.items()))


def one_setting(report: Report) -> str:
    """Psi along each setting, and the share of configurations differing in it alone that the map orders wrongly."""
    wrong = {one["axis"]: one["mean"] for one in report["sign_error"]["axes"]}
    rows = (
        (column_name(one["axis"]), _number(one["estimate"]), percent(wrong.get(one["axis"])))
        for one in report["granulated_kendall"]["axes"]
    )
    return table(("setting that differs", "ψ", "wrong order"), rows)


def per_image(report: Report) -> str:
    """Within a model, the AUROC of an image's map for a correct answer on it; by method for the primary's maps."""
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
    values: dict[str, dict[str, str]] = {}
    for one in filter(_within_cells, report["correlations"]):
        values.setdefault(one["attribution"], {})[one["split"]] = _with_interval(one)
    rows = (
        (name(attribution), *(cells.get(split, "") for split in ("test_ood", "test_id")))
        for attribution, cells in values.items()
    )
    return table((f"{name(PRIMARY.metric)} of", "OOD images", "ID images"), rows)


def _within_cells(one: Report) -> bool:
    """Whether a correlation is one that the pages show."""
    wanted = (PRIMARY.metric, OUTCOME, "within_cell", "spearman", None)
    return (one["metric"], one["outcome"], one["scope"], one["statistic"], one["stratum"]) == wanted


def _by_level(report: Report, levels: str, name: Callable[[Report], str]) -> str:
    values = {
        LABELS[one["comparison"]]: {name(level): _number(level["estimate"]) for level in one[levels]}
        for one in report["comparisons"]
        if one[levels]
    }
    rows = sorted({row for by_row in values.values() for row in by_row})
    return table(("", *values), ((row, *(by_row.get(row, "") for by_row in values.values())) for row in rows))


def _number(value: float | None) -> str:
    return "" if value is None else number(value)


def _with_interval(one: Report, digits: int = 2) -> str:
    entry = Estimate(**{key: one[key] for key in ("estimate", "ci_low", "ci_high")})
    return "" if entry.estimate is None else with_interval(entry, digits)


# Tables from trials.parquet


def bands(trials: pd.DataFrame) -> str:
    """The outcomes of the models in each band of IoU, on each dataset at its largest severity."""
    edges = (-np.inf, 0.2, 0.3, 0.4, 0.5, 0.6, np.inf)
    names = ("below 0.2", *(f"{low:g} to {high:g}" for low, high in pairwise(edges[1:-1])), "0.6 and above")
    shown = trials[trials["severity"] == trials.groupby("dataset")["severity"].transform("max")]
    band = pd.cut(shown[SCORE], edges, right=False, labels=names)
    groups = {stratum_name(*place): one[OUTCOME] for place, one in _groups(shown, ["dataset", "severity"])}

    def cells(name: str) -> Iterator[str]:
        for outcome in groups.values():
            chosen = outcome[band[outcome.index] == name]
            low, median, high = chosen.quantile([0.1, 0.5, 0.9])
            yield from (f"{len(chosen)}", f"{number(median)}, {interval(low, high)}" if len(chosen) else "")

    head = (heading for stratum in groups for heading in (f"{stratum}: trials", "OOD AUC: median, middle 80 %"))
    return table(("IoU", *head), ((name, *cells(name)) for name in names))


def epochs(trials: pd.DataFrame) -> str:
    """The share of trials that selected each epoch, counted from 1."""
    share = trials.groupby(["dataset", "hp.lr"])["best_epoch"].value_counts(normalize=True).unstack(fill_value=0)
    rows = ((dataset_name(name), f"{lr:g}", *map(percent, shares)) for (name, lr), shares in _rows(share))
    return table(("selected epoch", "learning rate", *(f"{int(epoch) + 1}" for epoch in share.columns)), rows)


def rates(trials: pd.DataFrame) -> str:
    """OOD AUC / IoU of each learning rate and stratum with a shift, mean over all methods and strengths."""
    shifted = trials[trials["severity"] > 0]
    stratum = pd.Series(list(map(stratum_name, shifted["dataset"], shifted["severity"])), index=shifted.index)
    cells = _outcome_and_score(shifted.groupby(["hp.lr", stratum])).unstack()
    return table(("learning rate", *cells.columns), ((f"{lr:g}", *values) for lr, values in _rows(cells)))


def candidates(trials: pd.DataFrame) -> str:
    """The cost of each rule over the strata with a shift, with fewer and fewer methods to choose from."""
    left_out = {
        "all methods": [],
        f"without `{MASKED}`": [MASKED],
        f"without `{MASKED}` and `shuffled`": [MASKED, "shuffled"],
    }
    costs = {}
    for heading, methods in left_out.items():
        chosen = trials[~trials["method"].isin(methods)].reset_index(drop=True)
        regrets = selection_regret(chosen, PRIMARY, draw_resamples(chosen, replicates=1, seed=0))
        costs[heading] = {
            one.rule: with_interval(one, 3) for one in regrets if one.dataset is None and one.estimate is not None
        }
    rules = [rule for rule in RULES if rule in costs["all methods"] and rule != "oracle"]
    return table(("choose by", *costs), ((RULES[rule], *(c.get(rule, "") for c in costs.values())) for rule in rules))


def unshifted(trials: pd.DataFrame) -> str:
    """Whether a setting's map says more than that the setting trains well.

    Spearman's ρ among the settings of a method, of OOD AUC under the shift with the IoU of the same trials and with the
    IoU of the same settings without a shift; uncorrected averages over seeds, then the mean over the methods.
    """
    settings = ["dataset", "method", "strength", "hp.lr"]
    averages = trials.groupby([*settings, "severity"])[[SCORE, OUTCOME]].mean().reset_index()
    without = averages[averages["severity"] == 0].set_index(settings)[SCORE].rename("without")
    shifted = averages[averages["severity"] > 0].join(without, on=settings)
    rows = []
    for place, stratum in _groups(shifted, ["dataset", "severity"]):
        cells = [one for _, one in stratum.groupby("method") if len(one) >= 4]
        rho = ([one[OUTCOME].corr(one[score], method="spearman") for one in cells] for score in (SCORE, "without"))
        rows.append((stratum_name(*place), *(number(float(np.mean(values))) for values in rho)))
    return table(("", "its own map", "its map without a shift"), sorted(rows))


def networks(trials: pd.DataFrame, others: pd.DataFrame | None = None) -> str:
    """OOD AUC / IoU of each method and strength, means over seeds, beside the same in the study `laptop`."""
    both = [trials, trials_of("laptop") if others is None else others]
    row = ["method", "strength"]
    first, second = (one[["dataset", "severity", "hp.lr", *row]].drop_duplicates() for one in both)
    shared = first.merge(second)
    cells = [
        _outcome_and_score(one.merge(shared).groupby([*row, "severity", "model"], sort=False)).unstack([2, 3])
        for one in both
    ]
    joined = pd.concat(cells, axis=1).sort_index(axis=1, level="severity", sort_remaining=False, kind="stable")
    places: list[Any] = joined.columns.to_list()
    head = (f"{model}, s = {severity:g}" for severity, model in places)
    rows = ((f"`{method}`", strength(weight) if weight else "", *own) for (method, weight), own in _rows(joined))
    return table(("method", "strength", *head), rows)


def _outcome_and_score(groups: Any) -> pd.Series:
    """The means of groups of trials as a cell shows them."""
    averages = groups[[OUTCOME, SCORE]].mean().map(number)
    return averages[OUTCOME] + " / " + averages[SCORE]


def _rows(frame: Any) -> Iterator[tuple[Any, Any]]:
    """`iterrows`, whose labels are not typed."""
    yield from frame.iterrows()


def _groups(frame: pd.DataFrame, by: list[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """`groupby`, whose keys are not typed."""
    yield from frame.groupby(by)


TABLES: Mapping[str, Callable[[Report], str]] = {
    made.__name__: made
    for made in (
        *(pairs, answer, strata, strata_by_map_on_id, methods, choices, predictors),
        *(trainings, strengths, means, one_setting, per_image, maps),
    )
}
TRIAL_TABLES: Mapping[str, Callable[[pd.DataFrame], str]] = {
    made.__name__: made for made in (bands, candidates, epochs, networks, rates, unshifted)
}


if __name__ == "__main__":
    study, source = sys.argv[1:]
    whole = json.loads(Path(source).read_text())
    stored = {key: whole[key] for key in STORED.split() if key in whole}
    stored["correlations"] = list(filter(_within_cells, whole["correlations"]))
    (RESULTS / study / "report.json").write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n")
