"""Maps over images, columns are methods: mean maps, example images, and best and worst cases, per dataset."""

import re
import zlib
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from analysis.answer.answer import Analysis
from analysis.numbers import capitalized, count, name, number, severity, strength
from analysis.sections.drawing import PAGE, Drawing, legend_below, legend_key, new_figure, settings
from analysis.sections.map_sheets import MapSheet, collect_maps
from analysis.sections.section import Lack, Section

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure
    import matplotlib.lines

_MASK, _CUE, _SCORED = "#56B4E9", "#E69F00", "#FF3B30"
_ACROSS = 8
"""Number of image panels that fit across the page."""
_MOST_ROWS = 8
"""Number of rows of example images, over all blocks of methods."""
_LINE = 0.16
"""Height in inches of a line of text below a panel."""
_LETTER = 0.066
"""Width in inches of an average letter of that text."""

Sheets = Callable[[], tuple[list[MapSheet], list[Lack]]]
"""Sheets and what is missing, as `collect_maps` returns them; storage is read when it is first called."""


def _compute(analysis: Analysis) -> Sheets:
    return cache(lambda: collect_maps(analysis.trials, analysis.primary))


def _figures(analysis: Analysis, result: Sheets) -> list[Drawing | None]:
    """Of each sheet; of maps without masks the examples alone."""
    return [draw(sheet) for sheet in result()[0] for draw in (_means, _examples, _cases)]


def _examples(sheet: MapSheet) -> Drawing:
    methods = list(sheet.regions)
    rows = max(1, min(len(sheet.images), _MOST_ROWS // _n_blocks(1 + len(methods))))
    with settings():
        figure, panels = _grid(1 + len(methods), rows, lines=1 if sheet.labels else 0)
        for row in range(rows):
            for column, method in enumerate([None, *methods]):
                axes, region = panels[row][column], None if method is None else sheet.regions[method]
                scored = None if region is None else region[row]
                _show(axes, sheet.images[row], sheet.masks[row], sheet.distractors[row], scored)
                if sheet.labels:
                    _say(axes, f"true {sheet.labels[row]}" if method is None else sheet.answers[method][row])
        panels[0][0].set_title("image")
        for column, method in enumerate(methods, start=1):
            panels[0][column].set_title(_heading(sheet, method), fontsize=8)
        legend_below(figure, [*_outline_keys(bool(sheet.distractors.any())), _scored_key()], columns=3)
    return Drawing(
        name=f"gallery_{file_name(sheet.dataset)}",
        title=f"Where do the models look? {name(sheet.dataset)}, s = {severity(sheet.severity)}",
        caption=(
            f"{capitalized(name(sheet.attribution))} on {name(sheet.split)} images, in red the pixels that IoU "
            "compares with the mask: the strongest of the map as it was scored, as many as the mask has, without ties "
            "at the limit. Below them the image is shown in light grey. Every method sees the same images (data seed "
            f"{sheet.data_seed:g}), at the strength with the best maps on average."
        ),
        alt=(
            f"{rows} example images of {name(sheet.dataset)} in rows with the mask outlined"
            f"{' and the distractor dashed' if sheet.distractors.any() else ''}; in columns the map of "
            f"{name(sheet.attribution)} for {', '.join(name(m) for m in methods)}."
        ),
        figure=figure,
    )


def _means(sheet: MapSheet) -> Drawing | None:
    """One row: each method's mean map on a scale common to all."""
    if not sheet.together:
        return None
    methods = list(sheet.together)
    top = max(float(np.quantile(maps.mean, 0.995)) for maps in sheet.together.values()) or 1.0
    has_cue = any(maps.distractor.any() for maps in sheet.together.values())
    with settings():
        figure, panels = _grid(len(methods), 1)
        for axes, method in zip(panels[0], methods, strict=True):
            maps = sheet.together[method]
            shown = axes.imshow(maps.mean * maps.mean.size, cmap="cividis", vmin=0, vmax=top * maps.mean.size)
            for share, colour, line in ((maps.mask, _MASK, "-"), (maps.distractor, _CUE, "--")):
                _outline(axes, usual_place(share), colour, line)
            axes.set_title(_heading(sheet, method), fontsize=8)
            _bare(axes, maps.mean.shape)
        scale = figure.colorbar(shown, ax=figure.axes, shrink=0.75, aspect=15, pad=0.01)
        scale.set_label("attribution,\nmean = 1", fontsize=8)
        scale.outline.set_visible(False)
        legend_below(figure, _outline_keys(has_cue), columns=2)
    n_maps = sum(maps.n_maps for maps in sheet.together.values())
    n_trials = max(maps.n_trials for maps in sheet.together.values())
    inside = "; ".join(
        f"{name(m)} {number(_inside(maps.mean, maps.mask))}"
        + (f" on the mask and {number(_inside(maps.mean, maps.distractor))} on the distractor" if has_cue else "")
        for m, maps in sheet.together.items()
    )
    return Drawing(
        name=f"gallery_{file_name(sheet.dataset)}_mean",
        title=f"Where do the models look on average? {name(sheet.dataset)}, s = {severity(sheet.severity)}",
        caption=(
            f"Mean of {n_maps:,} maps of {name(sheet.attribution)} on {name(sheet.split)} images, up to "
            f"{count(n_trials, 'trial')} a method, every map counting the same; all panels on one scale. "
            f"Outlined is the usual place of masks{' and distractors' if has_cue else ''}, where they have one."
        ),
        alt=f"Mean attribution map of each method. Share of the mean map inside the outlines: {inside}.",
        figure=figure,
    )


def _cases(sheet: MapSheet) -> Drawing | None:
    """Two rows: the images whose map falls best and worst on the mask, per method."""
    cases = {m: (maps.best, maps.worst) for m, maps in sheet.together.items() if maps.best and maps.worst}
    if not cases:
        return None
    metric = name(sheet.metric)
    with settings():
        figure, panels = _grid(len(cases), 2, lines=3)
        has_cue = False
        for column, (method, pair) in enumerate(cases.items()):
            for row, case in enumerate(pair):
                axes = panels[row][column]
                has_cue |= bool(case.distractor.any())
                _show(axes, case.image, case.mask, case.distractor, case.region)
                _say(axes, f"{metric} {number(case.score)}", f"true {case.label}", case.answer)
            panels[0][column].set_title(_heading(sheet, method), fontsize=8)
        for row, word in enumerate(("best", "worst")):
            panels[row][0].set_ylabel(word)
        legend_below(figure, [*_outline_keys(has_cue), _scored_key()], columns=3)
    scores = "; ".join(
        f"{name(m)} {number(best.score)} and {number(worst.score)}" for m, (best, worst) in cases.items()
    )
    return Drawing(
        name=f"gallery_{file_name(sheet.dataset)}_cases",
        title=f"The best and the worst map of each method: {name(sheet.dataset)}, s = {severity(sheet.severity)}",
        caption=(
            f"Of the maps averaged above, those with the highest and the lowest stored {metric}; in red, as above, "
            "the pixels that IoU compares with the mask. These extremes show the range; they are not typical."
        ),
        alt=f"Best and worst case of each method with the map over the image. {metric} of best and worst: {scores}.",
        figure=figure,
    )


def _inside(mean: np.ndarray, share: np.ndarray) -> float:
    """The part of the mean map that lies in the usual place of a region."""
    return float(mean[usual_place(share)].sum() / mean.sum())


def usual_place(share: np.ndarray) -> np.ndarray:
    """Where a region lies in at least half as many images as where it lies most often.

    Nowhere, if that is in under a fifth of the images: such regions have no usual place.
    """
    most = float(share.max())
    return np.asarray(share >= 0.5 * most) if most >= 0.2 else np.zeros(share.shape, dtype=bool)


def _heading(sheet: MapSheet, method: str) -> str:
    best = sheet.strengths[method]
    return name(method) + (f"\nλ = {strength(best)}" if best else "")  # some methods have no weight to vary


def _outline_keys(has_cue: bool) -> list["matplotlib.lines.Line2D"]:
    keys = [legend_key("mask", color=_MASK, linewidth=1.4)]
    if has_cue:
        keys.append(legend_key("distractor", color=_CUE, linestyle="--", linewidth=1.4))
    return keys


def _scored_key() -> "matplotlib.lines.Line2D":
    return legend_key("scored pixels of the map", color=_SCORED, marker="s", linestyle="", alpha=0.8)


def file_name(dataset: str) -> str:
    """A dataset's name as part of a file's: `folder:data/x` becomes "folder-data-x" and a checksum."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", dataset).strip("-")
    return safe if safe == dataset else f"{safe[-40:]}-{zlib.crc32(dataset.encode()):08x}"


def _n_blocks(columns: int) -> int:
    return -(-columns // _ACROSS)


def _grid(
    columns: int, rows: int, lines: int = 0
) -> tuple["matplotlib.figure.Figure", list[list["matplotlib.axes.Axes"]]]:
    """A figure of `rows` rows of image panels, and the panels; what does not fit across the page goes below.

    Args:
        columns: panels of a row.
        rows: rows of panels.
        lines: of text below each panel.
    """
    blocks = _n_blocks(columns)
    across = -(-columns // blocks)
    side = min(1.9, (PAGE - 0.5) / across)
    figure = new_figure(0.5 + (rows * (side + lines * _LINE) + 0.45) * blocks)
    panels = figure.subplots(blocks * rows, across, squeeze=False)
    for axes in panels.ravel():
        axes.set_axis_off()
    return figure, [[panels[i // across * rows + row][i % across] for i in range(columns)] for row in range(rows)]


def _show(
    axes: "matplotlib.axes.Axes",
    image: np.ndarray,
    mask: np.ndarray,
    distractor: np.ndarray,
    scored: np.ndarray | None,
) -> None:
    """An image with its regions outlined; with a map's scored pixels over it, in light grey."""
    from matplotlib.colors import to_rgba

    if scored is not None:
        # Red would not be seen on red objects.
        image = 0.3 + 0.7 * (image if image.ndim == 2 else image.mean(axis=2))
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    if scored is not None:
        axes.imshow(scored[..., None] * np.asarray(to_rgba(_SCORED, 0.6)), interpolation="nearest")
        _outline(axes, scored, _SCORED, "-")
    for region, colour, line in ((mask, _MASK, "-"), (distractor, _CUE, "--")):
        _outline(axes, region, colour, line)
    _bare(axes, image.shape)


def _say(axes: "matplotlib.axes.Axes", *lines: str) -> None:
    """Text below a panel; lines that are longer than the panel is wide are cut."""
    grid = axes.get_gridspec()
    most = int((PAGE - 0.5) / (grid.ncols if grid else 1) / _LETTER)
    short = [line if len(line) <= most else f"{line[: most - 1]}…" for line in lines]
    axes.set_xlabel("\n".join(short), fontsize=8, labelpad=2)


def _outline(axes: "matplotlib.axes.Axes", region: np.ndarray, colour: str, line: str) -> None:
    if region.any() and not region.all():
        # Padded, so that a region that touches the border is closed there too.
        padded = np.pad(region.astype(float), 1)
        axis_x, axis_y = np.arange(-1, region.shape[1] + 1), np.arange(-1, region.shape[0] + 1)
        axes.contour(axis_x, axis_y, padded, levels=[0.5], colors=colour, linewidths=1.1, linestyles=line)


def _bare(axes: "matplotlib.axes.Axes", shape: tuple[int, ...]) -> None:
    """No ticks, grid or frame around an image of this shape."""
    axes.set_axis_on()
    axes.set_xlim(-0.5, shape[1] - 0.5)
    axes.set_ylim(shape[0] - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


SECTION = Section(
    key="maps",
    title="Maps",
    compute=_compute,
    content=lambda result: {},
    figures=_figures,
    missing=lambda analysis, result: result()[1],
)
