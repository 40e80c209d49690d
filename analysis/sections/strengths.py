"""Each method's performance and localisation by its strength."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from analysis.answer.answer import Analysis
from analysis.numbers import name, number, severity, strength
from analysis.sections.drawing import (
    INK,
    MANY,
    PALETTE,
    Drawing,
    in_order,
    legend_below,
    legend_key,
    look,
    method_keys,
    new_figure,
    settings,
)
from analysis.sections.methods import MethodRow, cells_in_order, plot_known, row_of, shown, summary_table
from analysis.sections.section import Section
from analysis.trials.trials import Primary

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure


def strength_rows(table: pd.DataFrame, primary: Primary) -> tuple[MethodRow, ...]:
    """The same for each strength of the cells that have several, the smallest first; other settings are averaged."""
    if "strength" not in table:
        return ()
    return tuple(
        replace(row_of(cell, part[part["strength"] == strength], primary), strength=float(strength))
        for cell, part in cells_in_order(table)
        if part["strength"].nunique() > 1
        for strength in sorted(part["strength"].dropna().unique())
    )


def _figure(analysis: Analysis, result: tuple[MethodRow, ...]) -> Drawing | None:
    """Performance and localisation against strength; None where no method has several strengths."""
    rows = [row for row in result if row.strength]
    if not rows:
        return None
    labels = [score.label for score in shown(analysis)]
    if len({row.method for row in rows}) > MANY:
        figure, kind = _by_method(analysis, rows), "a panel per method at the largest severity"
    else:
        figure, kind = _by_stratum(analysis, rows), "one per method"
    worst = max(row.severity for row in rows)
    by_outcome = sorted(
        (row for row in rows if row.severity == worst and row.ood.n), key=lambda row: row.ood.mean or 0.0
    )
    extremes = "; ".join(
        f"{name(row.method)} on {name(row.dataset)} {number(row.ood.mean)} at {strength(row.strength or 0.0)}"
        for row in by_outcome[:: len(by_outcome) - 1 or 1]
    )
    return Drawing(
        name="by_strength",
        title="What does more of a penalty change?",
        caption=(
            f"Mean {labels[0]} and {labels[1]} over the trials of one method and strength. Scales of strength differ "
            "between methods: compare shapes, not places."
        ),
        alt=f"Lines of mean {labels[0]} and of mean {labels[1]} against strength, {kind}. Lowest and highest "
        f"{labels[0]} at s = {worst:g}: {extremes}.",
        figure=figure,
    )


def _by_method(analysis: Analysis, rows: list[MethodRow]) -> "matplotlib.figure.Figure":
    """A panel per method with both scores, a colour per dataset at its largest severity."""
    methods, datasets = in_order(row.method for row in rows), sorted({row.dataset for row in rows})
    colours = {dataset: PALETTE[1 + i % (len(PALETTE) - 1)] for i, dataset in enumerate(datasets)}
    lines = dict(zip(("-", "--"), shown(analysis), strict=True))
    n_columns = 6
    with settings():
        n_rows = -(-len(methods) // n_columns)
        figure = new_figure(0.8 + 1.35 * n_rows)
        panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).ravel()
        for axes, method in zip(panels, methods, strict=False):
            for dataset, colour in colours.items():
                own = [row for row in rows if (row.method, row.dataset) == (method, dataset)]
                own = [row for row in own if row.severity == max(r.severity for r in own)]
                for line, score in lines.items():
                    points = [(row.strength or 0.0, score.of(row).mean) for row in own]
                    plot_known(axes, points, color=colour, linestyle=line, marker="o", markersize=3, linewidth=1.4)
            axes.set_title(name(method), loc="left", fontsize=8)
            _strength_axis(axes, [row for row in rows if row.method == method])
        for axes in panels[len(methods) :]:
            axes.set_axis_off()
        if lines["-"].is_auc:
            panels[0].set_ylim(-0.03, 1.03)
        for axes in panels[: len(methods)][-n_columns:]:
            axes.set_xlabel("strength")
        handles = [legend_key(score.label, color=INK, linestyle=line) for line, score in lines.items()]
        if len(datasets) > 1:
            handles += [legend_key(name(dataset), color=colour) for dataset, colour in colours.items()]
        legend_below(figure, handles, columns=6)
    return figure


def _by_stratum(analysis: Analysis, rows: list[MethodRow]) -> "matplotlib.figure.Figure":
    """Performance above, localisation below, a column per stratum and a line per method."""
    methods = analysis.results["methods"]
    strata = sorted({(row.dataset, row.severity) for row in rows})
    styles = look(row.method for row in rows)
    scores = shown(analysis)
    with settings():
        figure = new_figure(5.2, 0.8 + 1.6 * len(strata))
        panels = figure.subplots(2, len(strata), squeeze=False, sharex=True, sharey="row")
        for column, stratum in enumerate(strata):
            for axes, score in zip(panels[:, column], scores, strict=True):
                for method, (colour, marker) in styles.items():
                    mine = [r for r in rows if (r.dataset, r.severity, r.method) == (*stratum, method)]
                    points = [(r.strength or 0.0, score.of(r).mean) for r in mine]
                    plot_known(axes, points, color=colour, marker=marker, markersize=4, linewidth=1.4)
                baseline = [r for r in methods if (r.dataset, r.severity, r.method) == (*stratum, "baseline")]
                if baseline and (level := score.of(baseline[0]).mean) is not None:
                    axes.axhline(level, color=INK, linestyle=":", linewidth=1)
            dataset, level = stratum
            first = min(s for d, s in strata if d == dataset)
            where = f"{name(dataset)}\n" if level == first else ""
            panels[0][column].set_title(f"{where}s = {severity(level)}", loc="left", fontsize=8)
            _strength_axis(panels[1][column], rows)
            panels[1][column].set_xlabel("strength")
        for axes, score in zip(panels[:, 0], scores, strict=True):
            score.limit(axes)
            axes.set_ylabel(score.label)
        handles = method_keys(styles, markersize=5, linewidth=1.4)
        if any(row.method == "baseline" for row in methods):
            handles.append(legend_key("baseline", color=INK, linestyle=":", linewidth=1))
        legend_below(figure, handles, columns=9)
    return figure


def _strength_axis(axes: "matplotlib.axes.Axes", rows: list[MethodRow]) -> None:
    """A logarithmic axis with plain numbers: powers of ten, or both ends where there is none between them."""
    strengths = [row.strength for row in rows if row.strength]
    axes.set_xscale("log")
    if math.log10(min(strengths)) // 1 == math.log10(max(strengths)) // 1:
        axes.set_xticks([min(strengths), max(strengths)])
    axes.xaxis.set_major_formatter(lambda value, _: strength(value))
    axes.xaxis.set_minor_formatter(lambda value, _: "")


TITLE = "Method by strength"
SECTION = Section(
    key="strengths",
    title=TITLE,
    compute=lambda analysis: strength_rows(analysis.trials.table, analysis.primary),
    figures=lambda analysis, result: [_figure(analysis, result)],
    tables=lambda analysis, result: (
        [summary_table(analysis, "strengths", TITLE, result, ("strength",))] if result else []
    ),
)
