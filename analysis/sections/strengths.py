"""Each method's performance and localisation by its strength."""

from dataclasses import replace

import pandas as pd

from analysis.answer.answer import Analysis
from analysis.numbers import name, number, stratum_name
from analysis.sections.drawing import INK, Drawing, legend_below, legend_key, look, method_keys, new_figure, settings
from analysis.sections.methods import MethodRow, cells_in_order, plot_known, row_of, shown, summary_table
from analysis.sections.section import Section
from analysis.trials.trials import Primary


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
    """Performance above, localisation below, a column per stratum; None where no method has several strengths."""
    rows = [row for row in result if row.strength]
    if not rows:
        return None
    methods = analysis.results["methods"]
    strata = sorted({(row.dataset, row.severity) for row in rows})
    styles = look(row.method for row in rows)
    scores = shown(analysis)
    labels = [score.label for score in scores]
    with settings():
        figure = new_figure(max(5.2, 1.1 + 2.15 * len(strata)), 5.2)
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
            panels[0][column].set_title(stratum_name(*stratum), loc="left", fontsize=8)
            panels[1][column].set_xscale("log")
            panels[1][column].set_xlabel("strength")
        for axes, score in zip(panels[:, 0], scores, strict=True):
            score.limit(axes)
            axes.set_ylabel(score.label)
        handles = method_keys(styles, markersize=5, linewidth=1.4)
        if any(row.method == "baseline" for row in methods):
            handles.append(legend_key("baseline", color=INK, linestyle=":", linewidth=1))
        legend_below(figure, handles, columns=max(3, 2 * len(strata)))
    worst = max(row.severity for row in rows)
    by_outcome = sorted(
        (row for row in rows if row.severity == worst and row.ood.n), key=lambda row: row.ood.mean or 0.0
    )
    extremes = "; ".join(
        f"{name(row.method)} on {name(row.dataset)} {number(row.ood.mean)} at {row.strength:g}"
        for row in by_outcome[:: len(by_outcome) - 1 or 1]
    )
    return Drawing(
        name="by_strength",
        title="What does more of a penalty change?",
        caption=(
            f"Mean {labels[0]} and {labels[1]} over the trials of one method and strength. Scales of strength differ "
            "between methods: compare shapes, not places."
        ),
        alt=f"Lines of mean {labels[0]} and of mean {labels[1]} against strength, one per method. Lowest and highest "
        f"{labels[0]} at s = {worst:g}: {extremes}.",
        figure=figure,
    )


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
