"""A score against shift severity, one line per method: mean and standard deviation over trials."""

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.answer.answer import Analysis
from analysis.report.numbers import name
from analysis.sections.figures.style import MUTED, legend_below, look, new_figure, settings, severity_axis
from analysis.sections.methods import MethodRow, Spread

Score = Callable[[MethodRow], Spread]


def lines_by_severity(
    analysis: Analysis,
    score: Score,
    label: str,
    *,
    thin: Score | None = None,
    thin_label: str = "",
    reference: Callable[[MethodRow], float | None],
    reference_label: str,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """One panel per dataset.

    Args:
        score: what the thick lines show; its standard deviation is the bar.
        thin: what thin dashed lines show, without bars.
        reference: the level of the dotted line at each severity, such as chance.
    """
    rows = analysis.methods
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
                _line(axes, [r for r in mine if r.method == method], score, colour, marker, shift)
                if thin is not None:
                    drew_thin |= _thin(axes, [r for r in mine if r.method == method], thin, colour)
            levels = {row.severity: reference(row) for row in mine}
            known = sorted((s, level) for s, level in levels.items() if level is not None)
            if known:
                drew_reference = True
                if len(known) == 1:
                    axes.axhline(known[0][1], color=MUTED, linestyle=":", linewidth=1)
                else:
                    axes.plot(*zip(*known, strict=True), color=MUTED, linestyle=":", linewidth=1)
            axes.set_title(name(dataset), loc="left")
            severity_axis(axes, severities)
            if limits is not None:
                axes.set_ylim(*limits)
            else:
                axes.set_ylim(bottom=0)
        panels[0].set_ylabel(label)
        handles = [
            Line2D([], [], color=c, marker=m, markersize=5, linewidth=1.6, label=name(method))
            for method, (c, m) in styles.items()
        ]
        if drew_thin:
            handles.append(Line2D([], [], color=MUTED, linestyle="--", linewidth=0.8, label=thin_label))
        if drew_reference:
            handles.append(Line2D([], [], color=MUTED, linestyle=":", linewidth=1, label=reference_label))
        legend_below(figure, handles, columns=3 if len(datasets) == 1 else 5)
    return figure


def _line(axes: Axes, rows: list[MethodRow], score: Score, colour: str, marker: str, shift: float) -> None:
    points = [(row.severity + shift, score(row)) for row in rows]
    known = [(x, s.mean, s.sd or 0.0) for x, s in points if s.mean is not None]
    if known:
        x, mean, sd = zip(*known, strict=True)
        axes.errorbar(
            x,
            mean,
            yerr=sd,
            color=colour,
            marker=marker,
            markersize=4.5,
            linewidth=1.6,
            elinewidth=0.8,
            capsize=0,
        )


def _thin(axes: Axes, rows: list[MethodRow], score: Score, colour: str) -> bool:
    points = [(row.severity, score(row).mean) for row in rows]
    known = [(x, mean) for x, mean in points if mean is not None]
    if known:
        axes.plot(*zip(*known, strict=True), color=colour, linestyle="--", linewidth=0.8, alpha=0.8)
    return bool(known)
