"""The report's figures, one file each. Imported by the report alone: it loads matplotlib.

To add one: a file with `NAME` and `draw(analysis) -> Drawing | None`, and a line in `FIGURES`, in the
report's order.
"""

from collections.abc import Callable, Sequence

from analysis.answer.answer import Analysis
from analysis.sections.figures import (
    by_strength,
    controls,
    correlation_by_cell,
    correlation_by_severity,
    forest,
    gallery,
    localisation_against_outcome,
    localisation_by_severity,
    outcome_by_severity,
    psi_by_axis,
    regret,
    scores,
    sign_error,
)
from analysis.sections.figures.style import Drawing as Drawing
from analysis.sections.figures.style import png as png
from analysis.sections.figures.style import svg as svg
from analysis.sections.maps import MapSheet

FIGURES: dict[str, Callable[[Analysis], Drawing | None]] = {
    localisation_against_outcome.NAME: localisation_against_outcome.draw,
    forest.NAME: forest.draw,
    correlation_by_cell.NAME: correlation_by_cell.draw,
    correlation_by_severity.NAME: correlation_by_severity.draw,
    scores.NAME: scores.draw,
    outcome_by_severity.NAME: outcome_by_severity.draw,
    localisation_by_severity.NAME: localisation_by_severity.draw,
    by_strength.NAME: by_strength.draw,
    controls.NAME: controls.draw,
    psi_by_axis.NAME: psi_by_axis.draw,
    sign_error.NAME: sign_error.draw,
    regret.NAME: regret.draw,
}


def drawings(analysis: Analysis, sheets: Sequence[MapSheet]) -> list[Drawing]:
    """All figures these trials can have: `FIGURES`, then the gallery of each sheet of maps."""
    found = [draw(analysis) for draw in FIGURES.values()]
    return [d for d in found if d is not None] + [drawing for sheet in sheets for drawing in gallery.draw(sheet)]
