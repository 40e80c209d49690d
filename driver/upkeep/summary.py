"""What a sweep prints at its end after the answer: results of the methods, and what would answer more."""

import pandas as pd
from rich.console import Group
from rich.table import Table

from analysis.answer.answer import Analysis
from analysis.answer.verdict import LABELS
from analysis.numbers import capitalized, column_name, listed, name, number, severity
from driver.plan.plan import Plan

DATASETS_ABREAST = 2
"""More do not fit in 80 columns."""
_BETWEEN = {
    "seed": "runs that differ in seeds alone",
    "setting": "settings of one method, such as its strength",
    "method": "methods",
    "given_id": "runs of one method at equal validation AUC",
}


def correlated(result: Analysis) -> str | None:
    """What the numbers of the answer are; None if it has none."""
    names = [c.comparison for c in result.comparisons if c.estimate is not None]
    if not names:
        return None
    between = "; ".join(f"{LABELS[name]}: between {_BETWEEN[name]}" for name in names)
    _, score, outcome = result.data
    return (
        f"The numbers are rank correlations of {column_name(score)} with {column_name(outcome)}, with 95 % intervals. "
        f"{capitalized(between)}."
    )


def methods_summary(result: Analysis) -> Group | None:
    """Outcome and localisation of each method at the largest severity of each dataset, mean ± standard deviation.

    Methods with the highest outcome are first. None if no trial has the primary's score.
    """
    table, score, outcome = result.data
    if score not in table:
        return None
    datasets = list(dict.fromkeys(table["dataset"]))
    table = table[table["severity"] == table.groupby("dataset")["severity"].transform("max")]
    order = table.groupby("method")[outcome].mean().sort_values(ascending=False).index
    parts: list[str | Table] = [f"{column_name(outcome)} and {column_name(score)}, mean ± sd over seeds and settings"]
    for start in range(0, len(datasets), DATASETS_ABREAST):
        shown = Table(box=None, padding=(0, 2, 0, 0), header_style="")
        shown.add_column("method\n", no_wrap=True)
        rows = [[name(str(method))] for method in order]
        for dataset in datasets[start : start + DATASETS_ABREAST]:
            own = table[table["dataset"] == dataset]
            shown.add_column(f"{name(dataset)}, s = {severity(own['severity'].iloc[0])}\n{_short(outcome)}")
            shown.add_column(f"\n{name(result.primary.metric)}")
            for row, method in zip(rows, order, strict=True):
                row += [_mean_and_sd(own.loc[own["method"] == method, column]) for column in (outcome, score)]
        for row in rows:
            shown.add_row(*row)
        parts += ["", shown]
    return Group(*parts)


def more(result: Analysis, plan: Plan) -> str:
    """Which comparisons are undecided and why, and the command that adds trials."""
    by_reason: dict[str, list[str]] = {}
    for comparison in result.comparisons:
        if comparison.answer == "undecided":
            reason = comparison.reason or "the interval is too wide"
            by_reason.setdefault(reason, []).append(LABELS[comparison.comparison])
    parts = [f"{listed(labels)} ({reason})" for reason, labels in by_reason.items()]
    lead = f"Not decided here: {'; '.join(parts)}. " if parts else ""
    if plan.cut:
        return f"{lead}The plan has more trials: repeat the command without --max-trials to run them"
    if not plan.space.larger:
        return f"{lead}For more seeds, settings or methods: a space of your own, python sweep.py --space NAME.py"
    option = f" --dataset {plan.datasets.pop()}" if len(plan.datasets) == 1 else ""
    return (
        f"{lead}For more seeds, settings and methods: python sweep.py --space {plan.space.larger}{option} "
        "(with --dry-run it says how long that takes)"
    )


def _mean_and_sd(values: pd.Series) -> str:
    values = values.dropna()
    return f"{number(values.mean())} ± {number(values.std())}" if len(values) > 1 else number(values.mean())


def _short(outcome: str) -> str:
    """ "OOD AUC" for `test_ood.auc`."""
    return column_name(outcome).replace(" test", "")
