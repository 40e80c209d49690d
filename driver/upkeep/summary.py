"""The summary of a sweep: what the command prints after the answer, and what the sweep's run in MLflow shows."""

import shlex
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from rich.console import Group
from rich.table import Table

from analysis.answer.answer import Analysis
from analysis.numbers import column_name, name, number, severity
from analysis.report.last_screen import DATASETS_ABREAST
from analysis.sections.head import SEVERITY
from driver.plan.plan import Plan
from records import SweepRecords
from records.mirror_names import metric
from records.store import Record

NUMBERS = {"rho": "estimate", **{n: n for n in ("ci_low", "ci_high", "auc_per_tenth", "n_trials")}}
"""Numbers of a comparison: their names in MLflow and in report.json."""


def methods_summary(result: Analysis) -> Group | None:
    """Outcome and localisation of each method at each dataset's largest severity; None if no trial has the score."""
    table, score, outcome = result.data
    if score not in table:
        return None
    datasets = list(dict.fromkeys(table["dataset"]))
    table = _at_largest_severity(table)
    order = table.groupby("method")[outcome].mean().sort_values(ascending=False).index
    parts: list[str | Table] = [f"{column_name(outcome)} and {column_name(score)}, mean ± sd over seeds and settings"]
    for start in range(0, len(datasets), DATASETS_ABREAST):
        shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
        shown.add_column("method\n", no_wrap=True)
        rows = [[name(str(method))] for method in order]
        for dataset in datasets[start : start + DATASETS_ABREAST]:
            on_dataset = table[table["dataset"] == dataset]
            short = column_name(outcome).replace(" test", "")
            shown.add_column(f"{name(dataset)}, s = {severity(on_dataset['severity'].iloc[0])}\n{short}")
            shown.add_column(f"\n{name(result.primary.metric)}")
            for row, method in zip(rows, order, strict=True):
                of_method = on_dataset[on_dataset["method"] == method]
                row += [_mean_and_sd(of_method[column]) for column in (outcome, score)]
        for row in rows:
            shown.add_row(*row)
        parts += ["", shown]
    return Group(*parts, "", SEVERITY)


def more(plan: Plan) -> str:
    """The command that adds trials."""
    if plan.cut:
        return "The plan has more trials: repeat the command without --max-trials to run them"
    if not plan.space.larger:
        return "For more seeds, settings or methods: a space of your own, python sweep.py --space NAME.py"
    option = f" --dataset {shlex.quote(plan.datasets.pop())}" if len(plan.datasets) == 1 else ""
    return (
        f"For more seeds, settings and methods: python sweep.py --space {plan.space.larger}{option} "
        "(with --dry-run it says how long that takes)"
    )


def declared(records: SweepRecords) -> dict[str, str]:
    """Parameters of the sweep's run: what sweep.json declared before the first trial."""
    manifest = records.manifest()
    if manifest is None:
        return {}
    shown = {"space": manifest.space, "primary": manifest.primary, "comparisons": ", ".join(manifest.comparisons)}
    return {name: str(value) for name, value in shown.items() if value}


def design(records: Sequence[Record], plan: Plan) -> dict[str, Any]:
    """Tags of the sweep's run: what varies between the trials; it may change when the sweep continues."""

    def levels(values: Iterable[str]) -> str:
        return ", ".join(sorted(set(values)))

    return {
        "datasets": levels(record["dataset"] for record in records),
        "methods": levels(record["method"] for record in records),
        "severities": levels(f"{record['severity']:g}" for record in records),
        "seeds": spans({record["seed"] for record in records}),
        "data_seeds": spans({record["data_seed"] for record in records}),
        "planned_trials": plan.planned + len(plan.others(records)),
    }


def answers(result: Analysis) -> dict[str, str]:
    """Tags of the sweep's run: the answer of each comparison."""
    return {f"comparison/{c.comparison}/answer": c.answer for c in result.comparisons}


def numbers(result: Analysis) -> dict[str, float | None]:
    """Metrics of the sweep's run: each comparison's numbers, and each method's means at the largest severity.

    Means are over the trials of a cell and then over datasets.
    """
    metrics: dict[str, float | None] = {
        f"comparison/{c.comparison}/{name}": getattr(c, attribute)
        for c in result.comparisons
        for name, attribute in NUMBERS.items()
        if c.estimate is not None
    }
    table, localisation, outcome = result.data
    largest = _at_largest_severity(table)
    for column in {outcome, localisation} & set(table):
        means = largest.groupby(["method", "dataset"])[column].mean().groupby("method").mean()
        metrics |= {f"mean/{metric(column)}/{method}": mean for method, mean in means.items()}
    return metrics


def spans(numbers: Iterable[int]) -> str:
    """Whole numbers as ranges: "0 to 9, 20"."""
    parts: list[list[int]] = []
    for n in sorted(numbers):
        if parts and n == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], n]
        else:
            parts.append([n])
    return ", ".join(" to ".join(map(str, part)) for part in parts)


def _at_largest_severity(table: pd.DataFrame) -> pd.DataFrame:
    """The rows at the largest severity of each dataset."""
    return table[table["severity"] == table.groupby("dataset")["severity"].transform("max")]


def _mean_and_sd(values: pd.Series) -> str:
    values = values.dropna()
    return f"{number(values.mean())} ± {number(values.std())}" if len(values) > 1 else number(values.mean())
