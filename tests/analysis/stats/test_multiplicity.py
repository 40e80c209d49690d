"""Benjamini-Hochberg by hand; undefined p-values take no part."""

import pytest

from analysis.stats.multiplicity import adjust


def test_by_hand():
    # Sorted .01, .02, .03, .5: times 4/1, 4/2, 4/3, 4/4, then the running minimum from the largest down.
    assert adjust([0.02, None, 0.01, 0.5, 0.03]) == [
        pytest.approx(0.04),
        None,
        pytest.approx(0.04),
        pytest.approx(0.5),
        pytest.approx(0.04),
    ]


def test_nothing_to_adjust():
    assert adjust([]) == []
    assert adjust([None, None]) == [None, None]
