"""The first screen: the answer by what varies between the models that are compared, as a table and a forest plot."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from analysis.answer.answer import Analysis
from analysis.answer.cells import MINIMUM_UNITS, SMALLEST_SPREAD
from analysis.answer.combine import MINIMUM_CELLS, MINIMUM_METHODS, Comparison, Level
from analysis.answer.settings import MINIMUM_RELIABILITY
from analysis.answer.verdict import DIFFER, LABELS, QUESTIONS
from analysis.numbers import (
    capitalized,
    column_name,
    count,
    interval,
    listed,
    name,
    number,
    severity,
    stratum_name,
    with_interval,
)
from analysis.sections.drawing import (
    INK,
    MUTED,
    PALETTE,
    Drawing,
    interval_line,
    legend_below,
    legend_key,
    new_figure,
    place_of_method,
    row_labels,
    settings,
)
from analysis.sections.head import data_seeds
from analysis.sections.section import Lack, Section
from analysis.sections.table import Table, bounds, estimated, remark, value, whole
from analysis.stats.replicated import MINIMUM_CLUSTERS

if TYPE_CHECKING:
    import matplotlib.axes

TITLE = "The answer, by what varies between the models"
Comparisons = tuple[Comparison, ...]
_COUNTED = "Between methods, strata are counted in place of cells."
_COLOURS = dict(zip(LABELS, (PALETTE[1], PALETTE[2], PALETTE[3], PALETTE[4]), strict=True))


def _sentence(analysis: Analysis, result: Comparisons) -> str:
    """Each question with its answer; those that share the reason why they have none, together."""
    lines = [f"{QUESTIONS[part.comparison]} {part.sentence}" for part in result if part.reason is None]
    return "\n\n".join([*lines, *(f"Undecided by {names}: {why}." for names, why in _unanswered(result))])


def _unanswered(result: Comparisons) -> list[Lack]:
    """The comparisons without an answer, by the reason."""
    reasons = dict.fromkeys(part.reason for part in result if part.reason is not None)
    return [(listed([LABELS[part.comparison] for part in result if part.reason == why]), why) for why in reasons]


def _table(analysis: Analysis, result: Comparisons) -> Table:
    return Table(
        name="comparisons",
        title=TITLE,
        caption=(
            f"Rank correlation of {analysis.primary_name} with {column_name(analysis.primary.outcome)} among models "
            "that differ in one thing, over the strata with a shift. A new method: prediction interval for one "
            f"that was not tried. {_COUNTED}{_pooled(analysis)}"
        ),
        headings=(
            *("question", "answer", "ρ", "95 % interval", "a new method"),
            *("AUC per 0.1", "cells", "trials", "remark"),
        ),
        rows=tuple(
            (
                (part.comparison, QUESTIONS[part.comparison]),
                (part.answer, part.answer),
                *estimated(part),
                bounds(part.prediction_low, part.prediction_high),
                value(part.auc_per_tenth),
                whole(part.n_cells),
                whole(part.n_trials),
                remark(part.reason),
            )
            for part in result
        ),
        text_columns=2,
        fields=(
            *("comparison", "answer", "rho", "interval", "prediction_interval"),
            *("auc_per_tenth", "n_cells", "n_trials", "remark"),
        ),
    )


def _pooled(analysis: Analysis) -> str:
    """The correlation over all trials mixed, against Simpson's paradox."""
    pooled = analysis.find("pooled")
    if pooled is None or pooled.estimate is None:
        return ""
    return f" All trials mixed give {number(pooled.estimate)}, which answers none of these."


def _strata(analysis: Analysis, result: Comparisons) -> Table:
    rows = [
        (
            (part.comparison, LABELS[part.comparison]),
            (level.dataset, "all" if level.dataset is None else name(level.dataset)),
            (level.severity, "" if level.severity is None else severity(level.severity)),
            (level.method, "all" if level.method is None else name(level.method)),
            *estimated(level),
            whole(level.n_cells),
            whole(level.n_trials),
            remark(_remark(part, level)),
        )
        for part in result
        for level in (*part.strata, *sorted(part.methods, key=lambda level: place_of_method(level.method or "")))
    ]
    return Table(
        name="comparisons_by_stratum_and_method",
        title="Each comparison by stratum and by method",
        caption=(
            "Strata without a shift are shown and do not count. Methods are averaged over the strata with a shift. "
            f"{_COUNTED}"
        ),
        headings=("varies", "dataset", "s", "method", "ρ", "95 % interval", "cells", "trials", "remark"),
        rows=tuple(rows),
        text_columns=4,
        fields=("comparison", "dataset", "severity", "method", "rho", "interval", "n_cells", "n_trials", "remark"),
        group=1,
        fold=0,
    )


def _remark(part: Comparison, level: Level) -> str | None:
    if level.severity == 0:
        return "no shift: not counted"
    return "interval for these methods" if part.comparison == "method" and level.ci_low is not None else None


def _forest(analysis: Analysis, result: Comparisons) -> Drawing | None:
    """Each comparison with its interval and prediction interval, its strata as dots below."""
    known = [part for part in result if part.estimate is not None]
    if not known:
        return None
    with settings():
        figure = new_figure(0.75 + 0.38 * len(known))
        axes = figure.subplots()
        _ground(axes, analysis)
        band: dict[str, Any] = {"linewidth": 8, "alpha": 0.2, "solid_capstyle": "butt"}
        for position, part in enumerate(known):
            colour, y = _COLOURS[part.comparison], -position
            if part.prediction_low is not None and part.prediction_high is not None:
                axes.plot([part.prediction_low, part.prediction_high], [y, y], color=colour, **band)
            interval_line(axes, part, y, color=colour, linewidth=2.4)
            axes.plot([part.estimate or 0.0], [y], "D", markersize=6, color=colour)
            for level in part.strata:
                face = "white" if level.severity == 0 else colour
                axes.plot([level.estimate], [y - 0.3], "o", markersize=3, color=colour, markerfacecolor=face, alpha=0.8)
            axes.text(1.04, y, part.answer, va="center", fontsize=9, color=INK, fontweight="bold", clip_on=False)
        row_labels(axes, [_label(part) for part in known])
        axes.set_ylim(-len(known) + 0.45, 0.45)
        axes.set_xlabel("Spearman’s ρ")
        legend_below(
            figure,
            [
                legend_key("estimate, 95 % interval", color=INK, marker="D", linewidth=2.4, markersize=5),
                legend_key("a new method", color=INK, **band),
                legend_key("one dataset and severity", color=INK, marker="o", linestyle="", markersize=3),
                legend_key("too small to matter", color="#dfe2e7", linewidth=8),
            ],
            columns=4,
        )
    words = "; ".join(f"{LABELS[part.comparison]}: {with_interval(part)}, {part.answer}" for part in known)
    return Drawing(
        name="comparisons",
        title=TITLE,
        caption=(
            "The table’s correlations and intervals; broad bands: prediction intervals for a new method. Hollow dots: "
            "no shift, not counted."
        ),
        alt=f"Forest plot of the comparisons. {words}.",
        figure=figure,
    )


def _by_stratum(analysis: Analysis, result: Comparisons) -> Drawing | None:
    """Each stratum's estimate and interval, a panel a comparison."""
    known = [part for part in result if part.strata]
    places = list(dict.fromkeys((level.dataset, level.severity) for part in known for level in part.strata))
    if len(places) < 2:
        return None
    with settings():
        figure = new_figure(0.9 + 0.22 * len(places))
        panels = figure.subplots(1, len(known), squeeze=False, sharey=True)[0]
        for axes, part in zip(panels, known, strict=True):
            _ground(axes, analysis)
            for level in part.strata:
                y = -places.index((level.dataset, level.severity))
                colour = _COLOURS[part.comparison]
                interval_line(axes, level, y, color=colour, linewidth=1.4)
                face = "white" if level.severity == 0 else colour
                axes.plot([level.estimate], [y], "o", markersize=4, color=colour, markerfacecolor=face)
            axes.set_title(_label(part), loc="left")
        row_labels(panels[0], [stratum_name(*place) for place in places])
        for axes in panels[1:]:
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)
    words = "; ".join(
        f"{LABELS[part.comparison]} on {stratum_name(level.dataset, level.severity)}: {with_interval(level)}"
        for part in known
        for level in part.strata
    )
    return Drawing(
        name="comparisons_by_stratum",
        title="Each comparison by stratum",
        caption=(
            "Spearman’s ρ with its 95 % interval. Hollow: no shift, shown and not counted. Between methods the "
            "intervals hold for these methods."
        ),
        alt=f"Dots with intervals, a panel a comparison and a row a stratum. {words}.",
        figure=figure,
    )


def _ground(axes: "matplotlib.axes.Axes", analysis: Analysis) -> None:
    """The scale, with the correlations that are smaller than of interest shaded."""
    threshold = analysis.verdict.smallest_effect
    axes.axvspan(-threshold, threshold, color="#eef0f3", linewidth=0)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_xlim(-1.02, 1.02)


def _label(part: Comparison) -> str:
    label = LABELS[part.comparison]
    return label if part.comparison == "given_id" else f"between {label}"


def _details(analysis: Analysis, result: Comparisons) -> list[str]:
    lines = []
    for part in result:
        label = capitalized(LABELS[part.comparison])
        if part.without_one_low is not None:
            lines.append(
                f"{label}: leaving one method out gives {interval(part.without_one_low, part.without_one_high)}."
            )
        if part.cells_low is not None:
            lines.append(
                f"{label}: prediction interval for one more cell: {interval(part.cells_low, part.cells_high)}."
            )
        if part.prediction_dataset_low is not None:
            predicted = interval(part.prediction_dataset_low, part.prediction_dataset_high)
            lines.append(f"{label}: prediction interval for a new dataset: {predicted}.")
        if part.left_out:
            reasons = "; ".join(f"{why} ({n:,})" for why, n in part.left_out.items())
            lines.append(f"{label}: left out: {reasons}.")
    return lines


def _missing(analysis: Analysis, result: Comparisons) -> Sequence[Lack]:
    lacks = [(f"the answer by {names}", why) for names, why in _unanswered(result)]
    if not any(part.prediction_dataset_low is not None for part in result):
        lacks.append(("the prediction interval for a new dataset", "fewer than 3 datasets, or no interval"))
    return lacks


def _method(analysis: Analysis, result: Comparisons) -> dict[str, str]:
    effect = number(analysis.verdict.smallest_effect, 1)
    return {
        "The comparisons": (
            "Seeds: Spearman’s ρ among the trials of each configuration, combined over configurations on Fisher’s z "
            "scale (Hedges & Olkin 1985). Settings and methods: ρ among averages over data seeds, cross-fitted: the "
            "map’s average comes from one half of the data seeds and the performance’s from the other, over random "
            "halves, divided by the agreement of the halves (Spearman 1904), since averages over the same few seeds "
            "correlate as seeds do. Given validation AUC: ρ within a cell, the ranks of map and performance adjusted "
            "for it with one slope a cell. Strata without a shift are shown and do not count."
        ),
        "Intervals of the comparisons": (
            "Each data seed is left out in turn, with Student’s t on Satterthwaite’s (1946) degrees of freedom; "
            "between methods each method too, since other methods would have given other values. The other intervals "
            "hold for the methods and settings of this sweep. The prediction interval for a new method is "
            "Student’s interval for one more of the methods’ values, with the variance that all their errors share."
        ),
        "The five words": (
            f"Yes: the whole interval is above {effect}, the smallest correlation of interest. No: the whole interval "
            f"is between −{effect} and {effect} (Schuirmann 1987). Reverse: the whole interval is below −{effect}. "
            "These three hold jointly: each interval is taken at its level in Holm’s (1979) procedure over the "
            f"comparisons that have one. It depends, which comes first: cells differ by more than chance (p < "
            f"{DIFFER:g}), and the 95 % prediction interval for one more cell or a new method contains both signs, one "
            f"of them beyond {effect}; neither is adjusted for the number of comparisons. Undecided: none of these."
        ),
        "What a comparison needs": (
            f"A shift; {MINIMUM_CELLS} cells of at least two methods ({MINIMUM_METHODS} methods between methods); "
            f"{MINIMUM_CLUSTERS} data seeds on each dataset; {MINIMUM_UNITS} trials to rank, or settings or methods "
            f"with two data seeds; an outcome whose standard deviation among them is at least {SMALLEST_SPREAD:g}; "
            "settings and methods whose order two halves of the data seeds agree on (ρ of at least "
            f"{MINIMUM_RELIABILITY:g}). Cells, settings and methods that lack it are left out and counted."
        ),
    }


_DEPENDS = (
    f"; “it depends” from a test that cells differ (p < {DIFFER:g}) and from 95 % prediction intervals, without "
    "adjustment for several comparisons"
)


def _reported(analysis: Analysis, result: Comparisons) -> str:
    table, primary = analysis.trials.table, analysis.primary
    per_dataset = f"{data_seeds(table)} per dataset" if analysis.trials.data_seeds_known else "data seeds not recorded"
    text = (
        f"We analysed {count(len(table), 'training run')} ({sum(analysis.trials.excluded.values()):,} more were "
        f"excluded) of {count(table['method'].nunique(), 'method')} on {count(table['dataset'].nunique(), 'dataset')} "
        f"at {count(table['severity'].nunique(), 'shift severity', 'shift severities')} with "
        f"{per_dataset}, after the design of Viviano et al. (2021). The primary was "
        f"{analysis.primary_name} against {column_name(primary.outcome)}."
    )
    answered = [part for part in result if part.ci_low is not None]
    if not answered:
        return text
    numbers = "; ".join(f"{LABELS[part.comparison]} {with_interval(part)}, {part.answer}" for part in answered)
    return (
        f"{text} Its rank correlation was taken among models that differ in one thing, over the strata with a shift "
        f"({numbers}), with 95 % intervals from a jackknife over data seeds and averages over seeds cross-fitted "
        "(Spearman 1904). The words follow from each interval, at its level in Holm’s (1979) procedure, and the "
        f"smallest effect of interest, ρ = {analysis.verdict.smallest_effect:g} (Schuirmann 1987)"
        f"{_DEPENDS if any(part.answer == 'it depends' for part in answered) else ''}."
    )


SECTION = Section(
    key="comparisons",
    title=TITLE,
    compute=lambda analysis: analysis.comparisons,
    words_last=True,
    figures=lambda analysis, result: [_forest(analysis, result)],
    tables=lambda analysis, result: [_table(analysis, result)],
    missing=_missing,
    method=_method,
    reported=_reported,
)


IN_WORDS: Section[None] = Section(
    key="comparisons_in_words",
    title="The comparisons in words",
    sentence=lambda analysis, result: _sentence(analysis, analysis.comparisons),
    details=lambda analysis, result: _details(analysis, analysis.comparisons),
    figures=lambda analysis, result: [_by_stratum(analysis, analysis.comparisons)],
    tables=lambda analysis, result: [_strata(analysis, analysis.comparisons)],
)
"""Follows on the page, after the first screen."""
