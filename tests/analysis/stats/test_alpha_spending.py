"""The level of each look."""

import numpy as np
import pytest
from scipy import stats

from analysis.stats.alpha_spending import nominal_level, spent


def test_the_boundaries_are_the_published_ones():
    # Five equal looks, two-sided 0.05: Lan & DeMets' O'Brien-Fleming type, as in Jennison & Turnbull (2000).
    for look, published in enumerate((4.877, 3.357, 2.680, 2.290, 2.031), start=1):
        level = nominal_level(tuple(i / 5 for i in range(1, look + 1)))
        assert stats.norm.isf(level / 2) == pytest.approx(published, abs=6e-4)


@pytest.mark.parametrize("alpha", [0.05, 0.0125])
def test_a_single_look_at_the_whole_has_the_whole_level(alpha):
    assert nominal_level((1.0,), alpha) == pytest.approx(alpha, rel=1e-9)
    assert spent(1.0, alpha) == pytest.approx(alpha)


def test_unequal_looks_together_err_at_the_level():
    shares = (0.3, 0.4, 0.75, 1.0)
    steps = np.sqrt(np.diff((0.0, *shares)))
    sums = np.cumsum(np.random.default_rng(0).normal(size=(400_000, 4)) * steps, axis=1)
    bounds = [stats.norm.isf(nominal_level(shares[: i + 1]) / 2) for i in range(4)]
    rejected = (np.abs(sums) / np.sqrt(shares) > bounds).any(axis=1).mean()
    assert rejected == pytest.approx(0.05, abs=0.0014)
