"""How the correlation itself changes with severity: within cells, pooled, and per method."""

from matplotlib.lines import Line2D

from analysis.answer.answer import Analysis
from analysis.answer.entry import Correlation
from analysis.report.numbers import interval, name, number, severity
from analysis.sections.figures.style import MUTED, Drawing, legend_below, look, new_figure, settings, severity_axis

NAME = "correlation_by_severity"
_WITHIN, _WHOLE = "#0072B2", "#D55E00"


def draw(analysis: Analysis) -> Drawing | None:
    """None with a single severity, or where the primary has no correlation within cells of one."""
    entries = [c for c in analysis.primary_correlations if c.statistic == "spearman" and c.severity is not None]
    within = [c for c in entries if c.scope == "within_cell" and c.estimate is not None]
    if len({c.severity for c in within}) < 2:
        return None
    datasets = sorted({str(c.dataset) for c in within})
    styles = look(str(c.method) for c in entries if c.scope == "cell")
    threshold = analysis.verdict.smallest_effect
    with settings():
        figure = new_figure(max(5.2, 0.6 + 3.9 * len(datasets)), 4.0)
        panels = figure.subplots(1, len(datasets), squeeze=False, sharey=True)[0]
        for axes, dataset in zip(panels, datasets, strict=True):
            mine = [c for c in entries if c.dataset == dataset]
            axes.axhline(0, color=MUTED, linewidth=0.8)
            for level in (-threshold, threshold):
                axes.axhline(level, color=MUTED, linestyle="--", linewidth=0.8)
            for method, (colour, marker) in styles.items():
                points = _points([c for c in mine if c.scope == "cell" and c.method == method])
                axes.plot(
                    [s for s, _ in points],
                    [c.estimate for _, c in points],
                    color=colour,
                    marker=marker,
                    markersize=3,
                    linewidth=0.6,
                    alpha=0.55,
                )
            stratum = _points([c for c in mine if c.scope == "stratum"])
            axes.plot(
                [s for s, _ in stratum],
                [c.estimate for _, c in stratum],
                color=_WHOLE,
                marker="s",
                markerfacecolor="white",
                linewidth=1.4,
            )
            points = _points([c for c in mine if c.scope == "within_cell"])
            axes.plot([s for s, _ in points], [c.estimate for _, c in points], color=_WITHIN, marker="o", linewidth=2)
            known = [(s, c.ci_low, c.ci_high) for s, c in points if c.ci_low is not None and c.ci_high is not None]
            for s, low, high in known:
                axes.plot([s, s], [low, high], color=_WITHIN, linewidth=1.6)
            axes.set_title(name(dataset), loc="left")
            severity_axis(axes, [s for s, _ in points])
        panels[0].set_ylabel("Spearman’s ρ")
        low, high = panels[0].get_ylim()
        panels[0].set_ylim(max(-1.02, min(low, -threshold - 0.1)), min(1.02, max(high, threshold + 0.1)))
        handles = [
            Line2D([], [], color=_WITHIN, marker="o", linewidth=2, label="within cells, 95 % interval"),
            Line2D([], [], color=_WHOLE, marker="s", markerfacecolor="white", label="methods mixed"),
            Line2D([], [], color=MUTED, linestyle="--", linewidth=0.8, label="smallest effect of interest"),
            *(
                Line2D([], [], color=c, marker=m, markersize=3, linewidth=0.6, alpha=0.7, label=name(method))
                for method, (c, m) in styles.items()
            ),
        ]
        legend_below(figure, handles, columns=3 if len(datasets) == 1 else 5)
    told = "; ".join(
        f"{name(str(c.dataset))}, s = {severity(c.severity or 0.0)}: {number(c.estimate)} "
        f"({interval(c.ci_low, c.ci_high)})"
        for c in within
    )
    return Drawing(
        name=NAME,
        title="Does the answer depend on how strong the shift is?",
        caption=(
            "Rank correlation of the primary by severity of the shift: within cells (thick), over all trials with "
            "methods mixed (hollow), and in the single cells of each method (thin)."
        ),
        alt=f"Lines of the rank correlation against severity. Within cells: {told}.",
        figure=figure,
    )


def _points(entries: list[Correlation]) -> list[tuple[float, Correlation]]:
    known = [(float(c.severity or 0.0), c) for c in entries if c.estimate is not None]
    return sorted(known, key=lambda pair: pair[0])
