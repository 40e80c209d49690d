"""The distribution of the sign error over pairs of configurations, one line per setting."""

from typing import Any

from matplotlib.lines import Line2D

from analysis.answer.answer import Analysis
from analysis.report.numbers import number
from analysis.sections.estimand_words import axis_name
from analysis.sections.figures.style import DASHES, INK, MUTED, PALETTE, Drawing, legend_below, new_figure, settings

NAME = "sign_error"


def draw(analysis: Analysis) -> Drawing | None:
    """None where no pair of configurations could be used."""
    found = analysis.estimands.sign_error
    parts = [part for part in (found.overall, *found.axes) if part.mean is not None]
    if not parts:
        return None
    with settings():
        figure = new_figure(6.0, 4.0)
        axes = figure.subplots()
        axes.axvline(0.5, color=MUTED, linewidth=0.9)
        axes.annotate("a coin", (0.5, 1.0), xytext=(3, 3), textcoords="offset points", color=MUTED, fontsize=8)
        handles = []
        for position, part in enumerate(parts):
            label = "all settings" if part.axis is None else axis_name(part.axis)
            look: dict[str, Any] = {
                "color": INK if part.axis is None else PALETTE[1 + (position - 1) % (len(PALETTE) - 1)],
                "linestyle": "-" if part.axis is None else DASHES[(position - 1) % len(DASHES)],
                "linewidth": 2.2 if part.axis is None else 1.5,
            }
            error, share = zip(*part.distribution, strict=True)
            axes.step(error, share, where="post", **look)
            handles.append(Line2D([], [], label=f"{label}: mean {number(part.mean)}", **look))
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(0, 1.01)
        axes.set_xlabel("sign error: share of pairs of trials that the map orders wrongly")
        axes.set_ylabel("share of pairs of configurations\nwith at most this error")
        legend_below(figure, handles, columns=2)
    told = "; ".join(
        f"{'all' if p.axis is None else axis_name(p.axis)}: mean {number(p.mean)}, 90th percentile {number(p.p90)}, "
        f"worst {number(p.maximum)}"
        for p in parts
    )
    return Drawing(
        name=NAME,
        title="How often does the map point the wrong way?",
        caption=(
            "Each line climbs from the pairs of configurations that the map orders best to those it orders worst. A "
            "good score climbs early, left of the coin; one that says nothing climbs at the coin."
        ),
        alt=f"Distribution functions of the sign error, one line per setting. {told}.",
        figure=figure,
    )
