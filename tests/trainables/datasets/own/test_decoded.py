"""Stored pixels: 8 bits where nothing is lost, and the same numbers as 16 bits give."""

import numpy as np
import pytest
import torch
from support import own_images

from trainables import resolve
from trainables.datasets import find_dataset
from trainables.datasets.mapped import mapped_array, unit_images
from trainables.datasets.own import decoded as store

RNG = np.random.default_rng(0)


def opened(folder, images, **options):
    """A dataset of these images, every third one without a mask."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rows = []
    for i, image in enumerate(images):
        group, label = own_images.CELLS[i % 4]
        (folder / f"images/{i}.png").write_bytes(own_images.png_bytes(image))
        if i % 3:
            mask = np.zeros(image.shape[:2], np.uint8)
            mask[: len(mask) // 2] = 255
            (folder / f"masks/{i}.png").write_bytes(own_images.png_bytes(mask))
        rows.append({"image": f"{i}.png", "label": label, "group": group})
    own_images.write_csv(folder / "table.csv", rows)
    config = resolve({"dataset": f"folder:{folder}", **options})
    dataset = find_dataset(config.dataset)
    return dataset(dataset.Options(**config.dataset_options), 0.5, 0)


def in_16_bits(images) -> np.ndarray:
    """Values in [0, 1] by way of 16 bits, whatever is stored."""
    values = np.stack(images)[:, None] / np.iinfo(images[0].dtype).max
    return np.rint(values.astype(np.float32) * 65535).astype(np.uint16).astype(np.float32) / np.float32(65535)


@pytest.mark.parametrize(("kind", "top"), [(np.uint8, 256), (np.uint16, 65536)])
def test_pixels_are_exact_and_take_the_bits_of_their_files(kind, top, tmp_path):
    images = [RNG.integers(0, top, (16, 16), dtype=kind) for _ in range(32)]
    images[0][:] = np.arange(256).reshape(16, 16)
    decoded = opened(tmp_path / "set", images).decoded()
    assert decoded.pixels.dtype == kind
    np.testing.assert_array_equal(decoded.pixels[:, 0], np.stack(images))
    values = unit_images(mapped_array(decoded.pixels))[:]
    assert values.dtype == torch.float32
    np.testing.assert_array_equal(values, in_16_bits(images))


def test_one_image_of_16_bits_or_resizing_makes_16(tmp_path):
    images = [RNG.integers(0, 256, (16, 16), dtype=np.uint8) for _ in range(32)]
    resized = opened(tmp_path / "resized", images, image_size=12).decoded()
    assert resized.pixels.dtype == np.uint16
    mixed = [*images[:31], RNG.integers(0, 65536, (16, 16), dtype=np.uint16)]
    decoded = opened(tmp_path / "mixed", mixed).decoded()
    assert decoded.pixels.dtype == np.uint16
    np.testing.assert_array_equal(unit_images(mapped_array(decoded.pixels))[:31], in_16_bits(images[:31]))


def test_rows_say_whether_they_have_a_mask(tmp_path):
    images = [RNG.integers(0, 256, (16, 16), dtype=np.uint8) for _ in range(32)]
    decoded = opened(tmp_path / "set", images).decoded()
    np.testing.assert_array_equal(decoded.masked, decoded.masks.any(axis=(1, 2)))
    np.testing.assert_array_equal(decoded.masked, np.arange(32) % 3 > 0)


def test_8_and_16_bits_are_the_same_numbers():
    values = np.arange(256)
    wide = (values * store.STEP).astype(np.float32) / np.float32(store.WHITE)
    np.testing.assert_array_equal(values.astype(np.float32) / np.float32(255), wide)
    np.testing.assert_array_equal(np.rint((values / 255).astype(np.float32) * store.WHITE), values * store.STEP)


def test_nothing_but_whole_arrays_is_left(tmp_path):
    dataset = opened(tmp_path / "set", [RNG.integers(0, 256, (16, 16), dtype=np.uint8) for _ in range(32)])
    dataset.decoded()
    (folder,) = dataset.decoded_folders()
    names = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert set(names) == {"pixels.npy", "masks.npy", "rows.json", "stored.json", "decoding.json"}
    assert names["pixels.npy"] - 32 * 16 * 16 in range(64, 256)
