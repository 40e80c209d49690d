"""tau-b without each cluster, against scipy on the trials that are left."""

import numpy as np
import pytest
from scipy import stats

from analysis.stats.deleted_kendall import deleted_kendall


@pytest.mark.parametrize(("n", "clusters"), [(30, 30), (48, 8), (300, 7)])
@pytest.mark.parametrize("decimals", [9, 0])  # without and with ties
def test_it_is_scipys_tau_of_the_rest(n, clusters, decimals):
    rng = np.random.default_rng(n)
    cluster = rng.permutation(np.arange(n) % clusters)
    x = rng.normal(size=n).round(decimals)
    y = (x + rng.normal(size=n)).round(decimals)
    expected = [stats.kendalltau(x[cluster != g], y[cluster != g]).statistic for g in range(clusters)]
    np.testing.assert_allclose(deleted_kendall(x, y, cluster, clusters), expected, atol=1e-12)


def test_what_is_left_may_be_constant_or_too_little():
    x, y = np.array([1.0, 1, 1, 1, 1, 2]), np.arange(6.0)
    found = deleted_kendall(x, y, np.arange(6), 6)
    assert np.isnan(found[5])
    assert np.isfinite(found[:5]).all()
    assert np.isnan(deleted_kendall(y, y, np.array([0, 0, 1, 1, 2, 2]), 3)).all()  # four trials are left
