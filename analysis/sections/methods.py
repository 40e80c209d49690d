"""Each method's performance and localisation by severity: mean ± standard deviation over trials."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.answer.answer import Analysis
from analysis.answer.correlations import ID_AUC
from analysis.numbers import column_name, name, number, strength
from analysis.sections.drawing import (
    INK,
    MANY,
    MUTED,
    Drawing,
    dataset_panels,
    legend_below,
    legend_key,
    look,
    method_keys,
    method_panels,
    place_of_method,
    settings,
    severity_axis,
)
from analysis.sections.section import Section
from analysis.sections.table import Entry, Table, cell_entries, value, whole
from analysis.trials.design import Cell, cell_rows
from analysis.trials.trials import Primary
from records import columns

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure


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


def method_rows(table: pd.DataFrame, primary: Primary) -> tuple[MethodRow, ...]:
    """One row per (dataset, severity, method), in this order."""
    return tuple(row_of(cell, part, primary) for cell, part in cells_in_order(table))


def ranking(rows: Sequence[MethodRow]) -> tuple[MethodRow, ...]:
    """The methods at the largest severity of each dataset, the best outcome first; without an outcome last."""
    largest = {row.dataset: max(r.severity for r in rows if r.dataset == row.dataset) for row in rows}

    def place(row: MethodRow) -> tuple[str, bool, float]:
        return row.dataset, row.ood.mean is None, -(row.ood.mean or 0.0)

    return tuple(sorted((row for row in rows if row.severity == largest[row.dataset]), key=place))


def cells_in_order(table: pd.DataFrame) -> Iterator[tuple[Cell, pd.DataFrame]]:
    cells = cell_rows(table)
    for cell in sorted(cells, key=lambda cell: (*cell[:2], place_of_method(cell[2]))):
        yield cell, table.iloc[cells[cell]]


def row_of(cell: Cell, part: pd.DataFrame, primary: Primary) -> MethodRow:
    levels = _values(part, columns.chance_iou(primary.split)) if primary.metric == "iou" else np.empty(0)
    ood, on_id, localisation = (spread(_values(part, c)) for c in (primary.outcome, ID_AUC, primary.column))
    chance = float(np.median(levels)) if len(levels) else None
    return MethodRow(*cell, n=len(part), ood=ood, id=on_id, localisation=localisation, chance=chance)


def spread(values: np.ndarray) -> Spread:
    """Mean, standard deviation and number of values; no mean without values, no deviation under two."""
    n = len(values)
    return Spread(mean=float(values.mean()) if n else None, sd=float(values.std(ddof=1)) if n > 1 else None, n=n)


def _values(part: pd.DataFrame, column: str) -> np.ndarray:
    return part[column].dropna().to_numpy(dtype=float) if column in part else np.empty(0)


@dataclass(frozen=True)
class Shown:
    """A score as the figures show it."""

    file: str
    title: str
    full_name: str
    label: str
    of: Callable[[MethodRow], Spread]
    chance: Callable[[MethodRow], float | None]
    chance_label: str
    is_auc: bool = False

    def limit(self, axes: "matplotlib.axes.Axes") -> None:
        """The whole scale of an AUC; another score's from 0, unless some of it is below."""
        together = axes.get_shared_y_axes().get_siblings(axes)
        if self.is_auc:
            axes.set_ylim(-0.03, 1.03)
        elif min(other.dataLim.y0 for other in together) >= 0:
            axes.set_ylim(bottom=0)


def shown(analysis: Analysis) -> tuple[Shown, Shown]:
    """The outcome and the localisation score."""
    primary = analysis.primary
    outcome, metric, is_auc = column_name(primary.outcome), name(primary.metric), primary.outcome.endswith(".auc")
    return (
        Shown(
            file="outcome_by_severity",
            title="How does performance fall as the shift grows?",
            full_name=outcome,
            label=outcome,
            of=lambda row: row.ood,
            chance=lambda row: 0.5 if is_auc else None,
            chance_label="chance AUC",
            is_auc=is_auc,
        ),
        Shown(
            file="localisation_by_severity",
            title="Does the training method change where the map falls?",
            full_name=analysis.primary_name,
            label=f"{metric}, {name(primary.attribution)}",
            of=lambda row: row.localisation,
            chance=lambda row: row.chance,
            chance_label=f"chance {metric}",
        ),
    )


def _by_method(rows: tuple[MethodRow, ...], score: Shown) -> "matplotlib.figure.Figure":
    """A row per method with its mean and standard deviation, a panel per dataset and severity."""
    styles = look(row.method for row in rows)
    dotted: dict[str, Any] = {"color": MUTED, "linestyle": ":", "linewidth": 1}
    with settings():
        figure, panels = method_panels([(row.dataset, row.severity) for row in rows], list(styles), score.label)
        for (dataset, level), axes in panels.items():
            own = [row for row in rows if (row.dataset, row.severity) == (dataset, level)]
            chance = next((value for row in own if (value := score.chance(row)) is not None), None)
            if chance is not None:
                axes.axvline(chance, **dotted)
            for row in own:
                colour, marker = styles[row.method]
                y, part = -list(styles).index(row.method), score.of(row)
                if part.mean is not None:
                    axes.errorbar(part.mean, y, xerr=part.sd, color=colour, marker=marker, markersize=5, elinewidth=1.2)
        if score.is_auc:
            axes.set_xlim(-0.03, 1.03)
        keys = [legend_key("mean and standard deviation", color=INK, marker="o", markersize=5, linewidth=1.2)]
        legend_below(figure, [*keys, legend_key(score.chance_label, **dotted)], columns=2)
    return figure


def _by_severity(rows: tuple[MethodRow, ...], score: Shown) -> "matplotlib.figure.Figure":
    """A score against severity, one panel per dataset and one line per method; an AUC beside the same on ID data."""
    styles = look(row.method for row in rows)
    with_id = with_chance = False
    dotted: dict[str, Any] = {"color": MUTED, "linestyle": ":", "linewidth": 1}
    with settings():
        figure, panels = dataset_panels(sorted({row.dataset for row in rows}), sharey=score.is_auc)
        for dataset, axes in panels.items():
            mine = [row for row in rows if row.dataset == dataset]
            severities = sorted({row.severity for row in mine})
            span = (severities[-1] - severities[0]) or 1.0
            closest = min((high - low for low, high in pairwise(severities)), default=span)
            step = min(0.008 * span, 0.6 * closest / len(styles))
            for position, (method, (colour, marker)) in enumerate(styles.items()):
                # A small step to the side per method keeps the bars apart, and those of one severity together.
                shift = (position - (len(styles) - 1) / 2) * step
                own = [row for row in mine if row.method == method]
                points = [(row.severity + shift, s.mean, s.sd or 0.0) for row in own if (s := score.of(row)).n]
                if points:
                    x, mean, sd = zip(*points, strict=True)
                    axes.errorbar(
                        x, mean, yerr=sd, color=colour, marker=marker, markersize=4.5, linewidth=1.6, elinewidth=0.8
                    )
                if score.is_auc:
                    on_id = [(row.severity, row.id.mean) for row in own]
                    with_id |= plot_known(axes, on_id, color=colour, linestyle="--", linewidth=0.8, alpha=0.8)
            levels = sorted({row.severity: score.chance(row) for row in mine}.items())
            if len(levels) == 1 and levels[0][1] is not None:
                axes.axhline(levels[0][1], **dotted)
                with_chance = True
            else:
                with_chance |= plot_known(axes, levels, **dotted)
            severity_axis(axes, severities)
            score.limit(axes)
        next(iter(panels.values())).set_ylabel(score.label)
        handles = method_keys(styles, markersize=5, linewidth=1.6)
        if with_id:
            handles.append(legend_key("the same on the ID test set", color=MUTED, linestyle="--", linewidth=0.8))
        if with_chance:
            handles.append(legend_key(score.chance_label, **dotted))
        legend_below(figure, handles, columns=9)
    return figure


def plot_known(axes: "matplotlib.axes.Axes", points: Sequence[tuple[float, float | None]], **style: Any) -> bool:
    """Plot the points that have a value; False where none has."""
    known = [(x, y) for x, y in points if y is not None]
    if known:
        axes.plot(*zip(*known, strict=True), **style)
    return bool(known)


def _severity_figure(rows: tuple[MethodRow, ...], score: Shown) -> Drawing | None:
    """None where no trial has the score."""
    if not any(score.of(row).n for row in rows):
        return None
    worst = max(row.severity for row in rows)
    draw, kind = (_by_method, "Dots") if len({row.method for row in rows}) > MANY else (_by_severity, "Lines")
    means = "; ".join(
        f"{name(row.method)} on {name(row.dataset)} {number(score.of(row).mean)}"
        for row in rows
        if row.severity == worst
    )
    return Drawing(
        name=score.file,
        title=score.title,
        caption=f"Mean {score.full_name} and its standard deviation over the trials of each cell, by severity.",
        alt=f"{kind} of mean {score.label} by severity, one per method. At s = {worst:g}: {means}.",
        figure=draw(rows, score),
    )


def spread_entries(part: Spread) -> list[Entry]:
    """Mean and standard deviation, as a table has them."""
    return [value(part.mean), (part.sd, "–" if part.sd is None else f"± {number(part.sd)}")]


def summary_table(
    analysis: Analysis, table: str, title: str, rows: tuple[MethodRow, ...], also: tuple[str, ...] = ()
) -> Table:
    """One row each; `also` names columns between the cell and its numbers."""
    primary = analysis.primary
    which = " that have this strength" if also else ""
    return Table(
        name=table,
        title=title,
        caption=(
            f"Mean ± standard deviation over the trials of a cell{which}. {name(primary.metric)} is that of "
            f"{name(primary.attribution)} on the {name(primary.split)} set."
        ),
        headings=(
            *("dataset", "s", "method", *also, column_name(primary.outcome), "sd", "ID test AUC", "sd"),
            *(name(primary.metric), "sd", "chance", "n"),
        ),
        rows=tuple(
            (
                *cell_entries(row.dataset, row.severity, row.method),
                *((getattr(row, column), strength(getattr(row, column))) for column in also),
                *(entry for part in (row.ood, row.id, row.localisation) for entry in spread_entries(part)),
                value(row.chance),
                whole(row.n),
            )
            for row in rows
        ),
        text_columns=3,
        fields=(
            *("dataset", "severity", "method", *also),
            *(f"{column}{end}" for column in (primary.outcome, ID_AUC, primary.column) for end in ("", ".sd")),
            *("chance", "n"),
        ),
        group=3 if also else 2,
        fold=0,
    )


SECTION = Section(
    key="methods",
    title="Method by severity",
    compute=lambda analysis: method_rows(analysis.trials.table, analysis.primary),
    figures=lambda analysis, result: [_severity_figure(result, score) for score in shown(analysis)],
    tables=lambda analysis, result: [summary_table(analysis, "methods", "Every method at every severity", result)],
)
