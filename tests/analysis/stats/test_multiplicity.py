"""Benjamini-Hochberg and Holm's levels by hand; undefined p-values take no part."""

import numpy as np
import pytest

from analysis.stats.multiplicity import adjust, holm_levels


def test_benjamini_hochberg_by_hand():
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


def test_holms_levels_reject_what_adjusted_p_values_do():
    # Holm's adjusted p is the running maximum of (m − i + 1) p in ascending order.
    rng = np.random.default_rng(0)
    for _ in range(200):
        p_values = rng.beta(0.4, 3, size=rng.integers(1, 7))
        order = np.argsort(p_values)
        adjusted = np.empty(len(p_values))
        adjusted[order] = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
        levels = holm_levels(p_values.tolist(), 0.05)
        assert [p <= level for p, level in zip(p_values, levels, strict=True)] == (adjusted <= 0.05).tolist()


def test_holms_levels_by_hand():
    # .03 is above .05 / 3, so it and what comes after it are tested at that level.
    assert holm_levels([0.5, 0.001, 0.03, 0.04]) == pytest.approx([0.05 / 3, 0.05 / 4, 0.05 / 3, 0.05 / 3])
    assert holm_levels([0.001, 0.002, 0.003]) == pytest.approx([0.05 / 3, 0.05 / 2, 0.05])
    assert holm_levels([0.2]) == [0.05]
    assert holm_levels([]) == []
