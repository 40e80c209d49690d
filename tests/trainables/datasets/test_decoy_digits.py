"""Decoy digits against the raw MNIST pixels: patch, shade, mask, and disjoint train, valid and test."""

import numpy as np
import pytest
import torch

from records.columns import SPLITS
from trainables import resolve
from trainables.core.config import settings_of
from trainables.datasets import DATASETS, load
from trainables.datasets.mnist import DecoyDigits

CORNERS = {0: (slice(0, 4), slice(0, 4)), 1: (slice(0, 4), slice(24, 28))}
CORNERS |= {2: (slice(24, 28), slice(0, 4)), 3: (slice(24, 28), slice(24, 28))}


@pytest.fixture(scope="module", params=[2, 10])
def classes(request) -> int:
    return request.param


@pytest.fixture(scope="module")
def splits(classes):
    return DecoyDigits(DecoyDigits.Options(classes=classes), severity=0.5, data_seed=2).splits()


def interiors(images: np.ndarray) -> list[bytes]:
    """Each image's grey values 0-255 without the four corners, where no patch can be."""
    grey = np.rint(images * 255).astype(np.uint8)
    for corner in CORNERS.values():
        grey[:, *corner] = 0
    return [image.tobytes() for image in grey]


@pytest.fixture(scope="module")
def index_of(raw) -> dict[bytes, int]:
    result = {interior: i for i, interior in enumerate(interiors(raw[0] / 255))}
    assert len(result) == 5000, "no two digits have the same interior"
    return result


@pytest.mark.slow
def test_images_are_real_digits_with_a_patch_of_the_cues_shade(splits, classes, raw, index_of):
    pixels, digits = raw
    shade = {2: {0: 255, 1: 30}, 10: {d: 255 - 25 * d for d in range(10)}}[classes]
    corners_used = set()
    for name, split in splits.items():
        images = split.images[:, 0].numpy()
        for i, interior in enumerate(interiors(images)):
            source = index_of[interior]
            assert split.labels[i] == digits[source] % classes
            patch = split.distractors[i, 0].numpy()
            (corner,) = (k for k, c in CORNERS.items() if patch[c].all())
            assert patch.sum() == 16, name
            corners_used.add(corner)
            expected = pixels[source].copy()
            expected[patch] = shade[int(split.cues[i])]
            np.testing.assert_array_equal(np.rint(images[i] * 255), expected)
            np.testing.assert_allclose(images[i], expected / 255, atol=1e-7)
            np.testing.assert_array_equal(split.masks[i, 0].numpy(), (pixels[source] > 1) & ~patch)
    assert corners_used == {0, 1, 2, 3}


@pytest.mark.parametrize("name", ["decoy_digits", "coloured_digits", "digits_on_photos"])
def test_fewer_training_images_are_balanced_and_leave_valid_and_test_unchanged(name):
    dataset = DATASETS[name]
    whole, fewer = (load(dataset, dataset.Options(n_train=n), 0.8, 1) for n in (2000, 100))
    assert fewer["train"].labels.bincount().tolist() == [50, 50]
    shown = {mask.numpy().tobytes() for mask in whole["train"].masks.flatten(1)}
    if name != "digits_on_photos":  # which also places digits at random
        assert all(mask.numpy().tobytes() in shown for mask in fewer["train"].masks.flatten(1))
    assert all(torch.equal(whole[part].images, fewer[part].images) for part in SPLITS if part != "train")


def test_the_number_of_training_images_is_in_the_key_unless_it_is_the_default():
    whole, fewer = (resolve({"dataset": "decoy_digits", "n_train": n}) for n in (2000, 100))
    assert whole.trial_key == resolve({"dataset": "decoy_digits"}).trial_key != fewer.trial_key
    assert fewer.columns()["hp.n_train"] == 100
    assert "hp.n_train" not in whole.columns()
    assert resolve(settings_of(fewer.columns())) == fewer
