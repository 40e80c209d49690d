"""Correlations of reweighted samples against scipy on tables that are really built."""

import numpy as np
import pytest
from scipy import stats

from analysis.stats import reweighted
from analysis.stats.reweighted import deleted_kendall, weighted_spearman


def trials(n, decimals, columns=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(columns, n)).round(decimals)
    return x, (x[0] + rng.normal(size=n)).round(decimals), rng


@pytest.mark.parametrize("decimals", [9, 0])  # without and with ties
@pytest.mark.parametrize(("precision", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_rho_is_scipys_of_the_expanded_table(decimals, precision, tolerance):
    x, y, rng = trials(60, decimals)
    sample, cluster = np.sort(rng.integers(0, 3, 60)), rng.integers(0, 11, 60)
    weights = rng.multinomial(11, np.full(11, 1 / 11), size=40).astype(precision)
    rho, sizes = weighted_spearman(x, y, sample, cluster, weights)
    assert rho.shape == (3, 3, 40)
    for column in range(3):
        for s in range(3):
            rows = np.flatnonzero(sample == s)
            for replicate in range(40):
                drawn = np.repeat(rows, weights[replicate, cluster[rows]].astype(int))
                assert sizes[s, replicate] == len(drawn)
                expected = stats.spearmanr(x[column, drawn], y[drawn]).statistic if len(drawn) > 3 else np.nan
                assert rho[column, s, replicate] == pytest.approx(expected, abs=tolerance, nan_ok=True)


def test_samples_may_come_in_any_order():
    x, y, rng = trials(50, 1)
    sample, cluster = np.arange(50) % 4, np.arange(50) % 7
    weights = rng.integers(0, 3, size=(5, 7)).astype(float)
    order = rng.permutation(50)
    np.testing.assert_allclose(
        weighted_spearman(x, y, sample, cluster, weights)[0],
        weighted_spearman(x[:, order], y[order], sample[order], cluster[order], weights)[0],
    )


def test_blocks_pieces_and_strides_do_not_change_the_result(monkeypatch):
    x, y, rng = trials(70, 1)
    sample, cluster = np.zeros(70, dtype=int), np.arange(70) % 20
    weights = rng.integers(0, 4, size=(50, 20)).astype(float)
    whole = weighted_spearman(x, y, sample, cluster, weights)[0]
    for name, value in {"_BLOCK": 70, "_FEWEST": 3, "_PIECE": 11, "_STRIDE": 8}.items():
        monkeypatch.setattr(reweighted, name, value)
    np.testing.assert_allclose(weighted_spearman(x, y, sample, cluster, weights)[0], whole)


def test_constant_columns_and_too_few_copies_are_undefined():
    x = np.array([[1.0, 2, 3, 4, 5], [1.0, 1, 1, 1, 1]])
    y = np.array([2.0, 1, 4, 3, 5])
    sample, cluster = np.zeros(5, dtype=int), np.arange(5)
    weights = np.array([[1.0, 1, 1, 1, 1], [1, 1, 1, 0, 0], [4, 0, 0, 0, 0], [2, 2, 0, 0, 0]], dtype=np.float32)
    rho, sizes = weighted_spearman(x, y, sample, cluster, weights)
    assert sizes.tolist() == [[5, 3, 4, 4]]
    assert rho[0, 0, 0] == pytest.approx(stats.spearmanr(x[0], y).statistic)
    assert np.isnan(rho[0, 0, 1:3]).all()  # three copies; copies of one trial
    assert rho[0, 0, 3] == pytest.approx(-1)
    assert np.isnan(rho[1]).all()


def test_single_precision_holds_on_a_large_sample():
    rng = np.random.default_rng(1)
    y = rng.normal(size=20_000)
    x = (y + 20 * rng.normal(size=20_000))[None]
    cluster = np.arange(20_000) % 100
    weights = rng.multinomial(100, np.full(100, 0.01), size=3)
    exact, single = (
        weighted_spearman(x, y, np.zeros(20_000, dtype=int), cluster, weights.astype(t))[0]
        for t in (np.float64, np.float32)
    )
    np.testing.assert_allclose(single, exact, atol=2e-6)


def test_ties_do_not_reach_into_the_next_sample():
    x = np.array([[0.0, 1, 0, 1, 1, 2, 1, 2, 1]])
    y = np.array([0.0, 1, 1, 2, 2, 3, 3, 4, 2])
    sample, cluster = np.array([0] * 4 + [1] * 5), np.arange(9)
    rho, _ = weighted_spearman(x, y, sample, cluster, np.ones((1, 9)))
    expected = [stats.spearmanr(x[0, sample == s], y[sample == s]).statistic for s in (0, 1)]
    np.testing.assert_allclose(rho[0, :, 0], expected)


@pytest.mark.parametrize(("n", "clusters"), [(30, 30), (48, 8), (300, 7)])
@pytest.mark.parametrize("decimals", [9, 0])  # without and with ties
def test_tau_without_a_cluster_is_scipys_of_the_rest(n, clusters, decimals):
    rng = np.random.default_rng(n)
    cluster = rng.permutation(np.arange(n) % clusters)
    x = rng.normal(size=n).round(decimals)
    y = (x + rng.normal(size=n)).round(decimals)
    expected = [stats.kendalltau(x[cluster != g], y[cluster != g]).statistic for g in range(clusters)]
    np.testing.assert_allclose(deleted_kendall(x, y, cluster, clusters), expected, atol=1e-12)


def test_tau_is_undefined_where_the_rest_is_constant_or_too_small():
    x, y = np.array([1.0, 1, 1, 1, 1, 2]), np.arange(6.0)
    tau = deleted_kendall(x, y, np.arange(6), 6)
    assert np.isnan(tau[5])
    assert np.isfinite(tau[:5]).all()
    assert np.isnan(deleted_kendall(y, y, np.array([0, 0, 1, 1, 2, 2]), 3)).all()  # four trials remain
