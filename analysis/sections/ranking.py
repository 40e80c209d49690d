"""The methods ranked by their performance at the largest severity."""

from collections.abc import Callable, Sequence

from analysis.answer.answer import Analysis
from analysis.answer.correlations import ID_AUC
from analysis.numbers import column_name, name, number, stratum_name, strength
from analysis.sections import drawing
from analysis.sections.methods import MethodRow, Spread, ranking, shown
from analysis.sections.section import Section
from analysis.sections.table import CELL, Column, Table
from analysis.stats.replicated import Estimate

TITLE = "Which method does best?"
Shown = tuple[float | None, float | None, float | None]
"""Mean, standard deviation, and the strength if one was chosen."""


def _table(analysis: Analysis) -> Table:
    """One row per method at its dataset's largest severity; the best of each dataset in bold."""
    primary, strengths = analysis.primary, analysis.results["strengths"]
    rows = ranking(analysis.results["methods"])
    outcome, metric = column_name(primary.outcome), name(primary.metric)

    def tuned(row: MethodRow) -> Shown:
        best = best_strength(row, strengths)
        return best.ood.mean, best.ood.sd, best.strength

    scores = [
        _score(primary.outcome, outcome, lambda row: row.ood),
        *([Column(f"{primary.outcome}.best_strength", "at the best strength", _text, tuned)] if strengths else []),
        _score(primary.column, metric, lambda row: row.localisation),
    ]
    bold = set()
    for position, column in enumerate(scores, start=len(CELL)):
        for dataset in {row.dataset for row in rows}:
            means = {i: column.value(row)[0] for i, row in enumerate(rows) if row.dataset == dataset}
            best = max((mean for mean in means.values() if mean is not None), default=None)
            bold |= {(i, position) for i, mean in means.items() if mean is not None and number(mean) == number(best)}
    tuning = " The best strength, in brackets, is the one with the best outcome, which is unknown before the shift."
    return Table(
        name="ranking",
        title=TITLE,
        caption=(
            f"The methods at the largest severity, by {outcome}: mean ± standard deviation over a cell’s trials, with "
            f"all their strengths and other settings; the best in bold.{tuning if strengths else ''} {metric} is that "
            f"of {name(primary.attribution)} on the {name(primary.split)} set."
        ),
        columns=(*CELL, *scores, _score(ID_AUC, "ID test AUC", lambda row: row.id), Column("n", "n")),
        rows=rows,
        group=1,
        bold=frozenset(bold),
    )


def _score(field: str, heading: str, of: Callable[[MethodRow], Spread]) -> Column:
    return Column(field, heading, _text, lambda row: (of(row).mean, of(row).sd, None))


def _text(shown: Shown) -> str:
    mean, sd, at = shown
    deviation = "" if sd is None else f" ± {number(sd)}"
    return number(mean) + deviation + ("" if at is None else f" ({strength(at)})")


def best_strength(row: MethodRow, strengths: Sequence[MethodRow]) -> MethodRow:
    """The cell at the strength with the best mean outcome; the whole cell if it has one strength."""
    cell = (row.dataset, row.severity, row.method)
    known = [s for s in strengths if (s.dataset, s.severity, s.method) == cell and s.ood.mean is not None]
    return max(known, key=lambda s: s.ood.mean or 0.0, default=row)


def _figure(analysis: Analysis) -> drawing.Drawing | None:
    """Performance and localisation of each method, best first; None for one method or without localisation."""
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
            drawing.Mark(Estimate(estimate=row.ood.mean), drawing.PALETTE[1], series=outcome.label),
            drawing.Mark(
                Estimate(estimate=row.localisation.mean), drawing.PALETTE[2], series=localisation.label, is_hollow=True
            ),
        ]
    choice = ", at the strength in brackets, which has the best outcome" if any(r.strength for r in tuned) else ""
    return drawing.forest(
        {"mean over the trials": rows},
        name="ranking",
        title="Do the better methods have the better maps?",
        caption=(
            f"Mean {outcome.label} (dots) and {localisation.label} (rings) of each method at the largest "
            f"severity{choice}. If maps ranked the methods correctly, rings would fall off from top to bottom as dots "
            "do."
        ),
        alt="Dots, a row per method",
    )


SECTION: Section[None] = Section(
    key="ranking",
    title=TITLE,
    figures=lambda analysis, result: [_figure(analysis)],
    tables=lambda analysis, result: [_table(analysis)],
)
