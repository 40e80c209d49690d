"""Forest plot: the primary's correlations with their intervals, stratum by stratum."""

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.answer.answer import Analysis
from analysis.answer.entry import Correlation
from analysis.report.numbers import interval, name, number, severity
from analysis.sections.figures.style import INK, MUTED, Drawing, legend_below, new_figure, settings

NAME = "forest"
_WITHIN, _WHOLE = "#0072B2", "#D55E00"


def draw(analysis: Analysis) -> Drawing | None:
    """None where the primary has no correlations."""
    strata = [c for c in analysis.primary_correlations if (c.scope, c.statistic) == ("stratum", "spearman")]
    overall, pooled = analysis.find("within_cell"), analysis.find("pooled")
    if overall is None or pooled is None:
        return None
    lines: list[tuple[str, Correlation | None, Correlation | None]] = [("all strata", overall, pooled)]
    for entry in strata:
        within = analysis.find("within_cell", dataset=entry.dataset, severity=entry.severity)
        label = f"{name(entry.dataset or '')}, s = {severity(entry.severity or 0.0)}"
        lines.append((label, within, entry))
    threshold = analysis.verdict.smallest_effect
    with settings():
        figure = new_figure(7.2, 1.3 + 0.42 * len(lines))
        axes = figure.subplots()
        axes.grid(axis="y", visible=False)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        for value in (-threshold, threshold):
            axes.axvline(value, color=MUTED, linestyle="--", linewidth=0.8)
        for position, (_, within, whole) in enumerate(lines):
            _mark(axes, within, -position + 0.13, _WITHIN, "o", filled=True)
            _mark(axes, whole, -position - 0.13, _WHOLE, "s", filled=False)
        axes.axhline(-0.5, color=MUTED, linewidth=0.5)
        axes.set_yticks([-i for i in range(len(lines))], [label for label, _, _ in lines])
        axes.get_yticklabels()[0].set_fontweight("bold")
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-len(lines) + 0.45, 0.55)
        axes.set_xlim(-1.02, 1.02)
        axes.set_xlabel("Spearman’s ρ with 95 % interval")
        handles = [
            Line2D([], [], color=_WITHIN, marker="o", linewidth=1.6, label="within cells"),
            Line2D(
                [],
                [],
                color=_WHOLE,
                marker="s",
                markerfacecolor="white",
                linewidth=1.2,
                label="all trials mixed",
            ),
            Line2D([], [], color=MUTED, linestyle="--", linewidth=0.8, label="smallest effect of interest"),
        ]
        legend_below(figure, handles, columns=3)
    told = "; ".join(
        f"{label}: {number(c.estimate)} ({interval(c.ci_low, c.ci_high)})" for label, c, _ in lines if c is not None
    )
    return Drawing(
        name=NAME,
        title="How sure is it, and does it hold everywhere?",
        caption=(
            "Rank correlation of the primary within cells (filled) and over all trials of the stratum "
            "(hollow). The top row decides: wholly right of the dashed line is a yes, wholly left of it a "
            "no."
        ),
        alt=f"Forest plot of rank correlations within cells. {told}.",
        figure=figure,
    )


def _mark(axes: Axes, entry: Correlation | None, y: float, colour: str, marker: str, *, filled: bool) -> None:
    if entry is None or entry.estimate is None:
        axes.text(0.01, y, "undefined", color=INK, fontsize=7, va="center")
        return
    if entry.ci_low is not None and entry.ci_high is not None:
        axes.plot([entry.ci_low, entry.ci_high], [y, y], color=colour, linewidth=1.8 if filled else 1.2)
    axes.plot(
        [entry.estimate],
        [y],
        marker=marker,
        color=colour,
        markersize=6,
        markerfacecolor=colour if filled else "white",
    )
