"""Every localisation score within cells, attribution by metric, and those that pooling changes (Simpson's paradox)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.answer.answer import Analysis
from analysis.answer.entry import Correlation, is_headline
from analysis.numbers import count, interval, name, number, with_interval
from analysis.sections import drawing
from analysis.sections.correlations import pairs_of, with_both
from analysis.sections.section import CORRELATIONS, Section
from analysis.sections.table import Table, decimals, words
from records import columns


def _table(analysis: Analysis) -> Table:
    pairs = pairs_of(analysis.correlations)
    pooled = {rho.score: rho for rho, _ in pairs if rho.scope == "pooled"}
    columns = words("split", "split"), words("metric", "metric"), words("attribution", "attribution")
    return Table(
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
    metrics, attributions = (list(dict.fromkeys(names)) for names in zip(*(c.score[1:] for c in scores), strict=True))
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
    low, high = (f"{number(c.estimate)} ({name(c.metric)} of {name(c.attribution)})" for c in (known[0], known[-1]))
    return drawing.Drawing(
        title="Does another map or another score do better?",
        caption=(
            "Rank correlation within cells of every localisation score with the same outcome, and its 95 % interval. "
            "The frame marks the primary."
        ),
        alt=f"Heat map of the rank correlation within cells, attributions by metrics: from {low} to {high}.",
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
        text = "undefined" if entry.estimate is None else number(entry.estimate)
        bounds = "" if entry.ci_low is None else interval(entry.ci_low, entry.ci_high)
        for line, y, size in ((text, row - 0.12, 9), (bounds, row + 0.24, 6.5)):
            axes.text(column, y, line, fontsize=size, ha="center", va="center", color=colour)
        if entry.score == analysis.score:
            frame = Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, fill=False, edgecolor=drawing.INK, linewidth=1.6)
            axes.add_patch(frame)
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


@dataclass(frozen=True)
class Disagreement:
    """A localisation score whose pooled and within-cell rho disagree."""

    split: str
    metric: str
    attribution: str
    kind: str
    """sign: opposite signs; size: the same sign."""
    pooled: float
    within_cell: float
    sentence: str


def disagreements(correlations: Sequence[Correlation]) -> tuple[Disagreement, ...]:
    """The scores whose pooled and within-cell rho have intervals that do not overlap.

    Pooling mixes methods and severities, so that a common cause of both scores can reverse the sign or produce an
    association (Simpson, J. R. Stat. Soc. B 13, 1951). Two estimates can differ although their intervals overlap.
    """
    pooled = {c.score: c for c in correlations if c.scope == "pooled" and c.statistic == "spearman"}
    result = []
    for within in filter(is_headline, correlations):
        whole = pooled[within.score]
        bounds = np.asarray([(c.ci_low, c.ci_high) for c in (whole, within)], dtype=np.float64)  # NaN for None
        if bounds[0, 1] < bounds[1, 0] or bounds[1, 1] < bounds[0, 0]:
            values = whole.estimate or 0.0, within.estimate or 0.0
            sentence = (
                f"{name(within.metric)} of {name(within.attribution)} on the {name(within.split)} set: pooled over "
                f"everything, ρ is {with_interval(whole)}; within cells it is {with_interval(within)}."
            )
            kind = "sign" if values[0] * values[1] < 0 else "size"
            result.append(Disagreement(*within.score, kind, *values, sentence))
    return tuple(result)


def _of_primary(analysis: Analysis, entry: Disagreement) -> bool:
    return (entry.split, entry.metric, entry.attribution) == analysis.score


def _disagreement(analysis: Analysis, result: tuple[Disagreement, ...]) -> str:
    paragraphs = [entry.sentence for entry in result if _of_primary(analysis, entry)]
    if len(result) > len(paragraphs):
        others = count(len(result) - len(paragraphs), "other score")
        paragraphs.append(f"The same holds for {others}." if paragraphs else f"Not for the primary, but for {others}.")
    paragraphs.append(
        "Where they differ by more than their intervals, the difference comes from methods, severities or datasets, "
        "not from better maps."
    )
    return "\n\n".join(paragraphs)


POOLING = Section(
    key="disagreements",
    title="Pooling changes the answer",
    compute=lambda analysis: disagreements(analysis.correlations),
    sentence=_disagreement,
    details=lambda analysis, result: [d.sentence for d in result if not _of_primary(analysis, d)],
    method=lambda analysis, result: {
        "Pooling": (
            "A value pooled over everything is never used: it mixes differences between methods and severities into "
            "the question (Simpson 1951)."
        )
    },
    reported=lambda analysis, result: "Pooled correlations are reported and not used (Simpson 1951).",
)
