"""The methods ranked by their performance at the largest severity."""

from collections.abc import Sequence

from analysis.answer.answer import Analysis
from analysis.answer.correlations import ID_AUC
from analysis.numbers import column_name, name, number
from analysis.sections.methods import MethodRow, Spread, is_loss, ranking
from analysis.sections.section import Section
from analysis.sections.table import Entry, Table, cell_entries, whole
from analysis.trials.trials import Primary

TITLE = "Which method does best?"


def _table(analysis: Analysis) -> Table:
    """One row per method at its dataset's largest severity; the best of each dataset in bold."""
    primary, ranked = analysis.primary, ranking(analysis.results["methods"], analysis.primary)
    outcome, metric = column_name(primary.outcome), name(primary.metric)
    tuned = [best_strength(row, analysis.results["strengths"], primary) for row in ranked]
    scores = [[row.ood for row in ranked], [row.ood for row in tuned], [row.localisation for row in ranked]]
    bold = set()
    for column, spreads in enumerate(scores):
        best = min if column < 2 and is_loss(primary) else max
        for dataset in dict.fromkeys(row.dataset for row in ranked):
            known = {i: s.mean for i, s in enumerate(spreads) if ranked[i].dataset == dataset and s.mean is not None}
            bold |= {(i, 3 + column) for i, mean in known.items() if number(mean) == number(best(known.values()))}
    return Table(
        name="ranking",
        title=TITLE,
        caption=(
            f"The methods at the largest severity, by {outcome}: mean ± standard deviation over a cell’s trials, with "
            "all their strengths and other settings; the best in bold. The best strength, in brackets, is chosen by "
            f"the outcome itself, which nobody has beforehand. {metric} is that of {name(primary.attribution)} on the "
            f"{name(primary.split)} set."
        ),
        headings=("dataset", "s", "method", outcome, "at the best strength", metric, "ID test AUC", "n"),
        rows=tuple(
            (
                *cell_entries(row.dataset, row.severity, row.method),
                _spread_entry(row.ood),
                _spread_entry(own.ood, own.strength),
                _spread_entry(row.localisation),
                _spread_entry(row.id),
                whole(row.n),
            )
            for row, own in zip(ranked, tuned, strict=True)
        ),
        text_columns=3,
        fields=(
            *("dataset", "severity", "method", primary.outcome, f"{primary.outcome}.best_strength"),
            *(primary.column, ID_AUC, "n"),
        ),
        group=1,
        bold=frozenset(bold),
    )


def best_strength(row: MethodRow, strengths: Sequence[MethodRow], primary: Primary) -> MethodRow:
    """The same cell at the strength with the best mean outcome; the cell itself where it has one strength."""
    own = [s for s in strengths if (s.dataset, s.severity, s.method) == (row.dataset, row.severity, row.method)]
    known = [s for s in own if s.ood.mean is not None]
    return (min if is_loss(primary) else max)(known, key=lambda s: s.ood.mean or 0.0, default=row)


def _spread_entry(part: Spread, strength: float | None = None) -> Entry:
    text = number(part.mean) + ("" if part.sd is None else f" ± {number(part.sd)}")
    return (part.mean, part.sd, strength), text + ("" if strength is None else f" ({strength:g})")


SECTION: Section[None] = Section(
    key="ranking",
    title=TITLE,
    tables=lambda analysis, result: [_table(analysis)],
)
