"""Digits on photos against the files that the packages ship."""

from importlib.resources import files

import numpy as np
import pytest
from PIL import Image
from support.read_cues import run_hashes

from trainables.core.streams import numpy_stream
from trainables.datasets.digits_on_photos import (
    FAMILIES,
    DigitsOnPhotos,
    DigitsOnPhotosOptions,
    deal_tiles,
    photograph,
    tiles,
)

SHIPPED = {
    "grass": ("skimage", "data/grass.png"),
    "brick": ("skimage", "data/brick.png"),
    "gravel": ("skimage", "data/gravel.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
}
SIDE = 40


@pytest.fixture(scope="module")
def splits():
    return DigitsOnPhotos(DigitsOnPhotosOptions(image_size=SIDE), severity=0.5, data_seed=3).splits()


@pytest.mark.parametrize("name", [name for names in FAMILIES.values() for name in names])
def test_photographs_are_those_of_the_installed_packages(name):
    package, path = SHIPPED[name]
    with files(package).joinpath(path).open("rb") as file:
        grey = np.asarray(Image.open(file).convert("L")).astype(int)
    # Pillow rounds its luma in fixed point.
    assert np.abs(photograph(name).astype(int) - grey).max() <= 1


def test_each_tile_goes_to_one_part():
    dealt = deal_tiles(np.random.default_rng(0))
    counts = {part: [len(family) for family in families] for part, families in dealt.items()}
    # 64 tiles of the square photographs, 60 of the flower: two, one and two fifths of each.
    assert counts == {"train": [25 + 24, 50], "valid": [13 + 12, 26], "test": [26 + 24, 52]}
    for family, names in enumerate(FAMILIES.values()):
        dealt_tiles = [tile.tobytes() for part in dealt.values() for tile in part[family]]
        assert sorted(dealt_tiles) == sorted(tile.tobytes() for name in names for tile in tiles(name))
        assert len(set(dealt_tiles)) == len(dealt_tiles)


def test_no_background_of_train_is_in_valid_or_test(splits):
    dealt = deal_tiles(numpy_stream("photos tiles", 3))
    runs = {
        part: np.concatenate([run_hashes(tile, SIDE).ravel() for family in families for tile in family])
        for part, families in dealt.items()
    }
    for name, part in (("train", "train"), ("valid_id", "valid"), ("test_id", "test"), ("test_ood", "test")):
        grey = np.rint(splits[name].images[:, 0].numpy() * 255).astype(np.uint8)
        row = run_hashes(grey[:, 0], SIDE)[:, 0]
        seen = ~splits[name].masks[:, 0, 0].numpy().any(axis=1)
        assert seen.mean() > 0.95
        for other, hashes in runs.items():
            assert np.isin(row[seen], hashes).mean() == (1 if other == part else 0), (name, other)


def test_inside_the_mask_is_the_digit_itself(splits, raw):
    pixels, digits = raw
    bare = {image.astype(np.uint8)[image > 1].tobytes(): digit for image, digit in zip(pixels, digits, strict=True)}
    split = splits["test_ood"]
    images, masks = np.rint(split.images[:, 0].numpy() * 255).astype(np.uint8), split.masks[:, 0].numpy()
    sources = [bare[image[mask].tobytes()] for image, mask in zip(images, masks, strict=True)]
    np.testing.assert_array_equal(np.array(sources) % 2, split.labels)
