"""The primary's correlation stratum by stratum and cell by cell: does the answer hold everywhere?"""

from operator import itemgetter
from typing import Any

from analysis.answer.answer import Analysis
from analysis.numbers import HasInterval, name, stratum_name, with_interval
from analysis.sections import drawing
from analysis.sections.correlations import pairs_of, with_both
from analysis.sections.section import Section
from analysis.sections.table import CELL, REASON, Table, inside
from analysis.stats.replicated import Estimate

_WITHIN, _WHOLE = "#0072B2", "#D55E00"


def _forest(analysis: Analysis) -> drawing.Drawing | None:
    rows = {}
    for scope in ("pooled", "stratum"):
        for whole in analysis.primary_correlations:
            within = analysis.find("within_cell", dataset=whole.dataset, severity=whole.severity)
            if (whole.scope, whole.statistic) == (scope, "spearman") and within is not None:
                mixed = drawing.Mark(whole, _WHOLE, "s", "all trials mixed", is_hollow=True)
                where = "all strata" if scope == "pooled" else stratum_name(whole.dataset, whole.severity)
                rows[where] = [drawing.Mark(within, _WITHIN, "o", "within cells"), mixed]
    return drawing.forest(
        {"Spearman’s ρ with 95 % interval": rows},
        name="forest",
        caption="Rank correlation of the primary within cells and over all trials, methods mixed (hollow).",
        alt="Forest plot of rank correlations",
        limits=(-1.02, 1.02),
        smallest_effect=analysis.verdict.smallest_effect,
        strong=True,
    )


def _by_cell(analysis: Analysis) -> drawing.Drawing | None:
    cells = {
        (str(c.dataset), float(c.severity or 0.0), str(c.method)): c
        for c in analysis.primary_correlations
        if (c.scope, c.statistic) == ("cell", "spearman")
    }
    known = sorted((c for c in cells.values() if c.estimate is not None), key=lambda c: c.estimate or 0.0)
    if not known:
        return None
    with drawing.settings():
        figure, panels = drawing.method_panels(cells, "ρ")
        for axes in panels.values():
            axes.axvline(0, color=drawing.MUTED, linewidth=0.8)
            drawing.shade(axes, analysis.verdict.smallest_effect)
            axes.set(xlim=(-1.02, 1.02), xticks=[-1, 0, 1])
        key = drawing.legend_key("ρ with its 95 % interval", color=drawing.INK, marker="o", markersize=5)
        drawing.legend_below(figure, [key, drawing.shade_key()], columns=2)
    return drawing.Drawing(
        name="correlation_by_cell",
        title="Method by method",
        caption="Rank correlation of the primary in every cell. One cell has few trials, so its interval is wide.",
        alt=(
            f"Forest plot of the rank correlation in each cell. Lowest: {known[0].stratum}, {with_interval(known[0])}; "
            f"highest: {known[-1].stratum}, {with_interval(known[-1])}."
        ),
        figure=figure,
    )


def _by_severity(analysis: Analysis) -> drawing.Drawing | None:
    """None with fewer than two severities that have a correlation within cells."""
    spearman = [c for c in analysis.primary_correlations if c.statistic == "spearman"]
    correlations = [c for c in spearman if c.severity is not None and c.estimate is not None]
    within = [c for c in correlations if c.scope == "within_cell"]
    if len({c.severity for c in within}) < 2:
        return None

    def line(label: str, scope: str, method: str | None = None, **style: Any) -> drawing.Line:
        chosen = [c for c in correlations if (c.scope, c.method) == (scope, method)]
        # Only correlations within cells have their intervals drawn.
        marks: list[HasInterval] = [c if scope == "within_cell" else Estimate(estimate=c.estimate) for c in chosen]
        places = [(str(c.dataset), float(c.severity or 0.0)) for c in chosen]
        return drawing.Line(label, dict(zip(places, marks, strict=True)), style)

    styles = drawing.look(str(c.method) for c in correlations if c.scope == "cell")
    styles = {} if len(styles) > drawing.MANY else styles
    thin = {"markersize": 3, "linewidth": 0.6, "alpha": 0.6}
    lines = [
        line("within cells, 95 % interval", "within_cell", color=_WITHIN, marker="o", linewidth=2),
        line("methods mixed", "stratum", color=_WHOLE, marker="s", markerfacecolor="white", linewidth=1.4),
        *(line(name(m), "cell", m, color=colour, marker=marker, **thin) for m, (colour, marker) in styles.items()),
    ]
    with drawing.settings():
        figure, panels = drawing.severity_lines(lines, "Spearman’s ρ", sharey=True, columns=6)
        for axes in panels:
            axes.axhline(0, color=drawing.MUTED, linewidth=0.8)
            drawing.shade(axes, analysis.verdict.smallest_effect, horizontal=True)
            axes.set_ylim(max(-1.02, axes.get_ylim()[0]), min(1.02, axes.get_ylim()[1]))
    words = "; ".join(f"{stratum_name(c.dataset, c.severity)}: {with_interval(c)}" for c in within)
    return drawing.Drawing(
        name="correlation_by_severity",
        title="Does the answer depend on how strong the shift is?",
        caption=(
            "Rank correlation of the primary within cells (thick), over all trials with methods mixed (hollow)"
            f"{', and in the single cells of each method (thin)' if styles else ''}."
        ),
        alt=f"Lines of the rank correlation against severity. Within cells: {words}.",
        figure=figure,
    )


def _cells(analysis: Analysis) -> Table:
    pairs = [pair for pair in pairs_of(analysis.primary_correlations) if pair[0].scope == "cell"]
    return Table(
        name="cells",
        title="Every cell",
        caption="The primary’s correlation in each cell. Undefined ones are counted, never filled in.",
        columns=(*with_both(*CELL), *inside(itemgetter(0), REASON)),
        rows=sorted(pairs, key=lambda p: (p[0].dataset, p[0].severity, drawing.place_of_method(str(p[0].method)))),
        group=2,
        fold=0,
    )


SECTION: Section[None] = Section(
    key="strata",
    title="Seeds and settings together, in each stratum and cell",
    figures=lambda analysis, result: [_forest(analysis), _by_cell(analysis), _by_severity(analysis)],
    tables=lambda analysis, result: [_cells(analysis)],
)
