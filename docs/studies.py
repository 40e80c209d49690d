"""The tables of the studies in docs/results, made from report.json and trials.parquet; `make docs` writes them.

On a page, `<!-- laptop: choices -->` and `<!-- end -->`, each on a line by itself, enclose the table `choices` of the
study docs/results/laptop. `python -m docs.studies laptop sweeps/laptop/report/report.json` stores the part of a report
that pages and tests use.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.answer.verdict import LABELS, QUESTIONS
from analysis.numbers import column_name, interval, name, number, percent, strength, with_interval
from analysis.sections.choices import MASKED, RULES, UNKNOWABLE, selection_regret
from analysis.sections.drawing import in_order
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.stats.replicated import Estimate
from analysis.trials.table_file import read_table
from analysis.trials.trials import Primary
from docs.markdown import table
from records import columns

RESULTS = Path(__file__).parent / "results"
PAGES = tuple(sorted(RESULTS.glob("*.md")))
BLOCK = re.compile(r"^<!-- (?P<study>\w+): (?P<kind>\w+) -->\n.*?^<!-- end -->$", re.DOTALL | re.MULTILINE)
STORED = (
    *(
        "n_trials",
        "primary",
        "decision",
        "reading",
        "comparisons",
        "regret",
        "predictors",
        "same_images",
        "strength_choices",
        "sign_error",
    ),
    *("granulated_kendall", "per_image", "below_chance", "single_trainings"),
)
"""The keys of report.json that pages and tests use, besides the `correlations` within cells."""
PRIMARY = Primary()
SCORE, OUTCOME = PRIMARY.column, PRIMARY.outcome
NAMES = {"synthetic": "crosses", "decoy_digits": "digits", "digits_on_photos": "photographs"}
COMPARED = {
    "seed": "seeds alone",
    "setting": "settings of a method",
    "method": "the method",
    "given_id": "seeds and settings of a method, at equal validation AUC",
}
"""In what the models of each comparison differ, on the studies' pages."""

Report = Mapping[str, Any]
"""The content of report.json."""
Cell = tuple[tuple[str, ...], str, str]
"""Of a table: its row, as the texts of the first columns; its column; its text."""


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
    return read_table(RESULTS / study / "trials.parquet").query("status == 'completed'")


def dataset_name(name: Any) -> str:
    """A dataset as the pages call it."""
    return NAMES.get(name, str(name))


def stratum_name(dataset: Any, severity: float) -> str:
    """A dataset and severity as the pages call it."""
    return f"{dataset_name(dataset)}, s = {severity:g}"


def grid(head: Sequence[str], cells: Iterable[Cell], columns: Sequence[str] = ()) -> str:
    """A table of cells in the order of their rows and, unless they are given, columns; missing cells are empty."""
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for row, column, text in cells:
        rows.setdefault(row, {})[column] = text
    columns = columns or list(dict.fromkeys(column for texts in rows.values() for column in texts))
    return table((*head, *columns), ((*row, *(texts.get(c, "") for c in columns)) for row, texts in rows.items()))


# Tables from report.json


def decision(report: Report) -> str:
    """What to do, what it costs and how certain that is; datasets as the pages call them."""
    names = {name(dataset): called for dataset, called in NAMES.items()}
    said = "**{advice}** {certainty}\n\n{costs}".format(**report["decision"])
    return re.sub("|".join(names), lambda found: names[found[0]], said)


def reading(report: Report) -> str:
    """What the correlations are of, and what the words mean."""
    return str(report["reading"])


def pairs(report: Report) -> str:
    """The README's table: the answer and the correlation of each comparison."""
    rows = ((QUESTIONS[one["comparison"]], one["answer"], _with_interval(one)) for one in report["comparisons"])
    return table(("question", "[answer](docs/answer.md)", "rank correlation, 95 % interval"), rows)


def answer(report: Report) -> str:
    """Each comparison with what a new method would have, and its effect."""

    def row(one: Report) -> Iterator[str]:
        yield COMPARED[one["comparison"]]
        yield f"**{one['answer']}**" if one["answer"] in ("yes", "no", "reverse") else one["answer"]
        yield one["generality"] + (f" (among {one['differ_among']})" if one["differ_among"] else "")
        yield _with_interval(one)
        yield "" if one["prediction_low"] is None else interval(one["prediction_low"], one["prediction_high"])
        yield _number(one["new_method_positive"])
        yield _number(one["auc_per_tenth"])

    head = ("the models differ in", "on average", "how general", "rank correlation, 95 %", "a new method", "P(ρ > 0)")
    return table((*head, "OOD AUC per 0.1 of IoU"), ([*row(one)] for one in report["comparisons"]))


def _by_level(report: Report, levels: str, name: Callable[[Report], str]) -> str:
    cells = [
        ((name(level),), LABELS[one["comparison"]], _number(level["estimate"]))
        for one in report["comparisons"]
        for level in one[levels]
    ]
    return grid([""], sorted(cells, key=lambda cell: cell[0]), list(dict.fromkeys(column for _, column, _ in cells)))


def single_trainings(report: Report) -> str:
    """Settings and given validation AUC beside single trainings at one learning rate with maps of ID images."""
    compared = {one["comparison"]: one for one in report["comparisons"]}
    rows = [("the comparisons above", [compared["setting"], compared["given_id"]])]
    rows += [("trained once, at one learning rate, maps of unshifted images", report["single_trainings"])]
    return table(("models", "all", "at equal validation AUC"), ((label, *map(_with_interval, r)) for label, r in rows))


def strata(report: Report) -> str:
    """The correlation of each comparison by dataset and severity."""
    return _by_level(report, "strata", lambda level: stratum_name(level["dataset"], level["severity"]))


def methods(report: Report) -> str:
    """The correlation of each comparison by method, over the strata with a shift."""
    return _by_level(report, "methods", lambda level: f"`{level['method']}`")


def strata_by_map_on_id(report: Report) -> str:
    """The correlations by stratum for the map of ID images, which is available before a shift."""
    return strata(next(one for one in report["predictors"] if one["column"].startswith("test_id.iou.")))


def choices(report: Report) -> str:
    """The cost of each way of choosing a model, over the strata with a shift and in each of them."""
    overall, saved = "OOD AUC lost, 95 %", "the map costs more by, 95 %"
    costs: dict[str, dict[str, str]] = {}
    for one in report["regret"]:
        if one["estimate"] is not None and one["dataset"] is None:
            costs.setdefault(one["rule"], {})[overall] = _with_interval(one, 3)
            if one["saved"] is not None:
                bounds = interval(one["saved_low"], one["saved_high"], 3)
                costs[one["rule"]][saved] = f"{number(one['saved'], 3)} ({bounds})"
        elif one["estimate"] is not None and one["severity"]:
            place = stratum_name(one["dataset"], one["severity"])
            costs.setdefault(one["rule"], {})[place] = number(one["estimate"], 3)
    cells = (
        ((label + (" (not available in advance)" if rule in UNKNOWABLE else ""),), place, cost)
        for rule, label in RULES.items()
        if rule != "oracle" and overall in costs.get(rule, ())
        for place, cost in costs[rule].items()
    )
    places = {place for by_place in costs.values() for place in by_place} - {overall, saved}
    return grid(["rule"], cells, [overall, saved, *sorted(places)])


def predictors(report: Report) -> str:
    """The correlation of each comparison for the primary's map, and for scores that need no shifted images."""
    cells = (
        ((column_name(score["column"]),), LABELS[one["comparison"]], _with_interval(one))
        for score in report["predictors"]
        for one in score["comparisons"]
    )
    return grid(["score"], cells, [LABELS[one["comparison"]] for one in report["comparisons"]])


def trainings(report: Report) -> str:
    """How often the better score goes with the better model, for two trials of one configuration."""

    def cells() -> Iterator[Cell]:
        for one in report["same_images"]:
            if one["dataset"] is None and one["method"] is None and one["estimate"] is not None:
                row = one["images"], f"at least {one['apart']:g} apart" if one["apart"] else "all"
                by = "by the map" if columns.parse_localisation(one["score"]) else "by validation AUC"
                yield row, by, _with_interval(one)
                yield row, "pairs", f"{one['n']:,}"

    return grid(("images", "outcomes"), cells(), ("by the map", "by validation AUC", "pairs"))


def strengths(report: Report) -> str:
    """The strength that each rule chooses for a method, and its cost."""
    best, labels = "best: OOD AUC", {rule: label for rule, label in RULES.items() if rule != "oracle"}

    def cells() -> Iterator[Cell]:
        for one in report["strength_choices"]:
            row = dataset_name(one["dataset"]), f"`{one['method']}`"
            chosen = f"{strength(one['strength'])}: " if one["strength"] is not None else ""
            if one["rule"] == "oracle":
                yield row, best, chosen + _number(one["outcome"])
            elif one["estimate"] is not None:
                yield row, labels[one["rule"]], f"{chosen}{one['estimate']:.3f}"
        costs = pd.DataFrame(report["strength_choices"]).groupby("rule")["estimate"]
        for rule, mean in costs.agg(lambda values: values.mean(skipna=False)).drop("oracle").items():
            yield ("mean cost", ""), labels[str(rule)], f"{mean:.3f}" if np.isfinite(mean) else ""

    used = {one["rule"] for one in report["strength_choices"]}
    return grid(("", "method"), cells(), [best, *(label for rule, label in labels.items() if rule in used)])


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
    shown = [one for one in report["per_image"] if one["dataset"] is None and one["estimate"] is not None]
    maps = (f"IoU of {name(one['attribution'])}" + (f", `{one['method']}`" if one["method"] else "") for one in shown)
    models = (f"{one['n']:,} of {one['n'] + one['n_missing']:,}" for one in shown)
    rows = zip(maps, map(_with_interval, shown), models, strict=True)
    return table(("map", "AUROC for a right answer", "models"), rows)


def maps(report: Report) -> str:
    """The correlation of each attribution's maps with the outcome within cells, all severities together."""
    images = {"test_ood": "OOD images", "test_id": "ID images"}
    within = filter(_within_cells, report["correlations"])
    cells = (((name(one["attribution"]),), images[one["split"]], _with_interval(one)) for one in within)
    return grid([f"{name(PRIMARY.metric)} of"], cells, [*images.values()])


def _within_cells(one: Report) -> bool:
    """Whether a correlation is one that the pages show."""
    wanted = (PRIMARY.metric, OUTCOME, "within_cell", "spearman", None)
    return (one["metric"], one["outcome"], one["scope"], one["statistic"], one["stratum"]) == wanted


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
    strata: Any = shown.groupby(["dataset", "severity"])[OUTCOME]
    groups = {stratum_name(*place): outcome for place, outcome in strata}

    def cells(name: str) -> Iterator[str]:
        for outcome in groups.values():
            chosen = outcome[band[outcome.index] == name]
            low, median, high = chosen.quantile([0.1, 0.5, 0.9])
            yield from (f"{len(chosen)}", f"{number(median)}, {interval(low, high)}" if len(chosen) else "")

    head = (heading for stratum in groups for heading in (f"{stratum}: trials", "OOD AUC: median, middle 80 %"))
    return table(("IoU", *head), ((name, *cells(name)) for name in names))


def _shifted(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials with a shift, and the name of their stratum."""
    shifted = trials[trials["severity"] > 0]
    return shifted.assign(stratum=list(map(stratum_name, shifted["dataset"], shifted["severity"])))


def _means(groups: Any) -> Any:
    """OOD AUC / IoU of groups of trials."""
    averages = groups[[OUTCOME, SCORE]].mean().map(number)
    return averages[OUTCOME] + " / " + averages[SCORE]


def _framed(head: Sequence[str], frame: pd.DataFrame) -> str:
    """The table of a frame of texts, whose index is shown under `head`."""
    rows = frame.fillna("").reset_index().itertuples(index=False)
    return table((*head, *frame.columns), ([f"{v:g}" if isinstance(v, float) else v for v in row] for row in rows))


def epochs(trials: pd.DataFrame) -> str:
    """The share of trials that selected each epoch, counted from 1."""
    share = trials.groupby(["dataset", "hp.lr"])["best_epoch"].value_counts(normalize=True).unstack(fill_value=0)
    shown = share.map(percent).rename(index=NAMES, columns=lambda epoch: f"{epoch + 1:g}")
    return _framed(("selected epoch", "learning rate"), shown)


def rates(trials: pd.DataFrame) -> str:
    """OOD AUC / IoU of each learning rate and stratum with a shift, mean over all methods and strengths."""
    return _framed(["learning rate"], _means(_shifted(trials).groupby(["hp.lr", "stratum"])).unstack())


def means(trials: pd.DataFrame) -> str:
    """OOD AUC / IoU of each method and stratum with a shift, at the strength with the highest OOD AUC."""
    groups = _shifted(trials).groupby(["method", "stratum", "strength"])
    best = groups[OUTCOME].mean().groupby(["method", "stratum"]).idxmax()
    cells = _means(groups).loc[best].reset_index("strength", name="means")
    chosen = cells["strength"].map(lambda weight: f" ({strength(weight)})" if weight else "")
    texts = (cells["means"] + chosen).unstack()
    return _framed(["method"], texts.loc[in_order(texts.index)].rename(index="`{}`".format))


def candidates(trials: pd.DataFrame) -> str:
    """The cost of each rule over the strata with a shift, with fewer and fewer methods to choose from."""
    left_out = {"all methods": [], f"without `{MASKED}`": [MASKED]}
    left_out[f"without `{MASKED}` and `shuffled`"] = [MASKED, "shuffled"]

    def cells() -> Iterator[Cell]:
        for heading, methods in left_out.items():
            chosen = trials[~trials["method"].isin(methods)].reset_index(drop=True)
            for one in selection_regret(chosen, PRIMARY, draw_resamples(chosen, replicates=1, seed=0)):
                if one.dataset is None and one.estimate is not None and one.rule != "oracle":
                    yield (RULES[one.rule],), heading, with_interval(one, 3)

    in_order = [*RULES.values()]
    return grid(["rule"], sorted(cells(), key=lambda cell: in_order.index(cell[0][0])), [*left_out])


def unshifted(trials: pd.DataFrame) -> str:
    """Spearman's ρ among the settings of a method, of OOD AUC under the shift with the IoU with and without the shift.

    Uncorrected averages over seeds, then the mean over the methods.
    """
    settings = ["dataset", "method", "strength", "hp.lr"]
    averages = trials.groupby([*settings, "severity"])[[SCORE, OUTCOME]].mean().reset_index()
    without = averages[averages["severity"] == 0].set_index(settings)[SCORE].rename("without")
    shifted = averages[averages["severity"] > 0].join(without, on=settings)
    cells = _shifted(shifted).groupby(["stratum", "method"]).filter(lambda cell: len(cell) >= 4)
    rho = cells.groupby(["stratum", "method"])[[OUTCOME, SCORE, "without"]].corr("spearman")[OUTCOME].unstack()
    shown = rho[[SCORE, "without"]].groupby("stratum").mean().map(number)
    return _framed([""], shown.set_axis(["its own map", "its map without a shift"], axis=1))


def networks(trials: pd.DataFrame, others: pd.DataFrame | None = None) -> str:
    """OOD AUC / IoU of each method and strength, means over seeds, beside the same in the study `laptop`."""
    both = [trials, trials_of("laptop") if others is None else others]
    row = ["method", "strength"]
    first, second = (one[["dataset", "severity", "hp.lr", *row]].drop_duplicates() for one in both)
    shared = first.merge(second)
    groups = (one.merge(shared).groupby([*row, "severity", "model"], sort=False) for one in both)
    joined = pd.concat([_means(one).unstack([2, 3]) for one in groups], axis=1)
    joined = joined.sort_index(axis=1, level="severity", sort_remaining=False, kind="stable")
    joined.columns = [f"{model}, s = {severity:g}" for severity, model in joined.columns]
    joined = joined.rename(index="`{}`".format, level="method").rename(index={0.0: ""}, level="strength")
    return _framed(row, joined)


_OF_ANSWERS = (decision, reading, pairs, answer, single_trainings, strata, strata_by_map_on_id, methods, predictors)
TABLES: Mapping[str, Callable[[Report], str]] = {
    made.__name__: made for made in (*_OF_ANSWERS, choices, trainings, strengths, one_setting, per_image, maps)
}
TRIAL_TABLES: Mapping[str, Callable[[pd.DataFrame], str]] = {
    made.__name__: made for made in (bands, candidates, epochs, means, networks, rates, unshifted)
}


if __name__ == "__main__":
    study, source = sys.argv[1:]
    whole = json.loads(Path(source).read_text())
    stored = {key: whole[key] for key in STORED if key in whole}
    stored["correlations"] = list(filter(_within_cells, whole["correlations"]))
    (RESULTS / study / "report.json").write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n")
