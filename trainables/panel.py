"""A picture of a trial's attribution maps that people can look at."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_erosion

from records.columns import SCORED_SPLITS

IMAGES = 2
"""Shown of each test split."""
TILE, GAP = 140, 8
"""Side of an image, and space between two, in pixels of the picture."""
OUTLINES = {"masks": (0.0, 0.62, 0.45), "distractors": (0.9, 0.62, 0.0)}
"""Green and orange of a palette that the colour-blind can tell apart."""
OPACITY = 0.75


def saliency_panel(arrays: Mapping[str, np.ndarray], attributions: Sequence[str], title: str) -> bytes:
    """PNG bytes: a row for each image and test split, a column for the image and for each attribution.

    The mask is outlined in green, the distractor in orange; maps show their highest half of pixels over the image.

    Args:
        arrays: as in `Localised.arrays`.
        attributions: their names, in column order.
        title: one line above the panel.
    """
    rows = [(split, i) for i in range(min(IMAGES, len(arrays["labels"]))) for split in SCORED_SPLITS]
    columns = ["image", *attributions]
    tiles = [[tile(arrays, split, i, column) for column in columns] for split, i in rows]
    labels = [f"{split}\nclass {arrays['labels'][i]}" for split, i in rows]
    return labelled_grid(tiles, labels, [column.replace("_", " ") for column in columns], title)


def labelled_grid(
    tiles: Sequence[Sequence[Float[np.ndarray, "tile tile 3"]]],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
) -> bytes:
    """PNG bytes of equally many tiles in each row, with the names of rows and columns beside and above them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Drawn as one image: an axes for each tile would take longer than a short trial's training.
    picture = _grid(tiles) if tiles else np.ones((TILE, TILE * len(columns), 3))
    height, width = picture.shape[:2]
    figure = Figure(figsize=((width + 90) / 100, (height + 70) / 100))
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=9)
    axes = figure.add_axes((80 / (width + 90), 5 / (height + 70), width / (width + 90), height / (height + 70)))
    axes.imshow(picture)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    middle, step = (TILE - 1) / 2, TILE + GAP
    axes.set_xticks([middle + step * n for n in range(len(columns))], columns, fontsize=8)
    axes.set_yticks([middle + step * n for n in range(len(rows))], rows, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


def tile(arrays: Mapping[str, np.ndarray], split: str, i: int, column: str) -> Float[np.ndarray, "tile tile 3"]:
    """Image i in grey, under the map of an attribution unless `column` is "image", with both outlines."""
    from matplotlib import colormaps

    grey = arrays[f"{split}.images"][i].astype(np.float32).mean(axis=0).clip(0, 1)
    colours = np.repeat(grey[:, :, None], 3, axis=2)
    if column != "image":
        values = arrays[f"{split}.map.{column}"][i].astype(np.float32)
        shown = (values > np.median(values)) & (values > 0)
        if shown.any():
            low, high = values[shown].min(), values[shown].max()
            heat = colormaps["magma"]((values - low) / max(high - low, 1e-12))[:, :, :3]
            colours = np.where(shown[:, :, None], OPACITY * heat + (1 - OPACITY) * colours, colours)
    colours = _enlarged(colours)
    for kind, colour in OUTLINES.items():
        region: Bool[np.ndarray, "height width"] = _enlarged(arrays[f"{split}.{kind}"][i])
        colours[region & ~binary_erosion(region, iterations=2)] = colour
    return colours


def _enlarged(image: np.ndarray) -> np.ndarray:
    """Nearest neighbour, to TILE x TILE."""
    rows, columns = (np.arange(TILE) * side // TILE for side in image.shape[:2])
    return image[rows[:, None], columns]


def _grid(tiles: Sequence[Sequence[np.ndarray]]) -> Float[np.ndarray, "height width 3"]:
    """The tiles in rows and columns, on white."""
    step = TILE + GAP
    grid = np.ones((len(tiles) * step - GAP, len(tiles[0]) * step - GAP, 3))
    for r, row in enumerate(tiles):
        for c, tile in enumerate(row):
            grid[r * step : r * step + TILE, c * step : c * step + TILE] = tile
    return grid
