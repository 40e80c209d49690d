"""Each method's performance and localisation by its strength."""

import math
from itertools import cycle, product
from typing import Any

import pandas as pd

from analysis.answer.answer import Analysis
from analysis.numbers import name, number, severity, strength
from analysis.sections import drawing
from analysis.sections.methods import MethodRow, Shown, method_rows, shown, summary_table
from analysis.sections.section import Section
from analysis.sections.table import Column
from analysis.trials.trials import Primary


def strength_rows(table: pd.DataFrame, primary: Primary) -> tuple[MethodRow, ...]:
    """A row per strength of the cells with several, in ascending order, averaged over other settings."""
    if "strength" not in table:
        return ()
    n_strengths = table.groupby(["dataset", "severity", "method"])["strength"].transform("nunique")
    return method_rows(table[n_strengths > 1].astype({"strength": float}), primary, by_strength=True)


def _figure(analysis: Analysis, result: tuple[MethodRow, ...]) -> drawing.Drawing | None:
    rows = [row for row in result if row.strength]
    if not rows:
        return None
    outcome, localisation = (score.label for score in shown(analysis))
    is_crowded = len({row.method for row in rows}) > drawing.MANY
    worst = max(row.severity for row in rows)
    scored = sorted((row for row in rows if row.severity == worst and row.ood.n), key=lambda row: row.ood.mean or 0.0)
    extremes = "; ".join(
        f"{name(row.method)} on {name(row.dataset)} {number(row.ood.mean)} at {strength(row.strength or 0.0)}"
        for row in scored[:: len(scored) - 1 or 1]
    )
    with drawing.settings():
        figure = (_by_method if is_crowded else _by_stratum)(analysis, rows)
    return drawing.Drawing(
        name="by_strength",
        title="What does a larger penalty change?",
        caption=f"Mean {outcome} and {localisation} by strength, whose scale differs between methods: compare shapes.",
        alt=f"Lines against strength. Lowest and highest {outcome} at s = {worst:g}: {extremes}.",
        figure=figure,
    )


def _by_method(analysis: Analysis, rows: list[MethodRow]) -> "drawing.Figure":
    """A panel per method with both scores, a colour per dataset at its largest severity."""
    methods, n_columns = drawing.in_order(row.method for row in rows), 6
    worst = {row.dataset: row.severity for row in sorted(rows, key=lambda row: row.severity)}
    colours = dict(zip(sorted(worst), cycle(drawing.PALETTE[1:]), strict=False))
    lines = dict(zip(("-", "--"), shown(analysis), strict=True))
    n_rows = -(-len(methods) // n_columns)
    figure = drawing.new_figure(0.8 + 1.35 * n_rows)
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).ravel()
    for axes, method in zip(panels, methods, strict=False):
        for (dataset, colour), (line, score) in product(colours.items(), lines.items()):
            style = {"color": colour, "linestyle": line, "marker": "o", "markersize": 3}
            _plot(axes, rows, (dataset, worst[dataset], method), score, **style)
        axes.set_title(name(method), loc="left", fontsize=8)
        _strength_axis(axes, [row for row in rows if row.method == method])
    for axes in panels[len(methods) :]:
        axes.set_axis_off()
    lines["-"].limit(panels[0])
    for axes in panels[: len(methods)][-n_columns:]:
        axes.set_xlabel("strength")
    handles = [drawing.legend_key(score.label, color=drawing.INK, linestyle=line) for line, score in lines.items()]
    if len(colours) > 1:
        handles += [drawing.legend_key(name(dataset), color=colour) for dataset, colour in colours.items()]
    drawing.legend_below(figure, handles, columns=6)
    return figure


def _by_stratum(analysis: Analysis, rows: list[MethodRow]) -> "drawing.Figure":
    """Performance above, localisation below, a column per stratum and a line per method."""
    baselines = {(r.dataset, r.severity): r for r in analysis.results["methods"] if r.method == "baseline"}
    strata = drawing.rows_of_strata((row.dataset, row.severity) for row in rows)
    places = [(dataset, level) for dataset, levels in strata.items() for level in levels]
    styles = drawing.look(row.method for row in rows)
    dotted: dict[str, Any] = {"color": drawing.INK, "linestyle": ":", "linewidth": 1}
    figure = drawing.new_figure(5.2, 0.8 + 1.6 * len(places))
    panels = figure.subplots(2, len(places), squeeze=False, sharex=True, sharey="row")
    for of_score, score in zip(panels, shown(analysis), strict=True):
        for axes, place in zip(of_score, places, strict=True):
            for method, (colour, marker) in styles.items():
                _plot(axes, rows, (*place, method), score, color=colour, marker=marker, markersize=4)
            if place in baselines:
                axes.axhline(drawing.or_nan(score.of(baselines[place]).mean), **dotted)
        score.limit(of_score[0])
        of_score[0].set_ylabel(score.label)
    for (top, bottom), (dataset, level) in zip(panels.T, places, strict=True):
        title = f"{name(dataset)}\n" * (level == strata[dataset][0]) + f"s = {severity(level)}"
        top.set_title(title, loc="left", fontsize=8)
        _strength_axis(bottom, rows)
        bottom.set_xlabel("strength")
    baseline = [drawing.legend_key("baseline", **dotted)] if baselines else []
    drawing.legend_below(figure, [*drawing.method_keys(styles, markersize=5), *baseline], columns=9)
    return figure


def _plot(
    axes: "drawing.Axes", rows: list[MethodRow], cell: tuple[str, float, str], score: Shown, **style: Any
) -> None:
    of_cell = [row for row in rows if (row.dataset, row.severity, row.method) == cell]
    means = [drawing.or_nan(score.of(row).mean) for row in of_cell]
    axes.plot([row.strength or 0.0 for row in of_cell], means, linewidth=1.4, **style)


def _strength_axis(axes: "drawing.Axes", rows: list[MethodRow]) -> None:
    """A logarithmic axis with plain numbers: powers of ten, or both ends where there is none between them."""
    strengths = [row.strength for row in rows if row.strength]
    axes.set_xscale("log")
    if math.log10(min(strengths)) // 1 == math.log10(max(strengths)) // 1:
        axes.set_xticks([min(strengths), max(strengths)])
    axes.xaxis.set_major_formatter(lambda value, _: strength(value))
    axes.xaxis.set_minor_formatter(lambda value, _: "")


SECTION = Section(
    key="strengths",
    title="Method by strength",
    compute=lambda analysis: strength_rows(analysis.trials.table, analysis.primary),
    figures=lambda analysis, result: [_figure(analysis, result)],
    tables=lambda analysis, result: [summary_table(analysis, result, also=(Column("strength", "strength", strength),))],
)
