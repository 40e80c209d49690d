"""The methods ranked by their performance at the largest severity."""

from collections.abc import Sequence
from typing import Any

from analysis.answer.answer import Analysis
from analysis.answer.correlations import ID_AUC
from analysis.numbers import column_name, name, number, stratum_name, strength
from analysis.sections import drawing
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
    scores: dict[str, tuple[str, list[tuple[Spread, float | None]]]] = {
        primary.outcome: (outcome, [(row.ood, None) for row in ranked]),
        f"{primary.outcome}.best_strength": ("at the best strength", [(row.ood, row.strength) for row in tuned]),
        primary.column: (metric, [(row.localisation, None) for row in ranked]),
        ID_AUC: ("ID test AUC", [(row.id, None) for row in ranked]),
    }
    if not strengths:
        del scores[f"{primary.outcome}.best_strength"]
    tuning = " The best strength, in brackets, is the one with the best outcome, which is unknown before the shift."
    bold = set()
    for column, (_, entries) in enumerate(list(scores.values())[:-1], start=3):
        for dataset in {row.dataset for row in ranked}:
            means = {
                i: s.mean for i, (s, _) in enumerate(entries) if ranked[i].dataset == dataset and s.mean is not None
            }
            bold |= {(i, column) for i, mean in means.items() if number(mean) == number(max(means.values()))}
    return Table(
        name="ranking",
        title=TITLE,
        caption=(
            f"The methods at the largest severity, by {outcome}: mean ± standard deviation over a cell’s trials, with "
            f"all their strengths and other settings; the best in bold.{tuning if strengths else ''} {metric} is that "
            f"of {name(primary.attribution)} on the {name(primary.split)} set."
        ),
        headings=("dataset", "s", "method", *(heading for heading, _ in scores.values()), "n"),
        rows=tuple(
            (
                *cell_entries(row.dataset, row.severity, row.method),
                *(_entry(*entries[i]) for _, entries in scores.values()),
                whole(row.n),
            )
            for i, row in enumerate(ranked)
        ),
        text_columns=3,
        fields=("dataset", "severity", "method", *scores, "n"),
        group=1,
        bold=frozenset(bold),
    )


def _figure(analysis: Analysis) -> drawing.Drawing | None:
    """Performance as a dot and localisation as a ring, a row per method, a panel per dataset; None for one method."""
    tuned = [best_strength(row, analysis.results["strengths"]) for row in ranking(analysis.results["methods"])]
    by_dataset = {dataset: _best_first(tuned, dataset) for dataset in dict.fromkeys(row.dataset for row in tuned)}
    n_rows = max(map(len, by_dataset.values()), default=0)
    if n_rows < 2 or all(row.localisation.mean is None for row in tuned):
        return None
    scores = shown(analysis)
    labels = [score.label for score in scores]
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
        for axes, (dataset, rows) in zip(panels, by_dataset.items(), strict=False):
            drawing.row_labels(axes, [_named(row) for row in rows])
            for position, row in enumerate(rows):
                both = [score.of(row).mean for score in scores]
                if None not in both:
                    axes.plot(both, [-position] * 2, color=drawing.MUTED, linewidth=0.8, zorder=1)
                for mean, look in zip(both, looks, strict=True):
                    if mean is not None:
                        axes.plot(mean, -position, **dot, **look)
            axes.set_title(stratum_name(dataset, rows[0].severity), loc="left")
            axes.spines["left"].set_color(drawing.MUTED)
            axes.tick_params(labelbottom=True)
        keys = [drawing.legend_key(label, **dot, **look) for label, look in zip(labels, looks, strict=True)]
        drawing.legend_below(figure, keys, columns=2)
    chosen = ", at the strength in brackets, which has the best outcome" if any(r.strength for r in tuned) else ""
    means = "; ".join(f"{_named(row)}: {', '.join(number(score.of(row).mean) for score in scores)}" for row in tuned)
    return drawing.Drawing(
        name="ranking",
        title="Do the better methods have the better maps?",
        caption=f"Mean {labels[0]} (dots) and {labels[1]} (rings) of each method at the largest severity{chosen}. "
        "If maps ranked the methods correctly, rings would fall off from top to bottom as dots do.",
        alt=f"Dots of mean {labels[0]} and {labels[1]}, a row per method. {means}.",
        figure=figure,
    )


def _best_first(rows: Sequence[MethodRow], dataset: str) -> list[MethodRow]:
    rows = [row for row in rows if row.dataset == dataset]
    return sorted(rows, key=lambda row: (-(row.ood.mean or 0.0), -(row.localisation.mean or 0.0)))


def _named(row: MethodRow) -> str:
    return name(row.method) + (f" ({strength(row.strength)})" if row.strength else "")


def best_strength(row: MethodRow, strengths: Sequence[MethodRow]) -> MethodRow:
    """The cell at the strength with the best mean outcome; the whole cell if it has one strength."""
    cell = (row.dataset, row.severity, row.method)
    known = [s for s in strengths if (s.dataset, s.severity, s.method) == cell and s.ood.mean is not None]
    return max(known, key=lambda s: s.ood.mean or 0.0, default=row)


def _entry(spread: Spread, at: float | None) -> Entry:
    text = number(spread.mean) + ("" if spread.sd is None else f" ± {number(spread.sd)}")
    return (spread.mean, spread.sd, at), text + ("" if at is None else f" ({strength(at)})")


SECTION: Section[None] = Section(
    key="ranking",
    title=TITLE,
    figures=lambda analysis, result: [_figure(analysis)],
    tables=lambda analysis, result: [_table(analysis)],
)
