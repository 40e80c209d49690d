"""Every localisation score within cells, attribution by metric."""

from typing import Any

import numpy as np

from analysis.answer.answer import Analysis
from analysis.answer.entry import Correlation, is_headline
from analysis.numbers import interval, name, number
from analysis.sections import drawing
from analysis.sections.correlations import pairs_of, with_both
from analysis.sections.section import CORRELATIONS, Section
from analysis.sections.table import Table, decimals, words
from records import columns


def _table(analysis: Analysis) -> Table:
    """Each score beside its pooled value, those on the OOD test set first."""
    pairs = pairs_of(analysis.correlations)
    pooled = {rho.score: rho for rho, _ in pairs if rho.scope == "pooled"}
    columns = words("split", "split"), words("metric", "metric"), words("attribution", "attribution")
    return Table(
        name="scores",
        title="Every localisation score, within cells",
        caption="Scores on the ID test set are compared with the same outcome, to see whether they predict it.",
        columns=(
            *with_both(*columns),
            decimals("rho_pooled", "ρ, pooled", lambda pair: pooled[pair[0].score].estimate),
        ),
        rows=sorted((p for p in pairs if is_headline(p[0])), key=lambda pair: pair[0].split, reverse=True),
        group=1,
        fold=6,
    )


def _figure(analysis: Analysis) -> drawing.Drawing | None:
    """Heat map; None with a single localisation score, or where none has a correlation."""
    scores = [c for c in analysis.correlations if is_headline(c)]
    known = sorted((c for c in scores if c.estimate is not None), key=lambda c: c.estimate or 0.0)
    if len(scores) < 2 or not known:
        return None
    splits = [s for s in reversed(columns.SCORED_SPLITS) if any(c.split == s for c in scores)]
    metrics = list(dict.fromkeys(c.metric for c in scores))
    attributions = list(dict.fromkeys(c.attribution for c in scores))
    with drawing.settings():
        height = 0.75 + (0.55 + 0.5 * len(attributions)) * len(splits)
        figure = drawing.new_figure(height, 1.9 + 0.95 * len(metrics))
        panels = figure.subplots(len(splits), 1, squeeze=False)[:, 0]
        for axes, split in zip(panels, splits, strict=True):
            _panel(axes, [c for c in scores if c.split == split], metrics, attributions, analysis)
            axes.set_title(f"maps of the {name(split)} images", loc="left")
        scale = figure.colorbar(panels[0].images[0], ax=list(panels), shrink=0.8, aspect=25, pad=0.02)
        scale.set_label("ρ within cells")
        scale.outline.set_visible(False)
    extremes = " to ".join(
        f"{number(c.estimate)} ({name(c.metric)} of {name(c.attribution)}, {name(c.split)})"
        for c in (known[0], known[-1])
    )
    is_undeclared = analysis.stands_in or analysis.trials.primary is None
    return drawing.Drawing(
        name="scores",
        title="Does another map or another score do better?",
        caption=(
            "Rank correlation within cells of every localisation score with the same outcome, and its 95 % interval. "
            "The frame marks the primary. The others are for comparison"
            f"{', and none was declared' if is_undeclared else ' and were not declared'} beforehand."
        ),
        alt=f"Heat map of the rank correlation within cells, attributions by metrics: from {extremes}.",
        figure=figure,
    )


def _panel(
    axes: "drawing.Axes", scores: list[Correlation], metrics: list[str], attributions: list[str], analysis: Analysis
) -> None:
    from matplotlib.patches import Rectangle

    values = np.full((len(attributions), len(metrics)), np.nan)
    for entry in scores:
        row, column = attributions.index(entry.attribution), metrics.index(entry.metric)
        values[row, column] = np.nan if entry.estimate is None else entry.estimate
        colour = "white" if abs(entry.estimate or 0.0) > 0.6 else drawing.INK
        centred: dict[str, Any] = {"ha": "center", "va": "center", "color": colour}
        text = "undefined" if entry.estimate is None else number(entry.estimate)
        axes.text(column, row - 0.12, text, fontsize=9, **centred)
        if entry.ci_low is not None:
            axes.text(column, row + 0.24, interval(entry.ci_low, entry.ci_high), fontsize=6.5, **centred)
        if entry.score == analysis.score:
            frame: dict[str, Any] = {"fill": False, "edgecolor": drawing.INK, "linewidth": 1.6}
            axes.add_patch(Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, **frame))
    axes.imshow(values, cmap=drawing.DIVERGING, vmin=-1, vmax=1, aspect="auto")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks(range(len(metrics)), list(map(name, metrics)))
    axes.set_yticks(range(len(attributions)), list(map(name, attributions)))


SECTION: Section[None] = Section(
    key="scores",
    title="Every localisation score, within cells",
    part=CORRELATIONS,
    figures=lambda analysis, result: [_figure(analysis)],
    tables=lambda analysis, result: [_table(analysis)],
)
