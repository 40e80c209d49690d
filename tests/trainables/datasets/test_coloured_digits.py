"""Coloured digits against the raw MNIST pixels and Python's own colour arithmetic."""

import colorsys

import numpy as np
import pytest
from support.read_cues import coloured_digits

from trainables.datasets.mnist import ColouredDigits, colours


@pytest.mark.parametrize("classes", [2, 10])
def test_hues_stand_evenly_and_are_equally_bright(classes):
    result = colours(classes)
    np.testing.assert_allclose(result.mean(axis=1), 0.5)
    assert result.min() >= 0
    assert result.max() <= 1
    hues = [colorsys.rgb_to_hsv(*colour)[0] for colour in result]
    # The hexagon of HSV bends a circle's angles by less than a fiftieth of a turn.
    assert np.abs(np.array(hues) - np.arange(classes) / classes).max() < 0.02


@pytest.fixture(scope="module")
def split():
    return ColouredDigits(ColouredDigits.Options(classes=10), severity=0.5, data_seed=1).splits()["test_ood"]


def test_a_grey_copy_is_half_the_digit_and_tells_nothing(split, raw):
    pixels, digits = raw
    source = {np.where(image > 1, image, 0).astype(np.uint8).tobytes(): i for i, image in enumerate(pixels)}
    grey = np.rint(split.images.numpy().mean(axis=1) * 2 * 255).astype(np.uint8)
    np.testing.assert_array_equal(digits[[source[image.tobytes()] for image in grey]], split.labels)
    np.testing.assert_array_equal(grey > 1, split.masks[:, 0])


def test_ten_cues_are_ten_colours(split):
    np.testing.assert_array_equal(coloured_digits(split, 10), split.cues)
    assert np.bincount(split.cues).min() > 100
