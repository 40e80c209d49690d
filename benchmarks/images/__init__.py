"""Memory of trials on many images, and how fast images come from disk to the model.

Images are JPEG files of colour noise in a temporary folder, each with a box as its mask. Each process has one
thread.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from trainables import METHODS

SEVERITY, BATCH = 0.5, 16


def make_folder(folder: Path, n: int, side: int) -> None:
    """n JPEG files of `side` x `side` pixels, in four cells of label and group."""
    (folder / "images").mkdir(parents=True)
    rng, rows = np.random.default_rng(0), []
    for i in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"images/{i}.jpg", quality=90)
        cell = {"label": ("normal", "sick")[i % 2], "group": ("left", "right")[i // 2 % 2]}
        rows.append({"image": f"{i}.jpg", **cell, "boxes": f"{side // 4} {side // 4} {side // 3} {side // 3}"})
    pd.DataFrame(rows).to_csv(folder / "table.csv", index=False)


def settings(folder: Path, side: int, model: str, method: str) -> dict[str, Any]:
    """Of a trial of one epoch on these images."""
    return {
        **{"dataset": f"folder:{folder}", "severity": SEVERITY, "image_size": side, "channels": 3, "model": model},
        **{"valid_fraction": 0.1, "test_fraction": 0.1, "epochs": 1, "batch_size": BATCH, "attribution_images": 20},
        **{"method": method, "strength": float(METHODS[method].has_penalty), "attributions": ["input_gradient"]},
    }
