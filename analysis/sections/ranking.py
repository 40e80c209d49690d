"""The methods ranked by their performance at the largest severity."""

from collections.abc import Sequence

from analysis.answer.answer import Analysis
from analysis.answer.correlations import ID_AUC
from analysis.numbers import column_name, name, number
from analysis.sections.methods import MethodRow, Spread, ranking
from analysis.sections.section import Section
from analysis.sections.table import Entry, Table, cell_entries, whole

TITLE = "Which method does best?"


def _table(analysis: Analysis) -> Table:
    """One row per method at its dataset's largest severity; the best of each dataset in bold."""
    primary, strengths = analysis.primary, analysis.results["strengths"]
    ranked = ranking(analysis.results["methods"])
    tuned = [best_strength(row, strengths) for row in ranked]
    outcome, metric = column_name(primary.outcome), name(primary.metric)
    scores: list[tuple[str, str, list[tuple[Spread, float | None]]]] = [
        (outcome, primary.outcome, [(row.ood, None) for row in ranked]),
        ("at the best strength", f"{primary.outcome}.best_strength", [(row.ood, row.strength) for row in tuned]),
        (metric, primary.column, [(row.localisation, None) for row in ranked]),
        ("ID test AUC", ID_AUC, [(row.id, None) for row in ranked]),
    ]
    tuning = ""
    if strengths:
        tuning = " The best strength, in brackets, is chosen by the outcome itself, which nobody has beforehand."
    else:
        del scores[1]
    bold = set()
    for column, (_, _, entries) in enumerate(scores[:-1], start=3):
        for dataset in dict.fromkeys(row.dataset for row in ranked):
            means = {i: s.mean for i, (s, _) in enumerate(entries) if ranked[i].dataset == dataset}
            known = {i: mean for i, mean in means.items() if mean is not None}
            bold |= {(i, column) for i, mean in known.items() if number(mean) == number(max(known.values()))}
    return Table(
        name="ranking",
        title=TITLE,
        caption=(
            f"The methods at the largest severity, by {outcome}: mean ± standard deviation over a cell’s trials, with "
            f"all their strengths and other settings; the best in bold.{tuning} {metric} is that of "
            f"{name(primary.attribution)} on the {name(primary.split)} set."
        ),
        headings=("dataset", "s", "method", *(heading for heading, _, _ in scores), "n"),
        rows=tuple(
            (
                *cell_entries(row.dataset, row.severity, row.method),
                *(_entry(*entries[i]) for _, _, entries in scores),
                whole(row.n),
            )
            for i, row in enumerate(ranked)
        ),
        text_columns=3,
        fields=("dataset", "severity", "method", *(field for _, field, _ in scores), "n"),
        group=1,
        bold=frozenset(bold),
    )


def best_strength(row: MethodRow, strengths: Sequence[MethodRow]) -> MethodRow:
    """The same cell at the strength with the best mean outcome; the cell itself where it has one strength."""
    own = [s for s in strengths if (s.dataset, s.severity, s.method) == (row.dataset, row.severity, row.method)]
    known = [s for s in own if s.ood.mean is not None]
    return max(known, key=lambda s: s.ood.mean or 0.0, default=row)


def _entry(part: Spread, strength: float | None) -> Entry:
    text = number(part.mean) + ("" if part.sd is None else f" ± {number(part.sd)}")
    return (part.mean, part.sd, strength), text + ("" if strength is None else f" ({strength:g})")


SECTION: Section[None] = Section(
    key="ranking",
    title=TITLE,
    tables=lambda analysis, result: [_table(analysis)],
)
