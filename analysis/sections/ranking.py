"""The methods ranked by their performance at the largest severity."""

from collections.abc import Callable, Sequence
from typing import Any

from analysis.answer.answer import Analysis
from analysis.answer.correlations import ID_AUC
from analysis.numbers import column_name, name, number, stratum_name, strength
from analysis.sections import drawing
from analysis.sections.methods import MethodRow, Spread, or_nan, ranking, shown
from analysis.sections.section import Section
from analysis.sections.table import CELL, Column, Table

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
    """Performance as a dot and localisation as a ring, a row per method, a panel per dataset; None for one method."""
    tuned = [best_strength(row, analysis.results["strengths"]) for row in ranking(analysis.results["methods"])]
    by_dataset: dict[str, list[MethodRow]] = {}
    for row in sorted(tuned, key=lambda row: (-(row.ood.mean or 0.0), -(row.localisation.mean or 0.0))):
        by_dataset.setdefault(row.dataset, []).append(row)
    n_rows = max(map(len, by_dataset.values()), default=0)
    if n_rows < 2 or all(row.localisation.mean is None for row in tuned):
        return None
    scores = shown(analysis)
    looks: tuple[dict[str, Any], ...] = (
        {"color": drawing.PALETTE[1]},
        {"markerfacecolor": "none", "color": drawing.PALETTE[2]},
    )
    dot: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 5}
    with drawing.settings():
        n_columns = min(2, len(by_dataset))
        n_panels = -(-len(by_dataset) // n_columns)
        figure = drawing.new_figure(0.5 + (0.6 + 0.2 * n_rows) * n_panels)
        panels = figure.subplots(n_panels, n_columns, squeeze=False, sharex=True).ravel()
        for axes in panels[len(by_dataset) :]:
            axes.remove()
        for axes, (dataset, rows) in zip(panels, sorted(by_dataset.items()), strict=False):
            drawing.row_labels(axes, [_named(row) for row in rows])
            for position, row in enumerate(rows):
                means = [or_nan(score.of(row).mean) for score in scores]
                axes.plot(means, [-position] * 2, color=drawing.MUTED, linewidth=0.8, zorder=1)
                for mean, look in zip(means, looks, strict=True):
                    axes.plot(mean, -position, **dot, **look)
            axes.set_title(stratum_name(dataset, rows[0].severity), loc="left")
            axes.tick_params(labelbottom=True)
        keys = [drawing.legend_key(score.label, **dot, **look) for score, look in zip(scores, looks, strict=True)]
        drawing.legend_below(figure, keys, columns=2)
    chosen = ", at the strength in brackets, which has the best outcome" if any(r.strength for r in tuned) else ""
    means = "; ".join(f"{_named(row)}: {', '.join(number(score.of(row).mean) for score in scores)}" for row in tuned)
    outcome, localisation = (score.label for score in scores)
    return drawing.Drawing(
        name="ranking",
        title="Do the better methods have the better maps?",
        caption=f"Mean {outcome} (dots) and {localisation} (rings) of each method at the largest severity{chosen}. "
        "If maps ranked the methods correctly, rings would fall off from top to bottom as dots do.",
        alt=f"Dots of mean {outcome} and {localisation}, a row per method. {means}.",
        figure=figure,
    )


def _named(row: MethodRow) -> str:
    return name(row.method) + (f" ({strength(row.strength)})" if row.strength else "")


SECTION: Section[None] = Section(
    key="ranking",
    title=TITLE,
    figures=lambda analysis, result: [_figure(analysis)],
    tables=lambda analysis, result: [_table(analysis)],
)
