"""Shared parts of the figures: a colour and marker per method, readable type, reproducible files.

matplotlib is imported inside the functions: it is slow to load, and only a report needs it.
"""

import io
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby, pairwise, zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.numbers import HasInterval, name, severity, with_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure
    from matplotlib.lines import Line2D as Line2D

INK, MUTED, RULE, SHADE = "#1f2328", "#6b7280", "#d8dce2", "#eef0f3"
# Okabe & Ito's palette for all kinds of colour vision (Color Universal Design, 2008), with a darker yellow.
PALETTE = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#B8A800")
DASHES = ("--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (3, 1)), (0, (1, 2.5)))
DIVERGING = "PuOr_r"
"""Purple below zero, orange above; distinct in all kinds of colour vision."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
KNOWN = ("baseline", "masked", "shuffled", "actdiff", "gradmask", "rrr", "adversarial")
"""Methods of the paper, which come first and have fixed looks."""
MANY = 8
"""Number of methods beyond which colours cannot be told apart: figures then have a row per method."""
PAGE = 10.9
"""Width of the report's page in inches; every figure fills it."""
RHO = "Spearman’s ρ with 95 % interval"
NARROW = 4.6
"""Width in inches of a figure on a phone."""


@dataclass(frozen=True)
class Drawing:
    """A figure with its title, caption and alternative text."""

    figure: "Figure"
    caption: str
    alt: str
    name: str = ""
    """Of its files; empty, like a title, for that of the section."""
    title: str = ""


def place_of_method(method: str) -> tuple[int, str, str]:
    """Sort key of methods in figures and tables: the paper's first, then the others by name."""
    return KNOWN.index(method) if method in KNOWN else len(KNOWN), name(method).casefold(), method


def in_order(methods: Iterable[str]) -> list[str]:
    """The distinct methods, by `place_of_method`."""
    return sorted(set(methods), key=place_of_method)


def look(methods: Iterable[str]) -> dict[str, tuple[str, str]]:
    """(colour, marker) per method, in order; the same in every report.

    A method that is not the paper's starts from a checksum of its name and takes the next free pair; pairs recur only
    beyond eighty methods.
    """
    pairs = [(colour, marker) for marker in MARKERS for colour in PALETTE]
    fixed = dict(zip(KNOWN, zip(PALETTE, MARKERS, strict=False), strict=False))
    looks: dict[str, tuple[str, str]] = {}
    for method in in_order(methods):
        start = zlib.crc32(method.encode()) % len(pairs)
        free = (pair for pair in (*pairs[start:], *pairs[:start]) if pair not in {*fixed.values(), *looks.values()})
        looks[method] = fixed[method] if method in fixed else next(free, pairs[start])
    return looks


def settings() -> AbstractContextManager[Any]:
    """matplotlib's settings while a figure is drawn or saved; a $ in a name does not start a formula."""
    import matplotlib as mpl

    style: dict[Any, Any] = {
        **dict.fromkeys(("axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor", "text.color"), INK),
        **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), MUTED),
        **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon", "text.parse_math"), False),
        "font.family": "DejaVu Sans",  # ships with matplotlib: the same on every machine
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": RULE,
        "grid.linewidth": 0.6,
        "figure.facecolor": "white",
        "svg.hashsalt": "saliency-sweep",  # identifiers inside the SVG repeat from run to run
    }
    return mpl.rc_context(style)


def new_figure(height: float, width: float = PAGE) -> "Figure":
    """A figure outside pyplot's global state, in inches, at least as wide as the page."""
    from matplotlib.figure import Figure

    return Figure(figsize=(max(PAGE, width), height), layout="constrained")


@dataclass(frozen=True)
class Pictures:
    """A figure's files."""

    width: int
    """Of the page's picture, in CSS pixels."""
    png: bytes
    svg: bytes
    narrow: bytes | None
    """A PNG for narrow windows; None for a figure of several panels, which scrolls sideways."""


def pictures(drawing: Drawing) -> Pictures:
    """Save a figure for every use; afterwards it has its narrow layout."""
    figure = drawing.figure
    width, page = round(figure.get_figwidth() * 96), (png(drawing), svg(drawing))
    if len(figure.axes) != 1 or figure.get_figwidth() > PAGE:
        return Pictures(width, *page, None)
    figure.set_layout_engine("constrained")
    figure.set_figwidth(NARROW)
    with settings():
        for legend in list(figure.legends):
            legend.remove()
            for handle, text in zip(legend.legend_handles, legend.texts, strict=True):
                if handle is not None:
                    handle.set_label(text.get_text())
            legend_below(figure, legend.legend_handles, columns=len(legend.texts))
    return Pictures(width, *page, png(drawing))


def png(drawing: Drawing) -> bytes:
    return _saved(drawing, "png", {"Software": None})


def svg(drawing: Drawing) -> bytes:
    return _saved(drawing, "svg", {"Date": None, "Creator": None})


def _saved(drawing: Drawing, kind: str, metadata: dict[str, None]) -> bytes:
    buffer = io.BytesIO()
    with settings():
        drawing.figure.savefig(buffer, format=kind, dpi=160, metadata=metadata)
    # Computing the layout takes longer than drawing; done once, both files agree.
    drawing.figure.set_layout_engine("none")
    return buffer.getvalue()


def legend_key(label: str, **look: Any) -> "Line2D":
    """A legend entry for a line or marker in this style."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **look)


def method_keys(styles: dict[str, tuple[str, str]], **style: Any) -> list["Line2D"]:
    """A legend entry per method, from `look`."""
    return [
        legend_key(name(method), color=colour, marker=marker, **style) for method, (colour, marker) in styles.items()
    ]


def legend_below(figure: "Figure", handles: Sequence[Any], columns: int) -> None:
    """Add a legend below all panels, at most `columns` wide; beyond two rows the figure grows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    for number in range(max(1, min(columns, len(handles))), 0, -1):
        legend = figure.legend(handles=handles, loc="outside lower center", ncols=number)
        size = legend.get_window_extent(renderer)
        if size.width <= figure.bbox.width or number == 1:
            break
        legend.remove()
    two_rows = 2 * size.height / -(-len(handles) // number)
    figure.set_figheight(figure.get_figheight() + max(0.0, size.height - two_rows) / figure.dpi)


@dataclass(frozen=True)
class Mark:
    """An estimate with its interval, as a figure shows it."""

    entry: HasInterval
    colour: str = PALETTE[1]
    marker: str = "o"
    series: str = ""
    """Its name in the legend."""
    is_hollow: bool = False
    around: Sequence[float | None] = ()
    """Values that the estimate summarises, such as those of single cells, drawn as small dots."""
    band: tuple[float | None, float | None] = (None, None)
    """A further interval, drawn as a broad band."""

    @property
    def style(self) -> dict[str, Any]:
        return {"color": self.colour, "marker": self.marker, "markerfacecolor": "white" if self.is_hollow else None}


Rows = Mapping[str, Sequence[Mark]]
"""The marks of each row, by its label."""


def forest(
    panels: Mapping[str, Rows],
    *,
    caption: str,
    alt: str,
    name: str = "",
    title: str = "",
    reference: float = 0.0,
    limits: tuple[float, float] | None = None,
    smallest_effect: float | None = None,
    strong: bool = False,
    digits: int = 2,
) -> Drawing | None:
    """A figure of estimates with their intervals, in rows; None without any.

    Args:
        panels: the rows of each panel, by the label of its x axis; all panels have the same rows.
        alt: the alternative text's first sentence, without its full stop; the numbers follow.
        reference: where a line marks the absence of an effect.
        limits: of the x axis.
        smallest_effect: the values closer to zero are shaded.
        strong: whether the first row is set apart.
        digits: of the numbers in the alternative text.
    """
    labels = list(dict.fromkeys(label for rows in panels.values() for label in rows))
    marks = [mark for rows in panels.values() for row in rows.values() for mark in row]
    if not marks:
        return None
    most = max(len(row) for rows in panels.values() for row in rows.values())
    with settings():
        figure = new_figure(0.8 + (0.24 + 0.07 * most) * len(labels))
        grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)
        for axes, (x_label, rows) in zip(grid[0], panels.items(), strict=True):
            axes.axvline(reference, color=MUTED, linewidth=0.8)
            if smallest_effect is not None:
                shade(axes, smallest_effect)
            for position, label in enumerate(labels):
                row = rows.get(label, ())
                for place, mark in enumerate(row):
                    draw_mark(axes, mark, -position - 0.28 * (place - (len(row) - 1) / 2))
            row_labels(axes, labels, strong=strong)
            axes.set_xlabel(x_label)
            axes.set_xlim(limits)
        keys = {mark.series: legend_key(mark.series, linewidth=1.6, **mark.style) for mark in marks if mark.series}
        if smallest_effect is not None:
            keys["shade"] = shade_key()
        if keys:
            legend_below(figure, list(keys.values()), columns=4)
    numbers = "; ".join(
        f"{', '.join(filter(None, (x_label if len(panels) > 1 else '', label, mark.series)))}: "
        f"{with_interval(mark.entry, digits)}"
        for x_label, rows in panels.items()
        for label, row in rows.items()
        for mark in row
    )
    return Drawing(figure, caption, f"{alt}. {numbers}.", name, title)


def draw_mark(axes: "Axes", mark: Mark, y: float) -> None:
    """Draw an estimate and its interval at the height y, or the word that there is none."""
    entry, colour = mark.entry, mark.colour
    if mark.around:
        # At different heights, so that equal values stay visible.
        heights = y + 0.2 * np.linspace(-1, 1, len(mark.around))
        values = np.asarray(mark.around, dtype=np.float64)
        axes.plot(values, heights, "o", linewidth=0, markersize=2.5, color=colour, alpha=0.45)
    if entry.estimate is None:
        axes.text(0, y, "undefined", color=INK, fontsize=6.5, va="center", ha="center")
        return
    for (low, high), style in (
        ((entry.ci_low, entry.ci_high), {"linewidth": 1.6}),
        (mark.band, {"linewidth": 8, "alpha": 0.2, "solid_capstyle": "butt"}),
    ):
        if low is not None and high is not None:
            axes.plot([low, high], [y, y], color=colour, **style)
    axes.plot([entry.estimate], [y], markersize=5, **mark.style)


def shade(axes: "Axes", smallest_effect: float, *, horizontal: bool = False) -> None:
    """Shade the values that are closer to zero than the smallest effect of interest."""
    span = axes.axhspan if horizontal else axes.axvspan
    span(-smallest_effect, smallest_effect, color=SHADE, linewidth=0)


def shade_key() -> "Line2D":
    return legend_key("too small to matter", color="#dfe2e7", linewidth=8)


def row_labels(axes: "Axes", labels: Sequence[str], *, strong: bool = False) -> None:
    """Name the rows at heights 0, −1, −2, …; `strong` sets the first one apart."""
    axes.grid(axis="y", visible=False)
    axes.set_yticks([-i for i in range(len(labels))], labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(0.4 - len(labels), 0.6)
    if strong:
        axes.axhline(-0.5, color=MUTED, linewidth=0.5)
        axes.get_yticklabels()[0].set_fontweight("bold")


@dataclass(frozen=True)
class Line:
    """Estimates by (dataset, severity), with their intervals, as a line against severity."""

    label: str
    """In the legend, if not empty."""
    entries: Mapping[tuple[str, float], HasInterval]
    style: Mapping[str, Any]
    place: float = 0.0
    """Places to the side, which keep the intervals of one severity apart."""


def severity_lines(lines: Sequence[Line], label: str, *, sharey: bool, columns: int) -> tuple["Figure", "list[Axes]"]:
    """A figure with a panel per dataset, side by side."""
    rows = rows_of_strata(stratum for line in lines for stratum in line.entries)
    figure = new_figure(4.0, 0.6 + 2.6 * len(rows))
    panels = list(figure.subplots(1, len(rows), squeeze=False, sharey=sharey)[0])
    for axes, (dataset, severities) in zip(panels, rows.items(), strict=True):
        span = (severities[-1] - severities[0]) or 1.0
        closest = min((high - low for low, high in pairwise(severities)), default=span)
        step = min(0.008 * span, 0.6 * closest / len(lines))
        for line in lines:
            points = [
                (s + line.place * step, line.entries[dataset, s]) for s in severities if (dataset, s) in line.entries
            ]
            axes.plot([x for x, _ in points], [or_nan(entry.estimate) for _, entry in points], **line.style)
            for x, entry in points:
                interval = or_nan(entry.ci_low), or_nan(entry.ci_high)
                axes.plot([x, x], interval, color=line.style["color"], linewidth=1)
        ticks: list[float] = []
        for value in reversed(severities):
            if not ticks or ticks[-1] - value >= 0.085:  # labels would touch
                ticks.append(value)
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.set_xlabel("shift severity s")
        axes.set_title(name(dataset), loc="left")
    panels[0].set_ylabel(label)
    legend_below(figure, [legend_key(line.label, **line.style) for line in lines if line.label], columns)
    return figure, panels


def or_nan(value: float | None) -> float:
    """The value, or NaN, which matplotlib leaves out."""
    return np.nan if value is None else value


def rows_of_strata(strata: Iterable[tuple[str, float]]) -> dict[str, list[float]]:
    """The severities of each dataset, both in order: the panels of a figure, row by row."""
    return {d: [level for _, level in levels] for d, levels in groupby(sorted(set(strata)), key=lambda s: s[0])}


def strata_panels(
    figure: "Figure", rows: dict[str, list[float]], label: str, **shared: Any
) -> dict[tuple[str, float], "Axes"]:
    """A panel per stratum, a row per dataset, with `label` below the lowest panel of each column."""
    grid = figure.subplots(len(rows), max(map(len, rows.values())), squeeze=False, **shared)
    panels = {}
    lowest = {}
    for axes_of_row, (dataset, severities) in zip(grid, rows.items(), strict=True):
        for column, (axes, level) in enumerate(zip_longest(axes_of_row, severities)):
            if level is None:
                axes.remove()
            else:
                panels[dataset, level] = lowest[column] = axes
    for axes in lowest.values():
        axes.set_xlabel(label)
        axes.tick_params(labelbottom=True)
    return panels


def method_panels(
    cells: Mapping[tuple[str, float, str], HasInterval], label: str
) -> tuple["Figure", dict[tuple[str, float], "Axes"]]:
    """A figure of the estimates of cells (dataset, severity, method), with a row per method in each panel."""
    styles = look(method for _, _, method in cells)
    rows = rows_of_strata(cell[:2] for cell in cells)
    height = 0.9 + (0.55 + 0.25 * len(styles)) * len(rows)
    figure = new_figure(height, 1.5 + 1.2 * max(map(len, rows.values())))
    panels = strata_panels(figure, rows, label, sharex=True, sharey=True)
    for (dataset, level), axes in panels.items():
        where = f"{name(dataset)}, " if len(rows) > 1 and level == rows[dataset][0] else ""
        axes.set_title(f"{where}s = {severity(level)}", loc="left", fontsize=8)
        row_labels(axes, list(map(name, styles)))
    for (dataset, level, method), entry in cells.items():
        draw_mark(panels[dataset, level], Mark(entry, *styles[method]), -list(styles).index(method))
    return figure, panels
