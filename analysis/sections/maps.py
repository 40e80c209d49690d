"""Maps over images, columns are methods: mean maps, example images, and best and worst cases, per dataset."""

import re
import zlib
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from analysis.answer.answer import Analysis
from analysis.numbers import name, number, severity
from analysis.sections.drawing import Drawing, legend_below, legend_key, new_figure, settings
from analysis.sections.map_sheets import MapSheet, collect_maps
from analysis.sections.section import Section

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.lines

SHOWN = 0.5
"""Share of the pixels whose attribution is shown: the upper half, as in the paper's figures."""
_MASK, _CUE, _HEAT = "#56B4E9", "#E69F00", "#FF3B30"

Sheets = Callable[[], tuple[list[MapSheet], list[str]]]
"""Sheets and what is missing, as `collect_maps` returns them; storage is read when it is first called."""


def _compute(analysis: Analysis) -> Sheets:
    return cache(lambda: collect_maps(analysis.trials, analysis.primary))


def _sentence(analysis: Analysis, result: Sheets) -> str:
    return "" if result()[0] else "There are no maps to show; “What was missing”, below, has the reasons."


def _figures(analysis: Analysis, result: Sheets) -> list[Drawing | None]:
    """Of each sheet; of maps without masks the examples alone."""
    return [draw(sheet) for sheet in result()[0] for draw in (_means, _examples, _cases)]


def _examples(sheet: MapSheet) -> Drawing:
    rows, methods = len(sheet.images), list(sheet.maps)
    with settings():
        figure = new_figure(0.3 + 1.45 * (len(methods) + 1), 0.85 + 1.45 * rows)
        panels = figure.subplots(rows, len(methods) + 1, squeeze=False)
        for row in range(rows):
            _show(panels[row][0], sheet, row)
            for column, method in enumerate(methods, start=1):
                _show(panels[row][column], sheet, row)
                panels[row][column].imshow(heat(sheet.maps[method][row]), interpolation="nearest")
        panels[0][0].set_title("image")
        for column, method in enumerate(methods, start=1):
            panels[0][column].set_title(_heading(sheet, method), fontsize=8)
        legend_below(figure, [*_outline_keys(bool(sheet.distractors.any())), _heat_key()], columns=3)
    return Drawing(
        name=f"gallery_{file_name(sheet.dataset)}",
        title=f"Where do the models look? {name(sheet.dataset)}, s = {severity(sheet.severity)}",
        caption=(
            f"{name(sheet.attribution).capitalize()} on {name(sheet.split)} images: the upper half of each "
            "map’s pixels, stronger attribution more opaque, each map on its own scale. Every column shows "
            f"the same images (data seed {sheet.data_seed:g}); of each method, the trial with its middle "
            "strength."
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
        figure = new_figure(0.9 + 1.45 * len(methods), 2.15)
        panels = figure.subplots(1, len(methods), squeeze=False)[0]
        for axes, method in zip(panels, methods, strict=True):
            maps = sheet.together[method]
            shown = axes.imshow(maps.mean * maps.mean.size, cmap="cividis", vmin=0, vmax=top * maps.mean.size)
            for share, colour, line in ((maps.mask, _MASK, "-"), (maps.distractor, _CUE, "--")):
                _outline(axes, usual_place(share), colour, line)
            axes.set_title(_heading(sheet, method), fontsize=8)
            _bare(axes, maps.mean.shape)
        scale = figure.colorbar(shown, ax=list(panels), shrink=0.75, aspect=15, pad=0.01)
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
            f"Mean of {n_maps:,} maps of {name(sheet.attribution)} on {name(sheet.split)} images, up to {n_trials} "
            "trials a method, every map counting the same; all panels on one scale. Outlined is the usual "
            f"place of masks{' and distractors' if has_cue else ''}, where they have one."
        ),
        alt=f"Mean attribution map of each method. Share of the mean map inside the outlines: {inside}.",
        figure=figure,
    )


def _cases(sheet: MapSheet) -> Drawing | None:
    """Two rows: the images whose map falls best and worst on the mask, per method."""
    if not sheet.together:
        return None
    methods = list(sheet.together)
    with settings():
        figure = new_figure(0.6 + 1.45 * len(methods), 3.7)
        panels = figure.subplots(2, len(methods), squeeze=False)
        has_cue = False
        for column, method in enumerate(methods):
            maps = sheet.together[method]
            for row, case in enumerate((maps.best, maps.worst)):
                axes = panels[row][column]
                has_cue |= bool(case.distractor.any())
                _image(axes, case.image, case.mask, case.distractor)
                axes.imshow(heat(case.map), interpolation="nearest")
                axes.set_xlabel(f"IoU {number(case.overlap)}", fontsize=8, labelpad=2)
            panels[0][column].set_title(_heading(sheet, method), fontsize=8)
        for row, word in enumerate(("best", "worst")):
            panels[row][0].set_ylabel(word)
        legend_below(figure, [*_outline_keys(has_cue), _heat_key()], columns=3)
    overlaps = "; ".join(
        f"{name(m)} {number(maps.best.overlap)} and {number(maps.worst.overlap)}" for m, maps in sheet.together.items()
    )
    return Drawing(
        name=f"gallery_{file_name(sheet.dataset)}_cases",
        title=f"The best and the worst map of each method: {name(sheet.dataset)}, s = {severity(sheet.severity)}",
        caption=(
            "Of the maps averaged above, the one that falls best and the one that falls worst on the mask, by the IoU "
            "of the map as stored. These are extremes, chosen to show the range; they are not typical."
        ),
        alt=f"Best and worst case of each method with the map over the image. IoU of best and worst: {overlaps}.",
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
    strength = sheet.strengths[method]
    return name(method) + (f"\nλ = {strength:.3g}" if strength else "")  # some methods have no weight to vary


def _outline_keys(has_cue: bool) -> list["matplotlib.lines.Line2D"]:
    keys = [legend_key("mask", color=_MASK, linewidth=1.4)]
    if has_cue:
        keys.append(legend_key("distractor", color=_CUE, linestyle="--", linewidth=1.4))
    return keys


def _heat_key() -> "matplotlib.lines.Line2D":
    return legend_key("upper half of the map", color=_HEAT, marker="s", linestyle="")


def file_name(dataset: str) -> str:
    """A dataset's name as part of a file's: `folder:data/x` becomes "folder-data-x" and a checksum."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", dataset).strip("-")
    return safe if safe == dataset else f"{safe[-40:]}-{zlib.crc32(dataset.encode()):08x}"


def heat(values: np.ndarray) -> np.ndarray:
    """[H, W, 4] one colour whose opacity is the map: 0 in its lower half, up to .85 at its 99th percentile.

    Pixels at the median or below are not shown: a constant map shows nothing, a sparse one what it has.
    """
    from matplotlib.colors import to_rgb

    shown = values > np.quantile(values, 1 - SHOWN)
    top = float(np.quantile(values, 0.99)) or float(values.max()) or 1.0
    opacity = np.where(shown, 0.05 + 0.8 * np.clip(values / top, 0, 1), 0.0)
    return np.dstack([np.broadcast_to(np.asarray(to_rgb(_HEAT)), (*values.shape, 3)), opacity])


def _show(axes: "matplotlib.axes.Axes", sheet: MapSheet, row: int) -> None:
    _image(axes, sheet.images[row], sheet.masks[row], sheet.distractors[row])


def _image(axes: "matplotlib.axes.Axes", image: np.ndarray, mask: np.ndarray, distractor: np.ndarray) -> None:
    """An image with its regions outlined."""
    if image.ndim == 2:
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    else:
        axes.imshow(image, interpolation="nearest")
    for region, colour, line in ((mask, _MASK, "-"), (distractor, _CUE, "--")):
        _outline(axes, region, colour, line)
    _bare(axes, image.shape)


def _outline(axes: "matplotlib.axes.Axes", region: np.ndarray, colour: str, line: str) -> None:
    if region.any() and not region.all():
        # Padded, so that a region that touches the border is closed there too.
        padded = np.pad(region.astype(float), 1)
        axis_x, axis_y = np.arange(-1, region.shape[1] + 1), np.arange(-1, region.shape[0] + 1)
        axes.contour(axis_x, axis_y, padded, levels=[0.5], colors=colour, linewidths=1.1, linestyles=line)


def _bare(axes: "matplotlib.axes.Axes", shape: tuple[int, ...]) -> None:
    """No ticks, grid or frame around an image of this shape."""
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
    sentence=_sentence,
    figures=_figures,
    missing=lambda analysis, result: result()[1],
)
