"""Each method's performance and localisation by severity: mean ± standard deviation over trials."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.answer.answer import Analysis
from analysis.answer.correlations import ID_AUC
from analysis.numbers import column_name, name, number
from analysis.sections import drawing
from analysis.sections.drawing import place_of_method
from analysis.sections.section import Section
from analysis.sections.table import CELL, Column, Table, decimals, inside
from analysis.stats.replicated import Estimate
from analysis.trials.trials import Primary
from records import columns

if TYPE_CHECKING:
    from analysis.sections.drawing import Axes, Figure


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n − 1 in the denominator) of the values present; None where undefined."""

    mean: float | None
    sd: float | None
    n: int


@dataclass(frozen=True)
class MethodRow:
    """One cell's summary; a column the table lacks has n = 0."""

    dataset: str
    severity: float
    method: str
    n: int
    """Trials in the cell."""
    ood: Spread
    """The outcome, by default AUC on the OOD test set."""
    id: Spread
    """AUC on the ID test set."""
    localisation: Spread
    """The primary's localisation score."""
    chance: float | None
    """Median chance level of IoU, where the metric is IoU and the level is recorded."""
    strength: float | None = None
    """The trials' strength; None for all of the cell's."""


def method_rows(table: pd.DataFrame, primary: Primary, *, by_strength: bool = False) -> tuple[MethodRow, ...]:
    """One row per (dataset, severity, method), and per strength if asked for, in this order."""
    rows = []
    by = ["dataset", "severity", "method", *(["strength"] if by_strength else [])]
    for key, trials in table.groupby(by):
        cell: dict[str, Any] = dict(zip(by, key, strict=True))
        chance = _values(trials, columns.chance_iou(primary.split)) if primary.metric == "iou" else np.empty(0)
        row = MethodRow(
            **cell,
            n=len(trials),
            ood=spread(_values(trials, primary.outcome)),
            id=spread(_values(trials, ID_AUC)),
            localisation=spread(_values(trials, primary.column)),
            chance=float(np.median(chance)) if len(chance) else None,
        )
        rows.append(row)
    return tuple(sorted(rows, key=lambda row: (row.dataset, row.severity, place_of_method(row.method))))


def ranking(rows: Sequence[MethodRow]) -> tuple[MethodRow, ...]:
    """The methods at the largest severity of each dataset, the best outcome first; without an outcome last."""
    largest = {row.dataset: row.severity for row in sorted(rows, key=lambda row: row.severity)}
    at_largest = [row for row in rows if row.severity == largest[row.dataset]]
    return tuple(sorted(at_largest, key=lambda row: (row.dataset, row.ood.mean is None, -(row.ood.mean or 0.0))))


def _values(trials: pd.DataFrame, column: str) -> np.ndarray:
    return trials[column].dropna().to_numpy(dtype=float) if column in trials else np.empty(0)


def spread(values: np.ndarray) -> Spread:
    n = len(values)
    return Spread(mean=float(values.mean()) if n else None, sd=float(values.std(ddof=1)) if n > 1 else None, n=n)


@dataclass(frozen=True)
class Shown:
    """A score as the figures show it."""

    field: str
    """Its name in `MethodRow`."""
    file: str
    title: str
    label: str
    is_auc: bool = False

    def of(self, row: MethodRow) -> Spread:
        score: Spread = getattr(row, self.field)
        return score

    def chance(self, row: MethodRow) -> float:
        """NaN if there is none."""
        return 0.5 if self.is_auc else or_nan(row.chance if self.field == "localisation" else None)

    def limit(self, axes: "Axes") -> None:
        """The whole scale of an AUC; another score's from 0, unless some of it is below."""
        if self.is_auc:
            axes.set_ylim(-0.03, 1.03)
        elif min(other.dataLim.y0 for other in axes.get_shared_y_axes().get_siblings(axes)) >= 0:
            axes.set_ylim(bottom=0)


def shown(analysis: Analysis) -> tuple[Shown, Shown]:
    """The outcome and the localisation score."""
    primary = analysis.primary
    fall, move = "How does performance fall as the shift grows?", "Does the training method change where the map falls?"
    outcome, map_score = column_name(primary.outcome), f"{name(primary.metric)}, {name(primary.attribution)}"
    return (
        Shown("ood", "outcome_by_severity", fall, outcome, is_auc=primary.outcome.endswith(".auc")),
        Shown("localisation", "localisation_by_severity", move, map_score),
    )


def or_nan(value: float | None) -> float:
    """The value, or NaN, which matplotlib leaves out."""
    return np.nan if value is None else value


_CHANCE: dict[str, Any] = {"color": drawing.MUTED, "linestyle": ":", "linewidth": 1}
_ON_ID: dict[str, Any] = {"linestyle": "--", "linewidth": 0.8}


def _by_method(rows: tuple[MethodRow, ...], score: Shown) -> "Figure":
    """A row per method with its mean and standard deviation, a panel per dataset and severity."""
    cells = {}
    for row in rows:
        mean, sd = or_nan(score.of(row).mean), or_nan(score.of(row).sd)
        entry = Estimate(estimate=score.of(row).mean, ci_low=mean - sd, ci_high=mean + sd)
        cells[row.dataset, row.severity, row.method] = entry
    figure, panels = drawing.method_panels(cells, score.label)
    for (dataset, severity), axes in panels.items():
        levels = {score.chance(row) for row in rows if (row.dataset, row.severity) == (dataset, severity)}
        axes.vlines(sorted(levels), *axes.get_ylim(), **_CHANCE)
        if score.is_auc:
            axes.set_xlim(-0.03, 1.03)
    key = drawing.legend_key("mean and standard deviation", color=drawing.INK, marker="o", markersize=5)
    drawing.legend_below(figure, [key, drawing.legend_key("chance", **_CHANCE)], columns=2)
    return figure


def _by_severity(rows: tuple[MethodRow, ...], score: Shown) -> "Figure":
    """A score against severity, one panel per dataset and one line per method; an AUC beside the same on ID data."""
    styles = drawing.look(row.method for row in rows)
    figure, panels = drawing.dataset_panels(sorted({row.dataset for row in rows}), sharey=score.is_auc)
    for dataset, axes in panels.items():
        of_dataset = [row for row in rows if row.dataset == dataset]
        severities = sorted({row.severity for row in of_dataset})
        span = (severities[-1] - severities[0]) or 1.0
        closest = min((high - low for low, high in pairwise(severities)), default=span)
        # A small step to the side per method keeps the bars apart, and those of one severity together.
        step = min(0.008 * span, 0.6 * closest / len(styles))
        for position, (method, (colour, marker)) in enumerate(styles.items()):
            cells = [row for row in of_dataset if row.method == method]
            x = np.asarray([row.severity for row in cells])
            means, sds = [or_nan(score.of(row).mean) for row in cells], [score.of(row).sd or 0.0 for row in cells]
            style: dict[str, Any] = {
                "color": colour,
                "marker": marker,
                "markersize": 4.5,
                "linewidth": 1.6,
                "elinewidth": 0.8,
            }
            axes.errorbar(x + (position - (len(styles) - 1) / 2) * step, means, yerr=sds, **style)
            if score.is_auc:
                axes.plot(x, [or_nan(row.id.mean) for row in cells], color=colour, alpha=0.8, **_ON_ID)
        chance = {row.severity: score.chance(row) for row in of_dataset}
        axes.plot(list(chance), list(chance.values()), marker="_", **_CHANCE)
        drawing.severity_axis(axes, severities)
        score.limit(axes)
    next(iter(panels.values())).set_ylabel(score.label)
    handles = drawing.method_keys(styles, markersize=5, linewidth=1.6)
    if score.is_auc and any(row.id.n for row in rows):
        handles.append(drawing.legend_key("the same on the ID test set", color=drawing.MUTED, **_ON_ID))
    if not all(np.isnan(score.chance(row)) for row in rows):
        handles.append(drawing.legend_key("chance", **_CHANCE))
    drawing.legend_below(figure, handles, columns=9)
    return figure


def _figure(rows: tuple[MethodRow, ...], score: Shown) -> drawing.Drawing | None:
    """None where no trial has the score."""
    if not any(score.of(row).n for row in rows):
        return None
    worst = max(row.severity for row in rows)
    is_crowded = len({row.method for row in rows}) > drawing.MANY
    means = "; ".join(
        f"{name(row.method)} on {name(row.dataset)} {number(score.of(row).mean)}"
        for row in rows
        if row.severity == worst
    )
    with drawing.settings():
        figure = (_by_method if is_crowded else _by_severity)(rows, score)
    kind = "Dots" if is_crowded else "Lines"
    return drawing.Drawing(
        name=score.file,
        title=score.title,
        caption=f"{score.label}: mean and standard deviation over the trials of each cell, by severity.",
        alt=f"{kind} of mean {score.label} by severity, one per method. At s = {worst:g}: {means}.",
        figure=figure,
    )


def spread_columns(field: str, heading: str, of: str, sd: str = "") -> tuple[Column, ...]:
    """Columns of a mean and its standard deviation."""
    deviation = Column(sd or f"{field}.sd", "sd", lambda value: f"± {number(value)}", "sd")
    return inside(of, decimals(field, heading, "mean"), deviation)


def summary_table(
    analysis: Analysis, table: str, title: str, rows: tuple[MethodRow, ...], also: tuple[Column, ...] = ()
) -> Table:
    """One row each; `also` are columns between the cell and its numbers."""
    primary = analysis.primary
    return Table(
        name=table,
        title=title,
        caption=(
            f"Mean ± standard deviation over the trials of a cell{' that have this strength' if also else ''}. "
            f"{name(primary.metric)} is that of {name(primary.attribution)} on the {name(primary.split)} set."
        ),
        columns=(
            *(*CELL, *also),
            *spread_columns(primary.outcome, column_name(primary.outcome), "ood"),
            *spread_columns(ID_AUC, "ID test AUC", "id"),
            *spread_columns(primary.column, name(primary.metric), "localisation"),
            decimals("chance", "chance"),
            Column("n", "n"),
        ),
        rows=rows,
        group=3 if also else 2,
        fold=0,
    )


SECTION = Section(
    key="methods",
    title="Method by severity",
    compute=lambda analysis: method_rows(analysis.trials.table, analysis.primary),
    figures=lambda analysis, result: [_figure(result, score) for score in shown(analysis)],
    tables=lambda analysis, result: [summary_table(analysis, "methods", "Every method at every severity", result)],
)
