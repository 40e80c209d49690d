"""How performance falls with severity, per method."""

from analysis.answer.answer import Analysis
from analysis.report.numbers import name, number
from analysis.sections.figures.by_severity import lines_by_severity
from analysis.sections.figures.localisation_against_outcome import outcome_name
from analysis.sections.figures.style import Drawing

NAME = "outcome_by_severity"


def draw(analysis: Analysis) -> Drawing:
    outcome = analysis.primary.outcome
    is_auc = outcome.endswith(".auc")
    label = outcome_name(outcome)
    figure = lines_by_severity(
        analysis,
        lambda row: row.ood,
        label,
        thin=(lambda row: row.id) if is_auc else None,
        thin_label="the same on the ID test set",
        reference=lambda row: 0.5 if is_auc else None,
        reference_label="chance AUC",
        limits=(-0.03, 1.03) if is_auc else None,
    )
    worst = max(row.severity for row in analysis.methods)
    told = "; ".join(
        f"{name(r.method)} on {name(r.dataset)} {number(r.ood.mean)}" for r in analysis.methods if r.severity == worst
    )
    return Drawing(
        name=NAME,
        title="How does performance fall as the shift grows?",
        caption=(f"Mean {label} and its standard deviation over the trials of each cell, by severity of the shift."),
        alt=f"Lines of mean {label} against severity, one per method. At s = {worst:g}: {told}.",
        figure=figure,
    )
