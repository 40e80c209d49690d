"""How localisation changes with severity, per method."""

from analysis.answer.answer import Analysis
from analysis.report.numbers import name, number
from analysis.sections.figures.by_severity import lines_by_severity
from analysis.sections.figures.style import Drawing

NAME = "localisation_by_severity"


def draw(analysis: Analysis) -> Drawing | None:
    """None where no trial has the primary's score."""
    primary = analysis.primary
    if all(row.localisation.mean is None for row in analysis.methods):
        return None
    label = f"{name(primary.metric)}, {name(primary.attribution)}"
    figure = lines_by_severity(
        analysis,
        lambda row: row.localisation,
        label,
        reference=lambda row: row.chance,
        reference_label=f"chance {name(primary.metric)}",
    )
    worst = max(row.severity for row in analysis.methods)
    told = "; ".join(
        f"{name(r.method)} on {name(r.dataset)} {number(r.localisation.mean)}"
        for r in analysis.methods
        if r.severity == worst
    )
    return Drawing(
        name=NAME,
        title="Does the training method change where the map falls?",
        caption=(
            f"Mean {name(primary.metric)} of {name(primary.attribution)} on the {name(primary.split)} set "
            "and its standard deviation over the trials of each cell."
        ),
        alt=f"Lines of mean {label} against severity, one per method. At s = {worst:g}: {told}.",
        figure=figure,
    )
