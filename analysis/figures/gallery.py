"""Maps over images: rows are example images, columns are methods, one figure per dataset."""

import re
import zlib

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

from analysis.figures.style import Drawing, legend_below, new_figure, settings
from analysis.maps import MapSheet
from analysis.numbers import name, severity

NAME = "gallery"
SHOWN = 0.5
"""Share of the pixels whose attribution is shown: the upper half, as in the paper's figures."""
_MASK, _CUE, _HEAT = "#56B4E9", "#E69F00", "#FF3B30"


def draw(sheet: MapSheet) -> Drawing:
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
            strength = sheet.strengths[method]
            below = f"\nλ = {strength:.3g}" if strength else ""  # some methods have no weight to vary
            panels[0][column].set_title(name(method) + below, fontsize=8)
        handles = [
            Line2D([], [], color=_MASK, linewidth=1.4, label="mask"),
            Line2D([], [], color=_HEAT, marker="s", linestyle="", label="upper half of the map"),
        ]
        if sheet.distractors.any():
            handles.insert(1, Line2D([], [], color=_CUE, linestyle="--", linewidth=1.4, label="distractor"))
        legend_below(figure, handles, columns=3)
    return Drawing(
        name=f"{NAME}_{file_name(sheet.dataset)}",
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


def file_name(dataset: str) -> str:
    """A dataset's name as part of a file's: `folder:data/x` becomes "folder-data-x" and a checksum."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", dataset).strip("-")
    return safe if safe == dataset else f"{safe[-40:]}-{zlib.crc32(dataset.encode()):08x}"


def heat(values: np.ndarray) -> np.ndarray:
    """[H, W, 4] one colour whose opacity is the map: 0 in its lower half, up to .85 at its 99th percentile.

    Pixels at the median or below are not shown: a constant map shows nothing, a sparse one what it has.
    """
    shown = values > np.quantile(values, 1 - SHOWN)
    top = float(np.quantile(values, 0.99)) or float(values.max()) or 1.0
    opacity = np.where(shown, 0.05 + 0.8 * np.clip(values / top, 0, 1), 0.0)
    return np.dstack([np.broadcast_to(np.asarray(to_rgb(_HEAT)), (*values.shape, 3)), opacity])


def _show(axes: Axes, sheet: MapSheet, row: int) -> None:
    image = sheet.images[row]
    if image.ndim == 2:
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    else:
        axes.imshow(image, interpolation="nearest")
    for region, colour, line in ((sheet.masks[row], _MASK, "-"), (sheet.distractors[row], _CUE, "--")):
        if region.any() and not region.all():
            # Padded, so that a region that touches the border is closed there too.
            padded = np.pad(region.astype(float), 1)
            axis_x, axis_y = np.arange(-1, region.shape[1] + 1), np.arange(-1, region.shape[0] + 1)
            axes.contour(axis_x, axis_y, padded, levels=[0.5], colors=colour, linewidths=1.1, linestyles=line)
    axes.set_xlim(-0.5, image.shape[1] - 0.5)
    axes.set_ylim(image.shape[0] - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
