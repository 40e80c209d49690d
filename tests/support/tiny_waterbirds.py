"""A folder with the layout of CUB-200-2011 and Places, and tiny images whose colours encode their content."""

from pathlib import Path

import numpy as np
from PIL import Image

SPECIES = ("001.Black_footed_Albatross", "085.Horned_Lark", "147.Least_Tern", "168.Western_Meadowlark")
WATER = (1, 0, 1, 0)
"""A Meadowlark is not a water bird, although its name contains "tern"."""
TRAINING, TEST = 8, 6
"""Images of each species."""
PLACES = ({"b/bamboo_forest": 20, "f/forest/broadleaf": 12}, {"o/ocean": 12, "l/lake/natural": 20})
"""Images in each folder of the land and of the water."""
BIRD_RED = 230


def make(root: Path) -> Path:
    """Birds are red squares on white, land is green and water blue; every place has its own shade."""
    rng = np.random.default_rng(0)
    cub = root / "CUB_200_2011"
    names, training = [], []
    for species in SPECIES:
        for number in range(TRAINING + TEST):
            name = f"{species}/{species[4:]}_{number:04d}.jpg"
            names.append(name)
            training.append(int(number < TRAINING))
            _bird(cub / "images" / name, (root / "segmentations" / name).with_suffix(".png"), rng)
    _list(cub / "images.txt", names)
    _list(cub / "train_test_split.txt", training)
    for channel, folders in enumerate(PLACES, start=1):
        paths = [
            root / "places365" / folder / f"{n:08d}.jpg" for folder, count in folders.items() for n in range(count)
        ]
        for shade, path in enumerate(paths):
            pixels = np.zeros((20, 24, 3))
            pixels[:, :, channel] = 245 - 3 * shade
            _write(pixels, path)
    return root


def _bird(path: Path, mask_path: Path, rng: np.random.Generator) -> None:
    height, width = (int(side) for side in rng.integers(24, 32, size=2))
    top, left = (int(rng.integers(0, side - 12)) for side in (height, width))
    pixels = np.full((height, width, 3), 255)
    pixels[top : top + 12, left : left + 12] = (BIRD_RED, int(rng.integers(60)), int(rng.integers(60)))
    votes = np.zeros((height, width))
    votes[top : top + 12, left : left + 12] = 255
    _write(pixels, path)
    _write(votes, mask_path)


def _write(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"quality": 100, "subsampling": 0} if path.suffix == ".jpg" else {}
    Image.fromarray(pixels.astype(np.uint8)).save(path, **options)


def _list(path: Path, values: list) -> None:
    path.write_text("".join(f"{number} {value}\n" for number, value in enumerate(values, start=1)))
