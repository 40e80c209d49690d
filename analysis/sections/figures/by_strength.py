"""How performance and localisation change with the strength of the penalty, per method."""

from matplotlib.lines import Line2D

from analysis.answer.answer import Analysis
from analysis.report.numbers import name, number, severity
from analysis.sections.figures.localisation_against_outcome import outcome_name
from analysis.sections.figures.style import INK, Drawing, legend_below, look, new_figure, settings
from analysis.sections.methods import MethodRow

NAME = "by_strength"


def draw(analysis: Analysis) -> Drawing | None:
    """None where no method has several strengths; performance above, localisation below, a column a stratum."""
    rows, primary = [row for row in analysis.strengths if row.strength], analysis.primary
    if not rows:
        return None
    strata = sorted({(row.dataset, row.severity) for row in rows})
    styles = look(row.method for row in rows)
    labels = (outcome_name(primary.outcome), f"{name(primary.metric)}, {name(primary.attribution)}")
    with settings():
        figure = new_figure(max(5.2, 1.1 + 2.15 * len(strata)), 5.2)
        panels = figure.subplots(2, len(strata), squeeze=False, sharex=True, sharey="row")
        for column, stratum in enumerate(strata):
            for axes, score in zip(panels[:, column], (_outcome, _localisation), strict=True):
                for method, (colour, marker) in styles.items():
                    mine = [r for r in rows if (r.dataset, r.severity, r.method) == (*stratum, method)]
                    points = [(r.strength, score(r)) for r in mine if score(r) is not None]
                    if points:
                        axes.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=4, linewidth=1.4)
                baseline = [r for r in analysis.methods if (r.dataset, r.severity, r.method) == (*stratum, "baseline")]
                if baseline and (level := score(baseline[0])) is not None:
                    axes.axhline(level, color=INK, linestyle=":", linewidth=1)
            panels[0][column].set_title(f"{name(stratum[0])}, s = {severity(stratum[1])}", loc="left", fontsize=8)
            panels[1][column].set_xscale("log")
            panels[1][column].set_xlabel("strength")
        if primary.outcome.endswith(".auc"):
            panels[0][0].set_ylim(-0.03, 1.03)
        panels[1][0].set_ylim(bottom=0)
        for axes, label in zip(panels[:, 0], labels, strict=True):
            axes.set_ylabel(label)
        handles = [
            Line2D([], [], color=c, marker=m, markersize=5, linewidth=1.4, label=name(method))
            for method, (c, m) in styles.items()
        ]
        if any(row.method == "baseline" for row in analysis.methods):
            handles.append(Line2D([], [], color=INK, linestyle=":", linewidth=1, label="baseline"))
        legend_below(figure, handles, columns=max(3, 2 * len(strata)))
    worst = max(row.severity for row in rows)
    best: dict[tuple[str, str], MethodRow] = {}
    for row in rows:
        if row.severity == worst and row.ood.mean is not None:
            key = (row.dataset, row.method)
            best[key] = max(best.get(key, row), row, key=lambda one: one.ood.mean or 0.0)
    told = "; ".join(
        f"{name(row.method)} on {name(row.dataset)} {number(row.ood.mean)} at {row.strength:g}" for row in best.values()
    )
    return Drawing(
        name=NAME,
        title="What does more of a penalty change?",
        caption=(
            f"Mean {labels[0]} and {labels[1]} over the trials of one method and strength. Scales of strength differ "
            "between methods: compare shapes, not places."
        ),
        alt=f"Lines of mean {labels[0]} and of mean {labels[1]} against strength, one per method. Highest "
        f"{labels[0]} at s = {worst:g}: {told}.",
        figure=figure,
    )


def _outcome(row: MethodRow) -> float | None:
    return row.ood.mean


def _localisation(row: MethodRow) -> float | None:
    return row.localisation.mean
