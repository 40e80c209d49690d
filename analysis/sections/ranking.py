"""The methods ranked by their performance at the largest severity."""

from collections.abc import Sequence

from analysis.answer.answer import Analysis
from analysis.answer.correlations import ID_AUC
from analysis.numbers import column_name, name, number, stratum_name, strength
from analysis.sections.drawing import (
    MUTED,
    PALETTE,
    Drawing,
    legend_below,
    legend_key,
    new_figure,
    row_labels,
    settings,
)
from analysis.sections.methods import MethodRow, Spread, ranking, shown
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


def _figure(analysis: Analysis) -> Drawing | None:
    """A row per method, a panel per dataset, two beside each other: performance as a dot, localisation as a ring.

    None for a single method.
    """
    tuned = [best_strength(row, analysis.results["strengths"]) for row in ranking(analysis.results["methods"])]
    by_dataset = {dataset: _best_first(tuned, dataset) for dataset in dict.fromkeys(row.dataset for row in tuned)}
    n_rows = max(map(len, by_dataset.values()), default=0)
    if n_rows < 2 or all(row.localisation.mean is None for row in tuned):
        return None
    scores = shown(analysis)
    looks = ({"color": PALETTE[1]}, {"markerfacecolor": "none", "color": PALETTE[2]})
    with settings():
        n_columns = min(2, len(by_dataset))
        n_panels = -(-len(by_dataset) // n_columns)
        figure = new_figure(0.5 + (0.6 + 0.2 * n_rows) * n_panels)
        panels = figure.subplots(n_panels, n_columns, squeeze=False, sharex=True).ravel()
        for axes in panels[len(by_dataset) :]:
            axes.remove()
        for axes, (dataset, rows) in zip(panels, by_dataset.items(), strict=False):
            row_labels(axes, [_named(row) for row in rows])
            for position, row in enumerate(rows):
                both = [score.of(row).mean for score in scores]
                if both[0] is not None and both[1] is not None:
                    axes.plot(both, [-position] * 2, color=MUTED, linewidth=0.8, zorder=1)
                for mean, look in zip(both, looks, strict=True):
                    if mean is not None:
                        axes.plot(mean, -position, "o", markersize=5, **look)
            axes.set_title(stratum_name(dataset, rows[0].severity), loc="left")
            axes.spines["left"].set_color(MUTED)
            axes.tick_params(labelbottom=True)
        handles = [
            legend_key(score.label, marker="o", linestyle="none", markersize=5, **look)
            for score, look in zip(scores, looks, strict=True)
        ]
        legend_below(figure, handles, columns=2)
    labels = [score.label for score in scores]
    chosen = ", at the strength in brackets, chosen by the outcome itself" if any(r.strength for r in tuned) else ""
    return Drawing(
        name="ranking",
        title="Do the better methods have the better maps?",
        caption=f"Mean {labels[0]} (dots) and {labels[1]} (rings) of each method at the largest severity{chosen}. "
        "Where maps rank the methods rightly, rings fall off from top to bottom as dots do.",
        alt=f"Dots of mean {labels[0]} and {labels[1]}, a row a method. "
        + "; ".join(f"{_named(row)}: {', '.join(number(score.of(row).mean) for score in scores)}" for row in tuned)
        + ".",
        figure=figure,
    )


def _best_first(rows: Sequence[MethodRow], dataset: str) -> list[MethodRow]:
    own = [row for row in rows if row.dataset == dataset]
    return sorted(own, key=lambda row: (-(row.ood.mean or 0.0), -(row.localisation.mean or 0.0)))


def _named(row: MethodRow) -> str:
    return name(row.method) + (f" ({strength(row.strength)})" if row.strength else "")


def best_strength(row: MethodRow, strengths: Sequence[MethodRow]) -> MethodRow:
    """The same cell at the strength with the best mean outcome; the cell itself where it has one strength."""
    own = [s for s in strengths if (s.dataset, s.severity, s.method) == (row.dataset, row.severity, row.method)]
    known = [s for s in own if s.ood.mean is not None]
    return max(known, key=lambda s: s.ood.mean or 0.0, default=row)


def _entry(part: Spread, at: float | None) -> Entry:
    text = number(part.mean) + ("" if part.sd is None else f" ± {number(part.sd)}")
    return (part.mean, part.sd, at), text + ("" if at is None else f" ({strength(at)})")


SECTION: Section[None] = Section(
    key="ranking",
    title=TITLE,
    figures=lambda analysis, result: [_figure(analysis)],
    tables=lambda analysis, result: [_table(analysis)],
)
