"""Pictures of images, masks and attribution maps, as a labelled grid."""

import io
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

from records import columns as names
from records.store import Record

TILE, LARGEST_TILE, GAP = 140, 256, 8
"""Least and greatest side of a tile, and space between tiles, in pixels."""
LEFT, TOP = 82, 48
"""Margins for the names of rows and columns, in pixels."""
OUTLINES = {"masks": (0, 158, 115), "distractors": (230, 158, 0)}
"""Green and orange of a palette that is safe for colour-blind readers."""
OPACITY = 0.75
PANEL_IMAGES = 2
"""Images of each test split in the picture of the maps."""


def picture_of(record: Record, arrays: Mapping[str, np.ndarray]) -> bytes:
    """PNG bytes of a trial's maps, titled with its settings and OOD AUC; `arrays` as in maps.npz."""
    attributions = record[names.hyperparameter("attributions")].split()
    auc = record[names.performance("test_ood", "auc")]
    title = (
        f"{record['dataset']}, severity {record['severity']:g}, {record['method']} {record['strength']:g}, OOD AUC "
        f"{'undefined' if auc is None or math.isnan(auc) else f'{auc:.3f}'}"
    )
    return saliency_panel(arrays, attributions, title)


def saliency_panel(arrays: Mapping[str, np.ndarray], attributions: Sequence[str], title: str) -> bytes:
    """PNG bytes: a row for each image and test split, a column for the image and for each attribution.

    The mask is outlined in green, the distractor in orange. `arrays` are as in `Localised.arrays`.
    """
    rows = [
        (split, i) for i in range(PANEL_IMAGES) for split in names.SCORED_SPLITS if i < len(arrays[f"{split}.images"])
    ]
    classes = {split: arrays.get(f"{split}.scored.labels", arrays["labels"]) for split in names.SCORED_SPLITS}
    shown = ["image", *attributions]
    tiles = [[tile(arrays, split, i, name) for name in shown] for split, i in rows]
    labels = [f"{split}\nclass {classes[split][i]}" for split, i in rows]
    return labelled_grid(tiles, labels, [name.replace("_", " ") for name in shown], title)


def labelled_grid(
    tiles: Sequence[Sequence[UInt8[np.ndarray, "tile tile 3"]]],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
) -> bytes:
    """PNG bytes of rows of equally many tiles, with the names of rows and columns beside and above them."""
    side = len(tiles[0][0]) if tiles else TILE
    step, font, large = side + GAP, _font(11), _font(13)
    width = max(LEFT + step * len(columns), math.ceil(large.getlength(title)) + 2 * GAP)
    canvas = Image.new("RGB", (width, TOP + step * max(len(tiles), 1)), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((width / 2, 6), title, "black", large, anchor="ma")
    for c, name in enumerate(columns):
        draw.text((LEFT + side / 2 + c * step, TOP - 6), name, "black", font, anchor="ms")
    for r, name in enumerate(rows):
        draw.text((LEFT - 6, TOP + side / 2 + r * step), name, "black", font, anchor="rm", align="right")
        for c, pixels in enumerate(tiles[r]):
            canvas.paste(Image.fromarray(pixels), (LEFT + c * step, TOP + r * step))
    buffer = io.BytesIO()
    canvas.save(buffer, format="png")
    return buffer.getvalue()


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """A font that comes with matplotlib, so that every machine has it."""
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def tile(arrays: Mapping[str, np.ndarray], split: str, i: int, column: str) -> UInt8[np.ndarray, "tile tile 3"]:
    """Image i with its mask and distractor outlined; `column` is "image" or an attribution to overlay.

    A map shows the higher half of its pixels, over the image in grey, so that all colours are the map's. Every pixel of
    an image covers as many pixels of the tile, unless the image is larger than `LARGEST_TILE`.
    """
    from matplotlib import colormaps  # slow to import, and most processes draw nothing

    image = arrays[f"{split}.images"][i].astype(np.float32).clip(0, 1)
    in_colour = column == "image" and len(image) == 3
    colours = np.moveaxis(image if in_colour else np.repeat(image.mean(axis=0, keepdims=True), 3, axis=0), 0, 2)
    if column != "image":
        values = arrays[f"{split}.map.{column}"][i].astype(np.float32)
        shown = (values > np.median(values)) & (values > 0)
        if shown.any():
            low, high = values[shown].min(), values[shown].max()
            heat = colormaps["magma"]((values - low) / max(high - low, 1e-12))[:, :, :3]
            colours = np.where(shown[:, :, None], OPACITY * heat + (1 - OPACITY) * colours, colours)
    colours = _enlarged((255 * colours).round().astype(np.uint8))
    for kind, colour in OUTLINES.items():
        region: Bool[np.ndarray, "height width"] = _enlarged(arrays[f"{split}.{kind}"][i])
        colours[region & ~binary_erosion(region, iterations=2)] = colour
    return colours


def _enlarged(image: np.ndarray) -> np.ndarray:
    """The image enlarged by a whole number to at least TILE pixels a side; a large one averaged to LARGEST_TILE."""
    longer = max(image.shape[:2])
    side = min(longer * math.ceil(TILE / longer), LARGEST_TILE)
    return np.array(Image.fromarray(image).resize((side, side), Image.Resampling.BOX))
