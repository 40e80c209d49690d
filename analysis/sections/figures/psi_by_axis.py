"""Granulated Kendall's psi along each setting, and their mean."""

from matplotlib.lines import Line2D

from analysis.answer.answer import Analysis
from analysis.report.numbers import interval, number
from analysis.sections.estimand_words import axis_name
from analysis.sections.figures.style import INK, MUTED, Drawing, new_figure, settings
from analysis.stats.estimate import Estimate

NAME = "psi_by_axis"
_AXIS = "#0072B2"


def draw(analysis: Analysis) -> Drawing | None:
    """None where no axis has a psi."""
    found = analysis.estimands.granulated_kendall
    if found.estimate is None:
        return None
    lines: list[tuple[str, Estimate]] = [("all, averaged (Ψ)", found)]
    lines += [(axis_name(axis.axis), axis) for axis in found.axes if axis.estimate is not None]
    with settings():
        figure = new_figure(6.4, 0.9 + 0.36 * len(lines))
        axes = figure.subplots()
        axes.grid(axis="y", visible=False)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        for position, (_, entry) in enumerate(lines):
            colour = INK if position == 0 else _AXIS
            if entry.ci_low is not None and entry.ci_high is not None:
                axes.plot([entry.ci_low, entry.ci_high], [-position] * 2, color=colour, linewidth=1.8)
            marker = "D" if position == 0 else "o"
            axes.add_line(Line2D([entry.estimate or 0.0], [-position], marker=marker, color=colour, markersize=6))
        axes.axhline(-0.5, color=MUTED, linewidth=0.5)
        axes.set_yticks([-i for i in range(len(lines))], [label for label, _ in lines])
        axes.get_yticklabels()[0].set_fontweight("bold")
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-len(lines) + 0.4, 0.6)
        axes.set_xlim(-1.02, 1.02)
        axes.set_xlabel("ψ: always apart (−1), as often together as apart (0), always together (1)")
    told = "; ".join(f"{label}: {number(e.estimate)} ({interval(e.ci_low, e.ci_high)})" for label, e in lines)
    return Drawing(
        name=NAME,
        title="Along which setting does the map move with performance?",
        caption=(
            "ψ with its 95 % interval: one setting changes, all others stay. The top row is the mean of the others. "
            "Resampled averages are noisier than the averages themselves, so the intervals reach further towards zero."
        ),
        alt=f"Dot plot of psi by setting. {told}.",
        figure=figure,
    )
