"""The methods ranked by their performance at the largest severity."""

from collections.abc import Sequence

import pandas as pd

from analysis.answer.answer import Analysis
from analysis.answer.correlations import ID_AUC
from analysis.numbers import column_name, name, number, stratum_name, strength
from analysis.sections import drawing
from analysis.sections.methods import MethodRow, ranking, shown, spread_columns
from analysis.sections.section import Section
from analysis.sections.table import CELL, Column, Table, inside
from analysis.stats.replicated import Estimate


def _table(analysis: Analysis) -> Table:
    primary, strengths = analysis.primary, analysis.results["strengths"]
    rows = ranking(analysis.results["methods"])
    outcome, metric, tuned = column_name(primary.outcome), name(primary.metric), f"{primary.outcome}.best_strength"
    best = *spread_columns(tuned, "at the best", "ood"), Column("best_strength", "strength", strength, "strength")
    columns = (
        *(*CELL, *spread_columns(primary.outcome, outcome, "ood")),
        *(inside(lambda row: best_strength(row, strengths), *best) if strengths else ()),
        *spread_columns(primary.column, metric, "localisation"),
        *spread_columns(ID_AUC, "ID test AUC", "id"),
        Column("n", "n"),
    )
    bold = set()
    for position, column in enumerate(columns):
        if column.field in (primary.outcome, tuned, primary.column):
            values = [drawing.or_nan(column.value(row)) for row in rows]
            largest = pd.Series(values).groupby([row.dataset for row in rows]).transform("max")
            bold |= {(i, position) for i, value in enumerate(values) if number(value) == number(largest[i]) != "–"}
    tuning = " The best strength is the one with the best outcome, which is unknown before the shift."
    return Table(
        caption=(
            f"Mean ± standard deviation over a cell’s trials, with all their settings, at the largest severity; the "
            f"best in bold.{tuning if strengths else ''} {metric}: {analysis.primary_name}."
        ),
        columns=columns,
        rows=rows,
        group=1,
        bold=frozenset(bold),
    )


def best_strength(row: MethodRow, strengths: Sequence[MethodRow]) -> MethodRow:
    """The cell at the strength with the best mean outcome; the whole cell if it has one strength."""
    cell = (row.dataset, row.severity, row.method)
    known = [s for s in strengths if (s.dataset, s.severity, s.method) == cell and s.ood.mean is not None]
    return max(known, key=lambda s: s.ood.mean or 0.0, default=row)


def _figure(analysis: Analysis) -> drawing.Drawing | None:
    """Best first; None for one method or without localisation."""
    tuned = [best_strength(row, analysis.results["strengths"]) for row in ranking(analysis.results["methods"])]
    tuned.sort(key=lambda row: (row.dataset, -(row.ood.mean or 0.0), -(row.localisation.mean or 0.0)))
    datasets = {row.dataset for row in tuned}
    if len(tuned) == len(datasets) or all(row.localisation.mean is None for row in tuned):
        return None
    outcome, localisation = shown(analysis)
    rows = {}
    for row in tuned:
        where = f"{stratum_name(row.dataset, row.severity)}: " if len(datasets) > 1 else ""
        chosen = f" ({strength(row.strength)})" if row.strength else ""
        rows[f"{where}{name(row.method)}{chosen}"] = [
            drawing.Mark(
                Estimate(estimate=score.of(row).mean), colour, series=score.label, is_hollow=score is localisation
            )
            for score, colour in zip((outcome, localisation), drawing.PALETTE[1:], strict=False)
        ]
    choice = ", at the strength in brackets, which has the best outcome" if any(r.strength for r in tuned) else ""
    return drawing.forest(
        {"mean over the trials": rows},
        title="Do the better methods have the better maps?",
        caption=(
            f"Mean {outcome.label} (dots) and {localisation.label} (rings) at the largest severity{choice}. If maps "
            "ranked the methods correctly, rings would fall off from top to bottom as dots do."
        ),
        alt="Dots, a row per method",
    )


SECTION: Section[None] = Section(
    key="ranking",
    title="Which method does best?",
    figures=lambda analysis, result: [_figure(analysis)],
    tables=lambda analysis, result: [_table(analysis)],
)
