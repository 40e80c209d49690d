"""Cross-fitted correlations of averages: against a plain loop, noise-free data and simulated truth."""

import itertools

import numpy as np
import pytest
from scipy import stats

from analysis.stats.split_halves import split_halves


def test_without_noise_it_is_spearmans_of_the_means():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 7))
    result = split_halves(np.tile(x[:, None], 10), np.tile(y[:, None], 10), seed=0)
    rho = stats.spearmanr(x, y).statistic
    expected = {"rho": rho, "cross": rho, "reliability_x": 1, "reliability_y": 1, "covariance": np.cov(x, y)[0, 1]}
    expected |= {"variance_x": x.var(ddof=1), "variance_y": y.var(ddof=1)}
    for name, value in expected.items():
        assert getattr(result, name) == pytest.approx(np.full(11, value)), name


def test_what_a_cluster_does_to_all_units_alike_changes_nothing():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 6, 9))
    plain = split_halves(x, y, seed=0)
    moved = split_halves(x + 50 * rng.normal(size=9), y + 50 * rng.normal(size=9), seed=0)
    for name in ("cross", "reliability_x", "reliability_y", "covariance", "variance_x", "variance_y"):
        assert getattr(moved, name) == pytest.approx(getattr(plain, name)), name


def all_halves(x, y, without=None):
    """By a loop over every split of the clusters into halves, from which one cluster may then be removed: means of
    rho and covariance of x in one half with y in the other, and of rho of x with x."""
    clusters = range(x.shape[1])
    values = []
    for first in itertools.combinations(clusters, len(clusters) // 2):
        one = [g for g in clusters if g in first and g != without]
        other = [g for g in clusters if g not in first and g != without]
        of_x, again, of_y = x[:, one].mean(axis=1), x[:, other].mean(axis=1), y[:, other].mean(axis=1)
        values.append(
            (stats.spearmanr(of_x, of_y).statistic, np.cov(of_x, of_y)[0, 1], stats.spearmanr(of_x, again).statistic)
        )
    return np.mean(values, axis=0)


@pytest.mark.parametrize("without", [None, 0, 3])
def test_random_halves_average_to_all_halves(without):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 8, 1)) + 0.7 * rng.normal(size=(2, 8, 6))
    result = split_halves(x, y, seed=0, splits=800)
    entry = 0 if without is None else 1 + without
    # The 800 splits are draws of the 20 that there are, and each split counts in both directions.
    measured = result.cross[entry], result.covariance[entry], result.reliability_x[entry]
    assert measured == pytest.approx(all_halves(x, y, without), abs=0.015)


def test_without_a_cluster_its_values_do_not_matter():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 6, 8))
    before = split_halves(x, y, seed=0)
    x[:, 4] += 5 * rng.normal(size=6)
    y[:, 4] += 5 * rng.normal(size=6)
    after = split_halves(x, y, seed=0)
    assert after.cross[5] == pytest.approx(before.cross[5])
    assert after.covariance[5] == pytest.approx(before.covariance[5])
    assert (np.delete(after.cross, 5) != np.delete(before.cross, 5)).all()


def test_the_covariance_is_unbiased_where_the_naive_one_is_not():
    # Effects of units have covariance −.5; the noise of a cluster's trials correlates by .9 with the same sign.
    rng = np.random.default_rng(4)
    fitted, naive, variances = [], [], []
    for _ in range(250):
        effects = rng.multivariate_normal([0, 0], [[1, -0.5], [-0.5, 1]], size=5)
        noise = 2 * rng.multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], size=(5, 6))
        x, y = (effects[:, None, i] + noise[:, :, i] for i in (0, 1))
        result = split_halves(x, y, seed=0, splits=10)
        fitted.append(result.covariance[0])
        variances.append((result.variance_x[0], result.variance_y[0]))
        naive.append(np.cov(x.mean(axis=1), y.mean(axis=1))[0, 1])
    error = np.std(fitted) / 250**0.5
    assert abs(np.mean(fitted) + 0.5) < 3 * error
    assert np.mean(naive) == pytest.approx(-0.5 + 4 * 0.9 / 6, abs=3 * np.std(naive) / 250**0.5)
    assert abs(np.mean(naive) + 0.5) > 6 * error
    assert np.mean(variances, axis=0) == pytest.approx([1, 1], abs=3 * np.std(variances) / 250**0.5)


def test_the_same_seed_gives_the_same_halves():
    x, y = np.random.default_rng(6).normal(size=(2, 6, 7))
    np.testing.assert_array_equal(split_halves(x, y, seed=3).cross, split_halves(x, y, seed=3).cross)
    assert (split_halves(x, y, seed=4).cross != split_halves(x, y, seed=3).cross).any()


def test_units_with_trials_in_one_cluster_are_ignored():
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(2, 6, 8))
    with_one_more = [np.vstack([values, np.where(np.arange(8) == 2, 9.0, np.nan)]) for values in (x, y)]
    np.testing.assert_array_equal(split_halves(*with_one_more, seed=0).cross, split_halves(x, y, seed=0).cross)


def test_missing_clusters_of_a_unit_do_not_move_it():
    # Clusters differ by far more than units do; a unit that lacks the best clusters is not the worse for it.
    rng = np.random.default_rng(8)
    effects, clusters = np.arange(6.0), 100 * np.arange(8.0)
    x = effects[:, None] + clusters + 0.1 * rng.normal(size=(6, 8))
    y = effects[:, None] + clusters + 0.1 * rng.normal(size=(6, 8))
    absent = np.zeros((6, 8), dtype=bool)
    absent[5, 6:] = absent[2, :1] = True
    result = split_halves(np.where(absent, np.nan, x), np.where(absent, np.nan, y), seed=0)
    assert result.cross[0] > 0.7


def test_too_few_units_or_clusters_are_refused():
    values = np.random.default_rng(9).normal(size=(5, 6))
    mostly_absent = np.where(np.arange(6) == np.arange(5)[:, None], values, np.nan)
    for few in (values[:2], values[:, :1], mostly_absent):
        with pytest.raises(ValueError, match="halves need 3 units"):
            split_halves(few, few, seed=0)


def test_halves_that_disagree_have_no_rho():
    # Each unit is high in one half of the clusters exactly where it is low in the other.
    rng = np.random.default_rng(10)
    x = rng.normal(size=(8, 2))
    x[:, 1] = -x[:, 0]
    result = split_halves(x, rng.normal(size=(8, 2)), seed=0)
    assert result.reliability_x[0] == pytest.approx(-1)
    assert np.isnan(result.rho[0])
