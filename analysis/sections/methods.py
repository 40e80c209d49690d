"""Each method's performance and localisation by severity: mean ± standard deviation over trials."""

from collections.abc import Sequence
from dataclasses import dataclass
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
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.stats.replicated import Estimate, Replicated, sums
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
    """One cell's summary; a column that the table lacks has n = 0."""

    dataset: str
    severity: float
    method: str
    n: int
    ood: Spread
    """The outcome, by default AUC on the OOD test set."""
    id: Spread
    """AUC on the ID test set."""
    localisation: Spread
    chance: float | None
    """Median chance level of IoU, where the metric is IoU and the level is recorded."""
    strength: float | None = None
    """The trials' strength; None for all of the cell's."""


def method_rows(table: pd.DataFrame, primary: Primary, *, by_strength: bool = False) -> tuple[MethodRow, ...]:
    """One row per (dataset, severity, method), and per strength if asked for, in this order."""
    rows = []
    by = ["dataset", "severity", "method", *(["strength"] if by_strength else [])]
    for key, trials in table.groupby(by):
        row: dict[str, Any] = dict(zip(by, key, strict=True))
        scores = {"ood": primary.outcome, "id": ID_AUC, "localisation": primary.column}
        row |= {field: spread(trials, column) for field, column in scores.items()}
        chance = _values(trials, columns.chance_iou(primary.split)).median() if primary.metric == "iou" else np.nan
        rows.append(MethodRow(**row, n=len(trials), chance=_or_none(chance)))
    return tuple(sorted(rows, key=lambda row: (row.dataset, row.severity, place_of_method(row.method))))


def ranking(rows: Sequence[MethodRow]) -> tuple[MethodRow, ...]:
    """The methods at the largest severity of each dataset, the best outcome first; without an outcome last."""
    largest = {row.dataset: row.severity for row in sorted(rows, key=lambda row: row.severity)}
    at_largest = [row for row in rows if row.severity == largest[row.dataset]]
    return tuple(sorted(at_largest, key=lambda row: (row.dataset, row.ood.mean is None, -(row.ood.mean or 0.0))))


def _values(trials: pd.DataFrame, column: str) -> "pd.Series[float]":
    return trials.reindex(columns=[column])[column].astype(float)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def spread(trials: pd.DataFrame, column: str) -> Spread:
    values = _values(trials, column)
    return Spread(_or_none(values.mean()), _or_none(values.std()), int(values.count()))


def group_means(table: pd.DataFrame, by: list[str], column: str) -> Replicated:
    """[groups] the column's mean in each group; NaN without a value."""
    resamples = draw_resamples(table, replicates=1, seed=0)
    values, group = table[column].to_numpy(dtype=np.float64), table.groupby(by).ngroup().to_numpy()
    known = np.isfinite(values) & (group == np.arange(group.max() + 1)[:, None])
    total, n = (
        sums(each, resamples.cluster, resamples.dataset)
        for each in (known * np.nan_to_num(values), known.astype(np.float64))
    )
    means: Replicated = total / n
    return means


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

    def chance(self, row: MethodRow) -> Estimate:
        return Estimate(estimate=0.5 if self.is_auc else row.chance if self.field == "localisation" else None)

    def limit(self, axes: "Axes") -> None:
        """The whole scale of an AUC; that of another score from 0, unless some of it is below."""
        if self.is_auc:
            axes.set_ylim(-0.03, 1.03)
        elif min(other.dataLim.y0 for other in axes.get_shared_y_axes().get_siblings(axes)) >= 0:
            axes.set_ylim(bottom=0)


def shown(analysis: Analysis) -> tuple[Shown, Shown]:
    """The outcome and the localisation score."""
    primary = analysis.primary
    outcome, map_score = column_name(primary.outcome), f"{name(primary.metric)}, {name(primary.attribution)}"
    fall, move = "How does performance fall as the shift grows?", "Does the training method change where the map falls?"
    return (
        Shown("ood", "outcome_by_severity", fall, outcome, is_auc=primary.outcome.endswith(".auc")),
        Shown("localisation", "localisation_by_severity", move, map_score),
    )


_CHANCE: dict[str, Any] = {"color": drawing.MUTED, "linestyle": ":", "linewidth": 1}


def _bar(score: Spread) -> Estimate:
    """The mean, with one standard deviation on both sides."""
    if score.mean is None or score.sd is None:
        return Estimate(estimate=score.mean)
    return Estimate(estimate=score.mean, ci_low=score.mean - score.sd, ci_high=score.mean + score.sd)


def _by_method(rows: tuple[MethodRow, ...], score: Shown) -> "Figure":
    cells = {(row.dataset, row.severity, row.method): _bar(score.of(row)) for row in rows}
    figure, panels = drawing.method_panels(cells, score.label)
    for (dataset, severity), axes in panels.items():
        levels = {score.chance(row).estimate for row in rows if (row.dataset, row.severity) == (dataset, severity)}
        axes.vlines([level for level in levels if level is not None], *axes.get_ylim(), **_CHANCE)
        if score.is_auc:
            axes.set_xlim(-0.03, 1.03)
    key = drawing.legend_key("mean and standard deviation", color=drawing.INK, marker="o", markersize=5)
    drawing.legend_below(figure, [key, drawing.legend_key("chance", **_CHANCE)], columns=2)
    return figure


def _by_severity(rows: tuple[MethodRow, ...], score: Shown) -> "Figure":
    """An AUC beside the same on ID data."""
    lines: list[drawing.Line] = []
    on_id: list[drawing.Line] = []
    styles = drawing.look(row.method for row in rows)
    for position, (method, (colour, marker)) in enumerate(styles.items()):
        cells = {(row.dataset, row.severity): row for row in rows if row.method == method}
        solid = {"color": colour, "marker": marker, "markersize": 4.5, "linewidth": 1.6}
        bars = {stratum: _bar(score.of(row)) for stratum, row in cells.items()}
        lines.append(drawing.Line(name(method), bars, solid, position - (len(styles) - 1) / 2))
        if score.is_auc and any(row.id.n for row in cells.values()):
            dashed = {"color": colour, "linestyle": "--", "linewidth": 0.8}
            means = {stratum: Estimate(estimate=row.id.mean) for stratum, row in cells.items()}
            on_id.append(drawing.Line("" if on_id else "the same on the ID test set", means, dashed))
    chance = {(row.dataset, row.severity): score.chance(row) for row in rows}
    has_chance = any(level.estimate is not None for level in chance.values())
    lines += [*on_id, drawing.Line("chance" if has_chance else "", chance, {**_CHANCE, "marker": "_"})]
    figure, panels = drawing.severity_lines(lines, score.label, sharey=score.is_auc, columns=9)
    for axes in panels:
        score.limit(axes)
    return figure


def _figure(rows: tuple[MethodRow, ...], score: Shown) -> drawing.Drawing | None:
    if not any(score.of(row).n for row in rows):
        return None
    means = "; ".join(
        f"{name(row.method)} on {name(row.dataset)} {number(score.of(row).mean)}" for row in ranking(rows)
    )
    is_crowded = len({row.method for row in rows}) > drawing.MANY
    with drawing.settings():
        figure = (_by_method if is_crowded else _by_severity)(rows, score)
    return drawing.Drawing(
        name=score.file,
        title=score.title,
        caption=f"{score.label}: mean and standard deviation over the trials of each cell, by severity.",
        alt=f"Mean {score.label} at the largest severity: {means}.",
        figure=figure,
    )


def spread_columns(field: str, heading: str, of: str, sd: str = "") -> tuple[Column, ...]:
    """Columns of a mean and its standard deviation."""
    deviation = Column(sd or f"{field}.sd", "sd", lambda value: f"± {number(value)}", "sd")
    return inside(of, decimals(field, heading, "mean"), deviation)


def summary_table(
    analysis: Analysis, rows: tuple[MethodRow, ...], title: str = "", also: tuple[Column, ...] = ()
) -> Table:
    """One row each; `also` are columns between the cell and its numbers."""
    primary = analysis.primary
    return Table(
        title=title,
        caption=f"Mean ± standard deviation over the trials of a row; {analysis.primary_name}.",
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
    tables=lambda analysis, result: [summary_table(analysis, result, "Every method at every severity")],
)
