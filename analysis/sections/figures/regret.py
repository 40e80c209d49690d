"""What each rule of choosing a model costs: mean regret over strata as bars, each stratum as a dot."""

import numpy as np

from analysis.answer.answer import Analysis
from analysis.report.numbers import interval, number
from analysis.sections.estimand_words import RULES, column_name
from analysis.sections.figures.style import INK, MUTED, PALETTE, Drawing, new_figure, settings

NAME = "regret"
_COLOURS = {
    "id_valid": PALETTE[6],
    "localisation": PALETTE[2],
    "id_valid_and_localisation": PALETTE[4],
    "ood_valid": PALETTE[3],
    "random": "#9aa1ab",
}


def draw(analysis: Analysis) -> Drawing | None:
    """None where choosing by the map has no regret."""
    regrets = [part for part in analysis.estimands.regret if part.estimate is not None]
    overall = [part for part in regrets if part.dataset is None]
    if all(part.rule != "localisation" for part in overall):
        return None
    outcome = column_name(analysis.primary.outcome)
    with settings():
        figure = new_figure(6.8, 0.9 + 0.48 * len(overall))
        axes = figure.subplots()
        axes.grid(axis="y", visible=False)
        for position, part in enumerate(overall):
            axes.barh(-position, part.estimate or 0.0, height=0.62, color=_COLOURS[part.rule], alpha=0.75)
            if part.ci_low is not None and part.ci_high is not None:
                axes.plot([part.ci_low, part.ci_high], [-position] * 2, color=INK, linewidth=1.8)
            strata = [r.estimate or 0.0 for r in regrets if r.rule == part.rule and r.dataset is not None]
            # Spread in the order of the strata, so that equal regrets do not hide each other.
            heights = -position + np.linspace(-0.2, 0.2, len(strata)) if len(strata) > 1 else [-position]
            axes.plot(strata, heights, "o", markersize=3, color=INK, alpha=0.55, linewidth=0)
        axes.set_yticks([-i for i in range(len(overall))], [RULES[part.rule] for part in overall])
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{outcome} lost against the best model")
        axes.spines["left"].set_color(MUTED)
    told = "; ".join(f"{RULES[p.rule]}: {number(p.estimate, 3)} ({interval(p.ci_low, p.ci_high, 3)})" for p in overall)
    return Drawing(
        name=NAME,
        title="What does choosing a model by its map cost?",
        caption=(
            f"Mean {outcome} lost when one of the models trained on the same images is chosen so, with its 95 % "
            "interval; each dot is one dataset and severity. Nobody can choose by performance under the shift "
            "beforehand: that bar is what is possible at best."
        ),
        alt=f"Bars of the mean regret by rule of choice. {told}.",
        figure=figure,
    )
