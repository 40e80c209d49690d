"""Each method's performance and localisation, by severity and by strength: mean ± standard deviation over trials."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.answer.answer import Analysis
from analysis.answer.correlations import ID_AUC
from analysis.numbers import column_name, name, number, severity
from analysis.sections.drawing import (
    INK,
    MUTED,
    Drawing,
    legend_below,
    legend_key,
    look,
    new_figure,
    settings,
    severity_axis,
)
from analysis.sections.section import Section, plain
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


@dataclass(frozen=True)
class Methods:
    """The rows of all cells."""

    methods: tuple[MethodRow, ...]
    strengths: tuple[MethodRow, ...]
    """By strength, of the cells that have several."""


def method_rows(table: pd.DataFrame, primary: Primary) -> Iterator[MethodRow]:
    """One row per (dataset, severity, method), in this order, `baseline` before the other methods."""
    cells = cell_rows(table)
    for cell in sorted(cells, key=_in_order):
        yield _row(cell, table.iloc[cells[cell]], primary)


def strength_rows(table: pd.DataFrame, primary: Primary) -> Iterator[MethodRow]:
    """The same for each strength of the cells that have several, the smallest first; other settings are averaged."""
    if "strength" not in table:
        return
    cells = cell_rows(table)
    for cell in sorted(cells, key=_in_order):
        part = table.iloc[cells[cell]]
        strengths = sorted(part["strength"].dropna().unique())
        if len(strengths) > 1:
            for strength in strengths:
                yield replace(_row(cell, part[part["strength"] == strength], primary), strength=float(strength))


def _in_order(cell: Cell) -> tuple[str, float, bool, str]:
    return (*cell[:2], cell[2] != "baseline", cell[2])


def _row(cell: Cell, part: pd.DataFrame, primary: Primary) -> MethodRow:
    levels = _values(part, columns.chance_iou(primary.split)) if primary.metric == "iou" else np.empty(0)
    return MethodRow(
        dataset=cell[0],
        severity=cell[1],
        method=cell[2],
        n=len(part),
        ood=spread(_values(part, primary.outcome)),
        id=spread(_values(part, ID_AUC)),
        localisation=spread(_values(part, primary.column)),
        chance=float(np.median(levels)) if len(levels) else None,
    )


def spread(values: np.ndarray) -> Spread:
    """Mean, standard deviation and number of values; no mean without values, no deviation under two."""
    n = len(values)
    return Spread(mean=float(values.mean()) if n else None, sd=float(values.std(ddof=1)) if n > 1 else None, n=n)


def _values(part: pd.DataFrame, column: str) -> np.ndarray:
    return part[column].dropna().to_numpy(dtype=float) if column in part else np.empty(0)


def _by_severity(
    rows: tuple[MethodRow, ...],
    score: Callable[[MethodRow], Spread],
    label: str,
    *,
    thin: Callable[[MethodRow], Spread] | None = None,
    reference: Callable[[MethodRow], float | None],
    reference_label: str,
    limits: tuple[float, float] | None = None,
) -> "matplotlib.figure.Figure":
    """A score against severity, one panel per dataset and one line per method.

    Args:
        score: what the thick lines show; its standard deviation is the bar.
        thin: what thin dashed lines show, without bars.
        reference: the level of the dotted line at each severity, such as chance.
    """
    datasets = sorted({row.dataset for row in rows})
    styles = look(row.method for row in rows)
    drew_reference = drew_thin = False
    with settings():
        figure = new_figure(max(5.2, 0.6 + 3.9 * len(datasets)), 4.0)
        panels = figure.subplots(1, len(datasets), squeeze=False, sharey=limits is not None)[0]
        for axes, dataset in zip(panels, datasets, strict=True):
            mine = [row for row in rows if row.dataset == dataset]
            severities = sorted({row.severity for row in mine})
            span = (severities[-1] - severities[0]) or 1.0
            for position, (method, (colour, marker)) in enumerate(styles.items()):
                # A small step to the side per method keeps the bars apart.
                shift = (position - (len(styles) - 1) / 2) * 0.008 * span
                own = [row for row in mine if row.method == method]
                points = [
                    (row.severity + shift, s.mean, s.sd or 0.0) for row in own if (s := score(row)).mean is not None
                ]
                if points:
                    x, mean, sd = zip(*points, strict=True)
                    axes.errorbar(
                        x, mean, yerr=sd, color=colour, marker=marker, markersize=4.5, linewidth=1.6, elinewidth=0.8
                    )
                thin_points = [] if thin is None else [(row.severity, thin(row).mean) for row in own]
                drew_thin |= _plot(axes, thin_points, color=colour, linestyle="--", linewidth=0.8, alpha=0.8)
            levels = {row.severity: reference(row) for row in mine}
            known = sorted((s, level) for s, level in levels.items() if level is not None)
            dotted: dict[str, Any] = {"color": MUTED, "linestyle": ":", "linewidth": 1}
            if len(known) == 1:
                axes.axhline(known[0][1], **dotted)
            else:
                _plot(axes, known, **dotted)
            drew_reference |= bool(known)
            axes.set_title(name(dataset), loc="left")
            severity_axis(axes, severities)
            if limits is not None:
                axes.set_ylim(*limits)
            else:
                axes.set_ylim(bottom=0)
        panels[0].set_ylabel(label)
        handles = [
            legend_key(name(method), color=c, marker=m, markersize=5, linewidth=1.6)
            for method, (c, m) in styles.items()
        ]
        if drew_thin:
            handles.append(legend_key("the same on the ID test set", color=MUTED, linestyle="--", linewidth=0.8))
        if drew_reference:
            handles.append(legend_key(reference_label, color=MUTED, linestyle=":", linewidth=1))
        legend_below(figure, handles, columns=3 if len(datasets) == 1 else 5)
    return figure


def _plot(axes: "matplotlib.axes.Axes", points: Sequence[tuple[float, float | None]], **style: Any) -> bool:
    """Plot the points that have a value; False where none has."""
    known = [(x, y) for x, y in points if y is not None]
    if known:
        axes.plot(*zip(*known, strict=True), **style)
    return bool(known)


def _at_worst(rows: tuple[MethodRow, ...], score: Callable[[MethodRow], Spread]) -> str:
    """Each method's mean at the largest severity, in words."""
    worst = max(row.severity for row in rows)
    means = "; ".join(
        f"{name(row.method)} on {name(row.dataset)} {number(score(row).mean)}" for row in rows if row.severity == worst
    )
    return f"At s = {worst:g}: {means}"


def _outcome_figure(analysis: Analysis, rows: tuple[MethodRow, ...]) -> Drawing:
    is_auc = analysis.primary.outcome.endswith(".auc")
    label = column_name(analysis.primary.outcome)
    return Drawing(
        name="outcome_by_severity",
        title="How does performance fall as the shift grows?",
        caption=f"Mean {label} and its standard deviation over the trials of each cell, by severity of the shift.",
        alt=f"Lines of mean {label} against severity, one per method. {_at_worst(rows, lambda row: row.ood)}.",
        figure=_by_severity(
            rows,
            lambda row: row.ood,
            label,
            thin=(lambda row: row.id) if is_auc else None,
            reference=lambda row: 0.5 if is_auc else None,
            reference_label="chance AUC",
            limits=(-0.03, 1.03) if is_auc else None,
        ),
    )


def _localisation_figure(analysis: Analysis, rows: tuple[MethodRow, ...]) -> Drawing | None:
    """None where no trial has the primary's score."""
    if all(row.localisation.mean is None for row in rows):
        return None
    primary = analysis.primary
    label = f"{name(primary.metric)}, {name(primary.attribution)}"
    return Drawing(
        name="localisation_by_severity",
        title="Does the training method change where the map falls?",
        caption=f"Mean {analysis.primary_name} and its standard deviation over the trials of each cell.",
        alt=f"Lines of mean {label} against severity, one per method. {_at_worst(rows, lambda row: row.localisation)}.",
        figure=_by_severity(
            rows,
            lambda row: row.localisation,
            label,
            reference=lambda row: row.chance,
            reference_label=f"chance {name(primary.metric)}",
        ),
    )


def _strength_figure(analysis: Analysis, result: Methods) -> Drawing | None:
    """Performance above, localisation below, a column per stratum; None where no method has several strengths."""
    rows, primary = [row for row in result.strengths if row.strength], analysis.primary
    if not rows:
        return None
    strata = sorted({(row.dataset, row.severity) for row in rows})
    styles = look(row.method for row in rows)
    labels = (column_name(primary.outcome), f"{name(primary.metric)}, {name(primary.attribution)}")
    scores: tuple[Callable[[MethodRow], float | None], ...] = (lambda r: r.ood.mean, lambda r: r.localisation.mean)
    with settings():
        figure = new_figure(max(5.2, 1.1 + 2.15 * len(strata)), 5.2)
        panels = figure.subplots(2, len(strata), squeeze=False, sharex=True, sharey="row")
        for column, stratum in enumerate(strata):
            for axes, score in zip(panels[:, column], scores, strict=True):
                for method, (colour, marker) in styles.items():
                    mine = [r for r in rows if (r.dataset, r.severity, r.method) == (*stratum, method)]
                    points = [(r.strength or 0.0, score(r)) for r in mine]
                    _plot(axes, points, color=colour, marker=marker, markersize=4, linewidth=1.4)
                baseline = [r for r in result.methods if (r.dataset, r.severity, r.method) == (*stratum, "baseline")]
                if baseline and (level := score(baseline[0])) is not None:
                    axes.axhline(level, color=INK, linestyle=":", linewidth=1)
            panels[0][column].set_title(f"{name(stratum[0])}, s = {severity(stratum[1])}", loc="left", fontsize=8)
            panels[1][column].set_xscale("log")
            panels[1][column].set_xlabel("strength")
        if primary.outcome.endswith(".auc"):
            panels[0][0].set_ylim(-0.03, 1.03)
        panels[1][0].set_ylim(bottom=0)
        for axes, label in zip(panels[:, 0], labels, strict=True):
            axes.set_ylabel(label)
        handles = [
            legend_key(name(method), color=c, marker=m, markersize=5, linewidth=1.4)
            for method, (c, m) in styles.items()
        ]
        if any(row.method == "baseline" for row in result.methods):
            handles.append(legend_key("baseline", color=INK, linestyle=":", linewidth=1))
        legend_below(figure, handles, columns=max(3, 2 * len(strata)))
    worst = max(row.severity for row in rows)
    best: dict[tuple[str, str], MethodRow] = {}
    for row in rows:
        if row.severity == worst and row.ood.mean is not None:
            key = (row.dataset, row.method)
            best[key] = max(best.get(key, row), row, key=lambda one: one.ood.mean or 0.0)
    highest = "; ".join(
        f"{name(row.method)} on {name(row.dataset)} {number(row.ood.mean)} at {row.strength:g}" for row in best.values()
    )
    return Drawing(
        name="by_strength",
        title="What does more of a penalty change?",
        caption=(
            f"Mean {labels[0]} and {labels[1]} over the trials of one method and strength. Scales of strength differ "
            "between methods: compare shapes, not places."
        ),
        alt=f"Lines of mean {labels[0]} and of mean {labels[1]} against strength, one per method. Highest "
        f"{labels[0]} at s = {worst:g}: {highest}.",
        figure=figure,
    )


def spread_entries(part: Spread) -> list[Entry]:
    """Mean and standard deviation, as a table has them."""
    return [value(part.mean), (part.sd, "–" if part.sd is None else f"± {number(part.sd)}")]


def _tables(analysis: Analysis, result: Methods) -> list[Table]:
    methods = _table(analysis, "methods", "Methods", result.methods, ())
    if not result.strengths:
        return [methods]
    return [methods, _table(analysis, "strengths", "Method by strength", result.strengths, ("strength",))]


def _table(analysis: Analysis, table: str, title: str, rows: tuple[MethodRow, ...], also: tuple[str, ...]) -> Table:
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
                *((getattr(row, column), f"{getattr(row, column):g}") for column in also),
                *spread_entries(row.ood),
                *spread_entries(row.id),
                *spread_entries(row.localisation),
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
        fold=0 if also else 24,
    )


SECTION = Section(
    key="methods",
    title="Methods",
    compute=lambda analysis: Methods(
        tuple(method_rows(analysis.trials.table, analysis.primary)),
        tuple(strength_rows(analysis.trials.table, analysis.primary)),
    ),
    content=lambda result: {"methods": plain(result.methods), "strengths": plain(result.strengths)},
    figures=lambda analysis, result: [
        _outcome_figure(analysis, result.methods),
        _localisation_figure(analysis, result.methods),
        _strength_figure(analysis, result),
    ],
    tables=_tables,
)
