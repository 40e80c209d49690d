"""Forest plot of two sweeps: the primary within cells in both, stratum by stratum."""

from analysis.compare.differences import SweepComparison
from analysis.numbers import with_interval
from analysis.sections.drawing import (
    INK,
    MUTED,
    Drawing,
    interval_line,
    legend_below,
    legend_key,
    new_figure,
    row_labels,
    settings,
)

_LOOKS = (("#0072B2", "o", 0.13), ("#D55E00", "s", -0.13))
"""Colour, marker and distance from the row of the first and the second sweep."""


def draw(comparison: SweepComparison) -> Drawing:
    """Both sweeps' correlations with their intervals, all cells first."""
    lines = [("all strata", comparison.within), *((d.stratum or "", d) for d in comparison.strata)]
    names = (comparison.first.sweep, comparison.second.sweep)
    with settings():
        figure = new_figure(1.1 + 0.36 * len(lines))
        axes = figure.subplots()
        axes.axvline(0, color=MUTED, linewidth=0.8)
        for position, (_, pair) in enumerate(lines):
            for entry, (colour, marker, shift) in zip((pair.first, pair.second), _LOOKS, strict=True):
                y = shift - position
                if entry.estimate is None:
                    axes.text(0.01, y, "undefined", color=INK, fontsize=7, va="center")
                    continue
                interval_line(axes, entry, y, color=colour, linewidth=1.6)
                axes.plot([entry.estimate], [y], marker=marker, color=colour, markersize=6)
        row_labels(axes, [label for label, _ in lines], strong=True)
        axes.set_xlim(-1.02, 1.02)
        axes.set_xlabel("Spearman’s ρ within cells with 95 % interval")
        keys = [
            legend_key(label, color=colour, marker=marker, linewidth=1.6)
            for label, (colour, marker, _) in zip(names, _LOOKS, strict=True)
        ]
        legend_below(figure, keys, columns=2)
    rows = "; ".join(f"{label}: {with_interval(d.first)} against {with_interval(d.second)}" for label, d in lines)
    return Drawing(
        name="comparison",
        title="The correlation in both",
        caption=(
            "Rank correlation of the primary within cells. Two estimates can differ although their intervals overlap: "
            "the table has the interval of the difference."
        ),
        alt=f"Forest plot of rank correlations within cells, {names[0]} against {names[1]}. {rows}.",
        figure=figure,
    )
