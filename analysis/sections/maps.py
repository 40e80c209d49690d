"""Maps over images, columns are methods: mean maps, example images, and best and worst cases, per dataset."""

import re
import zlib
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from analysis.numbers import capitalized, count, name, number, stratum_name, strength
from analysis.sections import drawing
from analysis.sections.kept_maps import KeptMap
from analysis.sections.map_sheets import MapSheet, collect_maps
from analysis.sections.section import Lack, Section

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
"""Sheets and what is missing, as `collect_maps` returns them; storage is read on the first call."""


def _examples(sheet: MapSheet) -> drawing.Drawing:
    methods, first = list(sheet.examples), next(iter(sheet.examples.values()))
    n_rows = max(1, min(len(first), _MOST_ROWS // _n_blocks(1 + len(methods))))
    has_cue = any(image.distractor.any() for image in first)
    with drawing.settings():
        figure, panels = _grid(1 + len(methods), n_rows, lines=1)
        for row in range(n_rows):
            _show(panels[row][0], first[row], with_map=False)
            _say(panels[row][0], f"true {first[row].label}")
            for axes, maps in zip(panels[row][1:], sheet.examples.values(), strict=True):
                _show(axes, maps[row])
                _say(axes, maps[row].answer)
        panels[0][0].set_title("image")
        for axes, method in zip(panels[0][1:], methods, strict=True):
            axes.set_title(_heading(sheet, method), fontsize=8)
        drawing.legend_below(figure, _keys(has_cue, with_scored=True), columns=3)
    return drawing.Drawing(
        name=f"gallery_{file_name(sheet.dataset)}",
        title=f"Where do the models look? {stratum_name(sheet.dataset, sheet.severity)}",
        caption=(
            f"{capitalized(_maps(sheet))}. Red marks the pixels that IoU compares with the mask: the strongest of the "
            "map as it was scored, as many as the mask has, without ties at the limit. The image below them is light "
            f"grey. All methods have the same images (data seed {sheet.data_seed:g}); each has the strength with the "
            "best maps on average."
        ),
        alt=(
            f"{n_rows} example images of {name(sheet.dataset)} in rows with the mask outlined"
            f"{' and the distractor dashed' if has_cue else ''}; in columns the map of "
            f"{name(sheet.primary.attribution)} for {', '.join(map(name, methods))}."
        ),
        figure=figure,
    )


def _means(sheet: MapSheet) -> drawing.Drawing | None:
    """One row: each method's mean map on a common scale; None without maps of images with a mask."""
    if not sheet.together:
        return None
    top = max(float(np.quantile(maps.mean, 0.995)) for maps in sheet.together.values()) or 1.0
    has_cue = any(maps.distractor.any() for maps in sheet.together.values())
    with drawing.settings():
        figure, panels = _grid(len(sheet.together), 1)
        for axes, (method, maps) in zip(panels[0], sheet.together.items(), strict=True):
            shown = axes.imshow(maps.mean * maps.mean.size, cmap="cividis", vmin=0, vmax=top * maps.mean.size)
            _outline(axes, usual_place(maps.mask), usual_place(maps.distractor))
            axes.set_title(_heading(sheet, method), fontsize=8)
            _bare(axes, maps.mean.shape)
        scale = figure.colorbar(shown, ax=figure.axes, shrink=0.75, aspect=15, pad=0.01)
        scale.set_label("attribution,\nmean = 1", fontsize=8)
        scale.outline.set_visible(False)
        drawing.legend_below(figure, _keys(has_cue), columns=2)
    n_maps = sum(maps.n_maps for maps in sheet.together.values())
    n_trials = max(maps.n_trials for maps in sheet.together.values())
    inside = "; ".join(
        f"{name(method)} {_inside(maps.mean, maps.mask)}"
        + (f" on the mask and {_inside(maps.mean, maps.distractor)} on the distractor" if has_cue else "")
        for method, maps in sheet.together.items()
    )
    return drawing.Drawing(
        name=f"gallery_{file_name(sheet.dataset)}_mean",
        title=f"Where do the models look on average? {stratum_name(sheet.dataset, sheet.severity)}",
        caption=(
            f"Mean of {n_maps:,} maps of {_maps(sheet)}, from up to {count(n_trials, 'trial')} per method, each with "
            "the same weight; all panels have one scale. The outlines show the usual place of masks"
            f"{' and distractors' if has_cue else ''}, if they have one."
        ),
        alt=f"Mean attribution map of each method. Share of the mean map inside the outlines: {inside}.",
        figure=figure,
    )


def _cases(sheet: MapSheet) -> drawing.Drawing | None:
    """Two rows: each method's images with the best and the worst map; None if no scores of single images are known."""
    cases = {m: (maps.best, maps.worst) for m, maps in sheet.together.items() if maps.best and maps.worst}
    if not cases:
        return None
    metric = name(sheet.primary.metric)
    has_cue = any(case.distractor.any() for pair in cases.values() for case in pair)
    with drawing.settings():
        figure, panels = _grid(len(cases), 2, lines=3)
        for column, (method, pair) in enumerate(cases.items()):
            for row, case in enumerate(pair):
                _show(panels[row][column], case)
                _say(panels[row][column], f"{metric} {number(case.score)}", f"true {case.label}", case.answer)
            panels[0][column].set_title(_heading(sheet, method), fontsize=8)
        panels[0][0].set_ylabel("best")
        panels[1][0].set_ylabel("worst")
        drawing.legend_below(figure, _keys(has_cue, with_scored=True), columns=3)
    scores = "; ".join(
        f"{name(m)} {number(best.score)} and {number(worst.score)}" for m, (best, worst) in cases.items()
    )
    return drawing.Drawing(
        name=f"gallery_{file_name(sheet.dataset)}_cases",
        title=f"The best and the worst map of each method: {stratum_name(sheet.dataset, sheet.severity)}",
        caption=(
            f"The maps with the highest and the lowest {metric} among those averaged above. Red marks the pixels that "
            "IoU compares with the mask. These extremes show the range; they are not typical."
        ),
        alt=f"Best and worst case of each method with the map over the image. {metric} of best and worst: {scores}.",
        figure=figure,
    )


def _maps(sheet: MapSheet) -> str:
    return f"{name(sheet.primary.attribution)} on {name(sheet.primary.split)} images"


def _inside(mean: np.ndarray, share: np.ndarray) -> str:
    """The share of the mean map in the usual place of a region."""
    return number(float(mean[usual_place(share)].sum() / mean.sum()))


def usual_place(share: np.ndarray) -> np.ndarray:
    """The pixels that a region covers in at least half as many images as its most frequent pixel.

    No pixel if the most frequent one is covered in under a fifth of the images: such regions have no usual place.
    """
    most = float(share.max())
    return np.asarray(share >= 0.5 * most) if most >= 0.2 else np.zeros(share.shape, dtype=bool)


def _heading(sheet: MapSheet, method: str) -> str:
    best = sheet.strengths[method]
    return name(method) + (f"\nλ = {strength(best)}" if best else "")  # some methods have no weight to vary


def _keys(has_cue: bool, *, with_scored: bool = False) -> list["drawing.Line2D"]:
    keys = [drawing.legend_key("mask", color=_MASK, linewidth=1.4)]
    if has_cue:
        keys.append(drawing.legend_key("distractor", color=_CUE, linestyle="--", linewidth=1.4))
    scored = drawing.legend_key("scored pixels of the map", color=_SCORED, marker="s", linestyle="", alpha=0.8)
    return [*keys, scored] if with_scored else keys


def file_name(dataset: str) -> str:
    """A dataset's name as part of a file name: `folder:data/x` becomes "folder-data-x" and a checksum."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", dataset).strip("-")
    return safe if safe == dataset else f"{safe[-40:]}-{zlib.crc32(dataset.encode()):08x}"


def _n_blocks(columns: int) -> int:
    return -(-columns // _ACROSS)


def _grid(columns: int, rows: int, lines: int = 0) -> tuple["drawing.Figure", list[Sequence["drawing.Axes"]]]:
    """A figure of rows of image panels with lines of text below each, and the panels; long rows wrap into blocks."""
    blocks = _n_blocks(columns)
    across = -(-columns // blocks)
    side = min(1.9, (drawing.PAGE - 0.5) / across)
    figure = drawing.new_figure(0.5 + (rows * (side + lines * _LINE) + 0.45) * blocks)
    panels = figure.subplots(blocks * rows, across, squeeze=False)
    for axes in panels.ravel():
        axes.set_axis_off()
    return figure, [list(panels[row::rows].ravel()[:columns]) for row in range(rows)]


def _show(axes: "drawing.Axes", kept: KeptMap, *, with_map: bool = True) -> None:
    """An image with its regions outlined; with the map's scored pixels over it, in light grey."""
    from matplotlib.colors import to_rgba

    image, scored = kept.image, kept.region if with_map else None
    if scored is not None:
        # Red would not be seen on red objects.
        image = 0.3 + 0.7 * (image if image.ndim == 2 else image.mean(axis=2))
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    if scored is not None:
        axes.imshow(scored[..., None] * np.asarray(to_rgba(_SCORED, 0.6)), interpolation="nearest")
    _outline(axes, kept.mask, kept.distractor, scored)
    _bare(axes, image.shape)


def _say(axes: "drawing.Axes", *lines: str) -> None:
    """Text below a panel; lines that are longer than the panel is wide are cut."""
    grid = axes.get_gridspec()
    most = int((drawing.PAGE - 0.5) / (grid.ncols if grid else 1) / _LETTER)
    short = [line if len(line) <= most else f"{line[: most - 1]}…" for line in lines]
    axes.set_xlabel("\n".join(short), fontsize=8, labelpad=2)


def _outline(axes: "drawing.Axes", mask: np.ndarray, distractor: np.ndarray, scored: np.ndarray | None = None) -> None:
    for region, colour, line in ((scored, _SCORED, "-"), (mask, _MASK, "-"), (distractor, _CUE, "--")):
        if region is not None and region.any() and not region.all():
            # Padded, so that a region that touches the border is closed there too.
            padded = np.pad(region.astype(float), 1)
            axis_x, axis_y = np.arange(-1, region.shape[1] + 1), np.arange(-1, region.shape[0] + 1)
            axes.contour(axis_x, axis_y, padded, levels=[0.5], colors=colour, linewidths=1.1, linestyles=line)


def _bare(axes: "drawing.Axes", shape: tuple[int, ...]) -> None:
    """No ticks, grid or frame around an image of this shape."""
    axes.set_axis_on()
    axes.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5), xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


SECTION: Section[Sheets] = Section(
    key="maps",
    title="Maps",
    compute=lambda analysis: cache(lambda: collect_maps(analysis.trials, analysis.primary)),
    content=lambda result: {},
    figures=lambda analysis, result: [draw(sheet) for sheet in result()[0] for draw in (_means, _examples, _cases)],
    missing=lambda analysis, result: result()[1],
)
