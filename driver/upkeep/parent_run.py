"""What a sweep's MLflow run shows: the space, the design, the comparisons, and the means of the methods."""

from collections.abc import Iterable, Sequence
from typing import Any

from analysis import Analysis
from analysis.sections.methods import method_rows
from driver.plan.plan import Plan
from records import SweepRecords
from records.mirror_names import metric
from records.store import Record

NUMBERS = {
    "rho": "estimate",
    "ci_low": "ci_low",
    "ci_high": "ci_high",
    "auc_per_tenth": "auc_per_tenth",
    "n_trials": "n_trials",
}
"""Numbers of a comparison: their names in MLflow and in report.json."""


def declared(records: SweepRecords) -> dict[str, str]:
    """Parameters: what sweep.json declared before the first trial."""
    manifest = records.manifest()
    if manifest is None:
        return {}
    shown = {
        "space": manifest.space,
        "primary": manifest.primary,
        "comparisons": ", ".join(manifest.comparisons),
    }
    return {name: str(value) for name, value in shown.items() if value}


def design(records: Sequence[Record], plan: Plan) -> dict[str, Any]:
    """Tags: what varies between the trials; it may change when the sweep continues."""
    levels = {
        "datasets": _levels(record["dataset"] for record in records),
        "methods": _levels(record["method"] for record in records),
        "severities": _levels(f"{record['severity']:g}" for record in records),
        "seeds": spans({record["seed"] for record in records}),
        "data_seeds": spans({record["data_seed"] for record in records}),
    }
    return {**levels, "planned_trials": plan.planned + len(plan.others(records))}


def answers(analysis: Analysis) -> dict[str, str]:
    """Tags: the word for each comparison."""
    return {f"comparison/{c.comparison}/answer": c.answer for c in analysis.comparisons}


def numbers(analysis: Analysis) -> dict[str, float | None]:
    """Metrics: each comparison's numbers, and each method's means at the largest severity.

    A mean is of the outcome, or of the primary's localisation score, over the trials of a cell and then over datasets.
    """
    metrics: dict[str, float | None] = {
        f"comparison/{c.comparison}/{name}": getattr(c, attribute)
        for c in analysis.comparisons
        for name, attribute in NUMBERS.items()
        if c.estimate is not None
    }
    table, localisation, outcome = analysis.data
    rows = method_rows(table, analysis.primary)
    largest = {row.dataset: max(r.severity for r in rows if r.dataset == row.dataset) for row in rows}
    rows = tuple(row for row in rows if row.severity == largest[row.dataset])
    for method in sorted({row.method for row in rows}):
        own = [row for row in rows if row.method == method]
        metrics[f"mean/{metric(outcome)}/{method}"] = _mean(row.ood.mean for row in own)
        metrics[f"mean/{metric(localisation)}/{method}"] = _mean(row.localisation.mean for row in own)
    return metrics


def spans(numbers: Iterable[int]) -> str:
    """Whole numbers as ranges: "0 to 9, 20"."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join(" to ".join(map(str, part)) for part in parts)


def _levels(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values)))


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None
