"""The primary's correlation stratum by stratum and cell by cell: does the answer hold everywhere?"""

from typing import TYPE_CHECKING, Any

from analysis.answer.answer import Analysis
from analysis.answer.entry import Correlation
from analysis.numbers import stratum_name, with_interval
from analysis.sections.correlations import FIELDS, HEADINGS, entries, pairs_of
from analysis.sections.drawing import (
    INK,
    MANY,
    MUTED,
    Drawing,
    dataset_panels,
    interval_line,
    legend_below,
    legend_key,
    look,
    method_keys,
    method_panels,
    new_figure,
    place_of_method,
    row_labels,
    settings,
    severity_axis,
)
from analysis.sections.section import Section
from analysis.sections.table import UNDEFINED, Table, cell_entries, remark

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.lines

TITLE = "Seeds and settings together, in each stratum and cell"
_WITHIN, _WHOLE = "#0072B2", "#D55E00"


def _forest(analysis: Analysis) -> Drawing | None:
    """Within cells and over all trials, stratum by stratum; None without the primary's correlations."""
    overall, pooled = analysis.find("within_cell"), analysis.find("pooled")
    if overall is None or pooled is None:
        return None
    lines: list[tuple[str, Correlation | None, Correlation]] = [("all strata", overall, pooled)]
    for entry in analysis.primary_correlations:
        if (entry.scope, entry.statistic) == ("stratum", "spearman"):
            within = analysis.find("within_cell", dataset=entry.dataset, severity=entry.severity)
            lines.append((stratum_name(entry.dataset, entry.severity), within, entry))
    with settings():
        figure = new_figure(1.1 + 0.36 * len(lines))
        axes = figure.subplots()
        _thresholds(axes, analysis, vertical=True)
        for position, (_, within, whole) in enumerate(lines):
            _mark(axes, within, -position + 0.13, _WITHIN, "o", filled=True)
            _mark(axes, whole, -position - 0.13, _WHOLE, "s", filled=False)
        row_labels(axes, [label for label, _, _ in lines], strong=True)
        axes.set_xlim(-1.02, 1.02)
        axes.set_xlabel("Spearman’s ρ with 95 % interval")
        handles = [
            legend_key("within cells", color=_WITHIN, marker="o", linewidth=1.6),
            legend_key("all trials mixed", color=_WHOLE, marker="s", markerfacecolor="white", linewidth=1.2),
            _threshold_key(),
        ]
        legend_below(figure, handles, columns=3)
    correlations = "; ".join(f"{label}: {with_interval(c)}" for label, c, _ in lines if c is not None)
    return Drawing(
        name="forest",
        title=TITLE,
        caption=(
            "Rank correlation of the primary within cells (filled), where seeds and settings vary together, and over "
            "all trials of the stratum (hollow), where methods do too. Neither answers one of the four questions."
        ),
        alt=f"Forest plot of rank correlations within cells. {correlations}.",
        figure=figure,
    )


def _by_cell(analysis: Analysis) -> Drawing | None:
    """Rho per method, one panel per dataset and severity; None where no cell has a correlation."""
    cells = [c for c in analysis.primary_correlations if (c.scope, c.statistic) == ("cell", "spearman")]
    known = sorted((c for c in cells if c.estimate is not None), key=lambda c: c.estimate or 0.0)
    if not known:
        return None
    styles = look(str(c.method) for c in cells)
    with settings():
        figure, panels = method_panels([(str(c.dataset), float(c.severity or 0.0)) for c in cells], list(styles), "ρ")
        for (dataset, level), axes in panels.items():
            _thresholds(axes, analysis, vertical=True)
            own = {str(c.method): c for c in cells if c.dataset == dataset and c.severity == level}
            for position, (method, (colour, marker)) in enumerate(styles.items()):
                if method in own:
                    _mark(axes, own[method], -position, colour, marker)
            axes.set_xlim(-1.02, 1.02)
            axes.set_xticks([-1, 0, 1])
        handles = [
            legend_key("ρ with its 95 % interval", color=INK, marker="o", markersize=5, linewidth=1.5),
            _threshold_key(),
        ]
        legend_below(figure, handles, columns=2)
    above = sum(1 for c in known if (c.ci_low or -1) > 0)
    below = sum(1 for c in known if (c.ci_high if c.ci_high is not None else 1) < 0)
    return Drawing(
        name="correlation_by_cell",
        title="Method by method",
        caption=(
            "Rank correlation of the primary in every single cell, where seeds and settings vary together. One cell "
            "alone has few trials, so its interval is wide."
        ),
        alt=(
            f"Forest plot of the rank correlation in each cell. Of {len(cells)} cells {len(known)} have one, {above} "
            f"with an interval above zero and {below} below. Lowest: {known[0].stratum}, {with_interval(known[0])}; "
            f"highest: {known[-1].stratum}, {with_interval(known[-1])}."
        ),
        figure=figure,
    )


def _by_severity(analysis: Analysis) -> Drawing | None:
    """Rho within cells, pooled and per method; None with fewer than two severities that have one within cells."""
    correlations = [c for c in analysis.primary_correlations if c.statistic == "spearman" and c.severity is not None]
    within = [c for c in correlations if c.scope == "within_cell" and c.estimate is not None]
    if len({c.severity for c in within}) < 2:
        return None
    datasets = sorted({str(c.dataset) for c in within})
    styles = look(str(c.method) for c in correlations if c.scope == "cell")
    if len(styles) > MANY:
        styles = {}
    threshold = analysis.verdict.smallest_effect
    with settings():
        figure, panels = dataset_panels(datasets, sharey=True)
        for dataset, axes in panels.items():
            mine = [c for c in correlations if c.dataset == dataset]
            _thresholds(axes, analysis, vertical=False)
            for method, (colour, marker) in styles.items():
                cells = [c for c in mine if c.scope == "cell" and c.method == method]
                _line(axes, cells, color=colour, marker=marker, markersize=3, linewidth=0.6, alpha=0.55)
            strata = [c for c in mine if c.scope == "stratum"]
            _line(axes, strata, color=_WHOLE, marker="s", markerfacecolor="white", linewidth=1.4)
            own = [c for c in mine if c.scope == "within_cell"]
            _line(axes, own, color=_WITHIN, marker="o", linewidth=2)
            for c in own:
                if c.ci_low is not None and c.ci_high is not None:
                    axes.plot([c.severity or 0.0] * 2, [c.ci_low, c.ci_high], color=_WITHIN, linewidth=1.6)
            severity_axis(axes, [c.severity or 0.0 for c in own if c.estimate is not None])
        first = panels[datasets[0]]
        first.set_ylabel("Spearman’s ρ")
        low, high = first.get_ylim()
        first.set_ylim(max(-1.02, min(low, -threshold - 0.1)), min(1.02, max(high, threshold + 0.1)))
        handles = [
            legend_key("within cells, 95 % interval", color=_WITHIN, marker="o", linewidth=2),
            legend_key("methods mixed", color=_WHOLE, marker="s", markerfacecolor="white"),
            _threshold_key(),
            *method_keys(styles, markersize=3, linewidth=0.6, alpha=0.7),
        ]
        legend_below(figure, handles, columns=6)
    strata_words = "; ".join(f"{stratum_name(c.dataset, c.severity)}: {with_interval(c)}" for c in within)
    return Drawing(
        name="correlation_by_severity",
        title="Does the answer depend on how strong the shift is?",
        caption=(
            "Rank correlation of the primary by severity of the shift: within cells (thick), over all trials with "
            f"methods mixed (hollow){', and in the single cells of each method (thin)' if styles else ''}."
        ),
        alt=f"Lines of the rank correlation against severity. Within cells: {strata_words}.",
        figure=figure,
    )


def _thresholds(axes: "matplotlib.axes.Axes", analysis: Analysis, *, vertical: bool) -> None:
    """Lines at zero and at the smallest effect of interest, on both sides."""
    line = axes.axvline if vertical else axes.axhline
    line(0, color=MUTED, linewidth=0.8)
    for level in (-analysis.verdict.smallest_effect, analysis.verdict.smallest_effect):
        line(level, color=MUTED, linestyle="--", linewidth=0.8)


def _threshold_key() -> "matplotlib.lines.Line2D":
    return legend_key("smallest effect of interest", color=MUTED, linestyle="--", linewidth=0.8)


def _mark(
    axes: "matplotlib.axes.Axes", entry: Correlation | None, y: float, colour: str, marker: str, *, filled: bool = True
) -> None:
    if entry is None or entry.estimate is None:
        axes.text(0, y, "undefined", color=INK, fontsize=6.5, va="center", ha="center")
        return
    interval_line(axes, entry, y, color=colour, linewidth=1.6 if filled else 1.2)
    face = colour if filled else "white"
    axes.plot([entry.estimate], [y], marker=marker, color=colour, markersize=5.5, markerfacecolor=face)


def _line(axes: "matplotlib.axes.Axes", correlations: list[Correlation], **style: Any) -> None:
    known = sorted((float(c.severity or 0.0), c.estimate) for c in correlations if c.estimate is not None)
    axes.plot([s for s, _ in known], [estimate for _, estimate in known], **style)


def _cells(analysis: Analysis) -> Table:
    pairs = [pair for pair in pairs_of(analysis.primary_correlations) if pair[0].scope == "cell"]
    pairs.sort(key=lambda pair: (pair[0].dataset, pair[0].severity, place_of_method(pair[0].method or "")))
    rows = [
        (*cell_entries(rho.dataset, rho.severity, rho.method), *entries(rho, tau), remark(rho.reason))
        for rho, tau in pairs
    ]
    return Table(
        name="cells",
        title="Every cell",
        caption="The primary’s correlation in each cell. Undefined ones are counted, never filled in.",
        headings=("dataset", "s", "method", *HEADINGS, UNDEFINED),
        rows=tuple(rows),
        text_columns=3,
        fields=("dataset", "severity", "method", *FIELDS, "reason"),
        group=2,
        fold=0,
    )


SECTION: Section[None] = Section(
    key="strata",
    title=TITLE,
    figures=lambda analysis, result: [_forest(analysis), _by_cell(analysis), _by_severity(analysis)],
    tables=lambda analysis, result: [_cells(analysis)],
)
