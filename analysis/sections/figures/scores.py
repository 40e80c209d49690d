"""Heat map: the correlation within cells of every localisation score, attribution by metric."""

from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from analysis.answer.answer import Analysis
from analysis.answer.entry import Correlation
from analysis.report.numbers import interval, name, number
from analysis.sections.figures.style import DIVERGING, INK, Drawing, new_figure, settings
from records import columns

NAME = "scores"


def draw(analysis: Analysis) -> Drawing | None:
    """None with a single localisation score, or where none has a correlation."""
    entries = [
        c for c in analysis.correlations if (c.scope, c.statistic, c.stratum) == ("within_cell", "spearman", None)
    ]
    if len(entries) < 2 or all(c.estimate is None for c in entries):
        return None
    splits = [s for s in reversed(columns.SCORED_SPLITS) if any(c.split == s for c in entries)]
    metrics = list(dict.fromkeys(c.metric for c in entries))
    attributions = list(dict.fromkeys(c.attribution for c in entries))
    with settings():
        height = 0.75 + (0.55 + 0.5 * len(attributions)) * len(splits)
        figure = new_figure(max(4.8, 1.9 + 1.05 * len(metrics)), height)
        panels = figure.subplots(len(splits), 1, squeeze=False)[:, 0]
        for axes, split in zip(panels, splits, strict=True):
            mine = {(c.attribution, c.metric): c for c in entries if c.split == split}
            _panel(axes, mine, metrics, attributions, analysis)
            axes.set_title(f"maps of the {name(split)} images", loc="left")
        scale = figure.colorbar(panels[0].images[0], ax=list(panels), shrink=0.8, aspect=25, pad=0.02)
        scale.set_label("ρ within cells")
        scale.outline.set_visible(False)
    known = sorted((c for c in entries if c.estimate is not None), key=lambda c: c.estimate or 0.0)
    told = " to ".join(
        f"{number(c.estimate)} ({name(c.metric)} of {name(c.attribution)}, {name(c.split)})"
        for c in (known[0], known[-1])
    )
    return Drawing(
        name=NAME,
        title="Does another map or another score do better?",
        caption=(
            "Rank correlation within cells of every localisation score with the same outcome, and its 95 % interval. "
            "The frame marks the primary; the others are for comparison and were not declared beforehand."
        ),
        alt=f"Heat map of the rank correlation within cells, attributions in rows and metrics in columns: from {told}.",
        figure=figure,
    )


def _panel(
    axes: Axes,
    entries: dict[tuple[str, str], Correlation],
    metrics: list[str],
    attributions: list[str],
    analysis: Analysis,
) -> None:
    values = [[_estimate(entries.get((a, m))) for m in metrics] for a in attributions]
    axes.imshow(values, cmap=DIVERGING, norm=Normalize(-1, 1), aspect="auto")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xticks(range(len(metrics)), [name(m) for m in metrics])
    axes.set_yticks(range(len(attributions)), [name(a) for a in attributions])
    for row, attribution in enumerate(attributions):
        for column, metric in enumerate(metrics):
            entry = entries.get((attribution, metric))
            if entry is None:
                continue
            dark = abs(entry.estimate or 0.0) > 0.6
            text = "undefined" if entry.estimate is None else number(entry.estimate)
            colour = "white" if dark else INK
            axes.text(column, row - 0.12, text, ha="center", va="center", color=colour, fontsize=9)
            if entry.ci_low is not None:
                bounds = interval(entry.ci_low, entry.ci_high)
                axes.text(column, row + 0.24, bounds, ha="center", va="center", color=colour, fontsize=6.5)
            if (entry.split, entry.metric, entry.attribution) == _primary(analysis):
                frame = Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, fill=False, edgecolor=INK, linewidth=1.6)
                axes.add_patch(frame)


def _estimate(entry: Correlation | None) -> float:
    return float("nan") if entry is None or entry.estimate is None else entry.estimate


def _primary(analysis: Analysis) -> tuple[str, str, str]:
    return analysis.primary.split, analysis.primary.metric, analysis.primary.attribution
