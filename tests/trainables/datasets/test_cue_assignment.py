"""Agreement of cue and label, counted; sizes and draws of resampled splits against exhaustive search."""

import numpy as np
import pytest

from trainables.datasets.dataset import agreement, assign_cues
from trainables.datasets.own.sampling import cell_counts, largest


@pytest.mark.parametrize(
    ("severity", "two_id", "two_ood", "ten_id", "ten_ood"),
    [
        (0.0, 0.5, 0.5, 0.1, 0.1),
        (0.25, 0.625, 0.375, 0.325, 0.075),
        (0.8, 0.9, 0.1, 0.82, 0.02),
        (1.0, 1.0, 0.0, 1.0, 0.0),
    ],
)
def test_agreement_worked_by_hand(severity, two_id, two_ood, ten_id, ten_ood):
    result = [agreement(severity, k, ood) for k in (2, 10) for ood in (False, True)]
    np.testing.assert_allclose(result, [two_id, two_ood, ten_id, ten_ood], atol=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("probability", [0.0, 0.1, 0.45, 0.9, 1.0])
def test_exact_counts_in_each_class(classes, probability):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(classes), 180))
    cues = assign_cues(labels, classes, probability, np.random.default_rng(1))
    table = np.bincount(labels * classes + cues, minlength=classes**2).reshape(classes, classes)
    agreeing = {0.0: 0, 0.1: 18, 0.45: 81, 0.9: 162, 1.0: 180}[probability]
    assert np.diag(table).tolist() == [agreeing] * classes
    others = table[~np.eye(classes, dtype=bool)].reshape(classes, classes - 1)
    assert (others.max(axis=1) - others.min(axis=1) <= 1).all(), "dealt evenly over the other classes"


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
