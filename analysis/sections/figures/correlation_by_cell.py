"""Forest plot of single cells: the primary's rho per method, one panel per dataset and severity."""

from matplotlib.lines import Line2D

from analysis.answer.answer import Analysis
from analysis.answer.entry import Correlation
from analysis.report.numbers import interval, name, number, severity
from analysis.sections.figures.style import INK, MUTED, Drawing, legend_below, look, new_figure, settings

NAME = "correlation_by_cell"


def draw(analysis: Analysis) -> Drawing | None:
    """None where no cell has a correlation."""
    cells = [c for c in analysis.primary_correlations if (c.scope, c.statistic) == ("cell", "spearman")]
    if all(c.estimate is None for c in cells):
        return None
    datasets = sorted({str(c.dataset) for c in cells})
    severities = sorted({float(c.severity or 0.0) for c in cells})
    styles = look(str(c.method) for c in cells)
    methods = list(styles)
    threshold = analysis.verdict.smallest_effect
    with settings():
        width = 1.3 + 1.75 * len(severities)
        figure = new_figure(max(4.6, width), 0.9 + (0.55 + 0.27 * len(methods)) * len(datasets))
        panels = figure.subplots(len(datasets), len(severities), squeeze=False, sharex=True, sharey=True)
        for row, dataset in enumerate(datasets):
            for column, level in enumerate(severities):
                axes = panels[row][column]
                axes.grid(axis="y", visible=False)
                axes.axvline(0, color=MUTED, linewidth=0.8)
                axes.axvline(threshold, color=MUTED, linestyle="--", linewidth=0.8)
                axes.axvline(-threshold, color=MUTED, linestyle="--", linewidth=0.8)
                own = {str(c.method): c for c in cells if c.dataset == dataset and c.severity == level}
                for position, method in enumerate(methods):
                    entry = own.get(method)
                    colour, marker = styles[method]
                    if entry is None:
                        continue
                    if entry.estimate is None:
                        axes.text(0, -position, "undefined", color=INK, fontsize=6.5, va="center", ha="center")
                        continue
                    if entry.ci_low is not None and entry.ci_high is not None:
                        axes.plot([entry.ci_low, entry.ci_high], [-position] * 2, color=colour, linewidth=1.5)
                    axes.plot([entry.estimate], [-position], marker=marker, color=colour, markersize=5)
                where = f"{name(dataset)}, " if len(datasets) > 1 and column == 0 else ""
                axes.set_title(f"{where}s = {severity(level)}", loc="left", fontsize=8)
                axes.set_xlim(-1.02, 1.02)
                axes.set_xticks([-1, 0, 1])
                axes.set_ylim(-len(methods) + 0.4, 0.6)
                axes.set_yticks([-i for i in range(len(methods))], [name(m) for m in methods])
                axes.tick_params(axis="y", length=0)
                if row == len(datasets) - 1:
                    axes.set_xlabel("ρ")
        handles = [
            Line2D([], [], color=INK, marker="o", markersize=5, linewidth=1.5, label="ρ with its 95 % interval"),
            Line2D([], [], color=MUTED, linestyle="--", linewidth=0.8, label="smallest effect of interest"),
        ]
        legend_below(figure, handles, columns=2)
    return Drawing(
        name=NAME,
        title="Method by method",
        caption=(
            "Rank correlation of the primary in every single cell. One cell alone has few trials, so its interval is "
            "wide; the answer above comes from all of them together."
        ),
        alt=f"Forest plot of the rank correlation in each cell. {_told(cells)}",
        figure=figure,
    )


def _told(cells: list[Correlation]) -> str:
    known = [c for c in cells if c.estimate is not None]
    ordered = sorted(known, key=lambda c: c.estimate or 0.0)
    above = sum(1 for c in known if (c.ci_low or -1) > 0)
    below = sum(1 for c in known if (c.ci_high if c.ci_high is not None else 1) < 0)
    low, high = ordered[0], ordered[-1]
    return (
        f"Of {len(cells)} cells {len(known)} have one, {above} with an interval above zero and {below} below. Lowest: "
        f"{low.stratum}, {number(low.estimate)} ({interval(low.ci_low, low.ci_high)}); highest: {high.stratum}, "
        f"{number(high.estimate)} ({interval(high.ci_low, high.ci_high)})."
    )
