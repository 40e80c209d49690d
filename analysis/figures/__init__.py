"""The report's figures, one file each. Imported by the report alone: it loads matplotlib.

To add one: a file with `NAME` and `draw(analysis) -> Drawing | None`, and a line in `FIGURES`, in the
report's order.
"""

from collections.abc import Callable, Sequence

from analysis.answer import Analysis
from analysis.figures import (
    forest,
    gallery,
    localisation_against_outcome,
    localisation_by_severity,
    outcome_by_severity,
)
from analysis.figures.style import Drawing as Drawing
from analysis.figures.style import png as png
from analysis.figures.style import svg as svg
from analysis.maps import MapSheet

FIGURES: dict[str, Callable[[Analysis], Drawing | None]] = {
    localisation_against_outcome.NAME: localisation_against_outcome.draw,
    forest.NAME: forest.draw,
    outcome_by_severity.NAME: outcome_by_severity.draw,
    localisation_by_severity.NAME: localisation_by_severity.draw,
}


def drawings(analysis: Analysis, sheets: Sequence[MapSheet]) -> list[Drawing]:
    """All figures these trials can have: `FIGURES`, then one gallery per sheet of maps."""
    found = [draw(analysis) for draw in FIGURES.values()]
    return [d for d in found if d is not None] + [gallery.draw(sheet) for sheet in sheets]
