"""Forest plot of two sweeps: the primary within cells in both, stratum by stratum."""

from matplotlib.lines import Line2D

from analysis.compare.differences import Comparison
from analysis.numbers import with_interval
from analysis.sections.drawing import INK, MUTED, Drawing, legend_below, new_figure, settings

_FIRST, _SECOND = ("#0072B2", "o"), ("#D55E00", "s")


def draw(comparison: Comparison) -> Drawing:
    """Both sweeps' correlations with their intervals, all cells first."""
    lines = [("all strata", comparison.within), *((d.stratum or "", d) for d in comparison.strata)]
    names = (comparison.first.sweep, comparison.second.sweep)
    with settings():
        figure = new_figure(1.1 + 0.36 * len(lines))
        axes = figure.subplots()
        axes.grid(axis="y", visible=False)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        for position, (_, pair) in enumerate(lines):
            for entry, (colour, marker), shift in ((pair.first, _FIRST, 0.13), (pair.second, _SECOND, -0.13)):
                y = shift - position
                if entry.estimate is None:
                    axes.text(0.01, y, "undefined", color=INK, fontsize=7, va="center")
                    continue
                if entry.ci_low is not None and entry.ci_high is not None:
                    axes.plot([entry.ci_low, entry.ci_high], [y, y], color=colour, linewidth=1.6)
                axes.plot([entry.estimate], [y], marker=marker, color=colour, markersize=6)
        axes.axhline(-0.5, color=MUTED, linewidth=0.5)
        axes.set_yticks([-i for i in range(len(lines))], [label for label, _ in lines])
        axes.get_yticklabels()[0].set_fontweight("bold")
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-len(lines) + 0.45, 0.55)
        axes.set_xlim(-1.02, 1.02)
        axes.set_xlabel("Spearman’s ρ within cells with 95 % interval")
        handles = [
            Line2D([], [], color=colour, marker=marker, linewidth=1.6, label=label)
            for label, (colour, marker) in zip(names, (_FIRST, _SECOND), strict=True)
        ]
        legend_below(figure, handles, columns=2)

    rows = "; ".join(f"{label}: {with_interval(d.first)} against {with_interval(d.second)}" for label, d in lines)
    return Drawing(
        name="comparison",
        title="The correlation in both",
        caption=(
            "Rank correlation of the primary within cells. Intervals that overlap may still differ: the table has the "
            "interval of the difference."
        ),
        alt=f"Forest plot of rank correlations within cells, {names[0]} against {names[1]}. {rows}.",
        figure=figure,
    )
