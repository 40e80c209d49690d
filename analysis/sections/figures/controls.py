"""What controls of the masks change: performance and map scores against right masks, each cell a dot."""

import numpy as np

from analysis.answer.answer import Analysis
from analysis.report.numbers import interval, name, number
from analysis.sections.estimand_words import column_name
from analysis.sections.figures.style import INK, MUTED, PALETTE, Drawing, new_figure, settings
from analysis.sections.mask_controls import Change, ControlRow

NAME = "controls"


def draw(analysis: Analysis) -> Drawing | None:
    """None where no control was paired under a shift."""
    found = analysis.controls
    if found is None or not found.overall:
        return None
    outcome = column_name(analysis.primary.outcome)
    panels = [(outcome, "outcome", PALETTE[1]), (name(analysis.primary.metric), "localisation", PALETTE[2])]
    panels = [p for p in panels if any(_of(row, p[1]).estimate is not None for row in found.overall)]
    with settings():
        figure = new_figure(2.2 + 2.6 * len(panels), 0.9 + 0.36 * len(found.overall))
        for axes, (title, field, colour) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            axes.grid(axis="y", visible=False)
            axes.axvline(0, color=MUTED, linewidth=0.9)
            for position, row in enumerate(found.overall):
                change = _of(row, field)
                cells = [_of(c, field).estimate for c in found.cells if c.control == row.control and c.severity]
                heights = (
                    -position + np.linspace(-0.22, 0.22, len(cells)) if len(cells) > 1 else [-position] * len(cells)
                )
                axes.plot(cells, heights, "o", markersize=2.5, color=colour, alpha=0.4, linewidth=0)
                if change.ci_low is not None:
                    axes.plot([change.ci_low, change.ci_high], [-position] * 2, color=INK, linewidth=1.8)
                if change.estimate is not None:
                    axes.plot(change.estimate, -position, "D", markersize=5, color=INK)
            axes.set_xlabel(f"change of {title}")
            labels = [row.control for row in found.overall] if field == panels[0][1] else [""] * len(found.overall)
            axes.set_yticks([-i for i in range(len(found.overall))], labels)
            axes.tick_params(axis="y", length=0)
            axes.set_ylim(0.6 - len(found.overall), 0.6)
    told = "; ".join(
        f"{row.control}: {number(row.outcome.estimate, 3)} ({interval(row.outcome.ci_low, row.outcome.ci_high, 3)})"
        for row in found.overall
    )
    return Drawing(
        name=NAME,
        title="What controls of the masks change",
        caption=(
            "Each control less right masks, paired: the mean over cells of severities above 0 with its 95 % interval; "
            "each dot is one dataset, severity and method."
        ),
        alt=f"Changes against right masks. {outcome}: {told}.",
        figure=figure,
    )


def _of(row: ControlRow, field: str) -> Change:
    return row.outcome if field == "outcome" else row.localisation
