"""Sizes and draws of resampled splits against exhaustive search and counting."""

import numpy as np
import pytest

from trainables.datasets.dataset import agreement
from trainables.datasets.own.sampling import cell_counts, draw, largest


@pytest.mark.parametrize("classes", [2, 3])
def test_the_largest_size_is_that_of_exhaustive_search(classes):
    rng = np.random.default_rng(classes)
    for _ in range(5):
        cells = rng.integers(0, 30, (classes, classes))
        for severity, kinds in ((1.0, (False, True)), (0.8, (False,)), (0.5, (False, True))):
            severities = np.linspace(0, severity, 11)
            fits = [
                size
                for size in range(0, 91, classes)
                if all(
                    (cell_counts(size, classes, agreement(float(s), classes, ood)) <= cells).all()
                    for s in severities
                    for ood in kinds
                )
            ]
            ends = [agreement(s, classes, ood) for s in (0.0, severity) for ood in kinds]
            assert largest(cells, ends, multiple=classes) == max(fits)


def test_counts_by_hand():
    np.testing.assert_array_equal(cell_counts(10, 2, 0.9), [[9, 1], [1, 9]])
    np.testing.assert_array_equal(cell_counts(9, 3, 1 / 3), np.full((3, 3), 3))
    np.testing.assert_array_equal(cell_counts(9, 3, 0.0), [[0, 5, 4], [4, 0, 5], [5, 4, 0]])


def test_a_draw_takes_the_first_of_each_cell():
    members = np.array([7, 3, 5, 1, 9, 2])
    labels, cues = np.array([0, 1, 0, 1, 0, 1]), np.array([0, 1, 0, 0, 1, 1])
    np.testing.assert_array_equal(draw(members, labels, cues, np.array([[1, 1], [1, 1]])), [7, 3, 1, 9])
    np.testing.assert_array_equal(draw(members, labels, cues, np.array([[2, 0], [0, 2]])), [7, 3, 5, 2])
