"""Permutation p-values of method means against values that can be counted."""

import itertools

import numpy as np
import pytest
from scipy import stats

from analysis.stats.between_methods import between_methods, method_means


def test_six_methods_with_three_swapped_pairs():
    # Six ranks differ by one: rho = 1 - 6 * 6 / 210 = .829, for which exact tables give p = .058.
    x, y = np.arange(6.0), np.array([1.0, 0, 3, 2, 5, 4])
    result = between_methods([(x, y)], "spearman", seed=0)
    assert result.estimate == pytest.approx(1 - 36 / 210)
    assert result.p_value == pytest.approx(0.058, abs=5e-4)


@pytest.mark.parametrize("statistic", ["spearman", "kendall_tau_b"])
def test_ties_against_brute_force(statistic):
    x, y = np.array([1.0, 1, 2, 3, 4]), np.array([2.0, 1, 1, 4, 3])
    scipys = stats.spearmanr if statistic == "spearman" else stats.kendalltau
    result = between_methods([(x, y)], statistic, seed=0)
    assert result.estimate == pytest.approx(scipys(x, y).statistic)
    orders = [scipys(x, np.array(p)).statistic for p in itertools.permutations(y)]
    assert result.p_value == pytest.approx(np.mean(np.abs(orders) >= abs(result.estimate) - 1e-12))


def test_strata_are_permuted_jointly():
    # The same ordering in two strata is no more surprising than in one: labels move together.
    x = np.arange(5.0)
    one = between_methods([(x, x)], "spearman", seed=0)
    two = between_methods([(x, x), (x, x)], "spearman", seed=0)
    assert two.p_value == one.p_value == pytest.approx(2 / 120)
    opposed = between_methods([(x, x), (x, -x)], "spearman", seed=0)
    assert opposed.estimate == pytest.approx(0)
    assert opposed.p_value == 1


def test_many_methods_are_drawn_repeatably_and_agree_with_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=9), rng.normal(size=9)
    result, again, other = (between_methods([(x, y)], "spearman", seed=s) for s in (0, 0, 1))
    assert result == again
    assert other.p_value != result.p_value
    size = lambda a: abs(stats.spearmanr(x, a).statistic)  # noqa: E731
    scipys = stats.permutation_test(
        (y,), size, permutation_type="pairings", n_resamples=2000, alternative="greater", rng=1
    )
    assert result.p_value == pytest.approx(scipys.pvalue, abs=0.04)
    assert between_methods([(x, x)], "spearman", seed=0).p_value < 0.001


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        ([1, 2], [1, 2], "2 methods, fewer than 3"),
        ([1, 1, 1], [1, 2, 3], "constant localisation over the methods"),
        ([1, 2, 3], [1, 1, 1], "constant outcome over the methods"),
    ],
)
def test_undefined_has_a_reason(x, y, reason):
    result = between_methods([(np.array(x, float), np.array(y, float))], "spearman", seed=0)
    assert (result.estimate, result.p_value, result.reason) == (None, None, reason)
    assert between_methods([], "spearman", seed=0).reason == "0 methods, fewer than 3"


def test_equal_means_are_equal_whatever_their_number_of_trials():
    values = np.full(17, 0.1)
    means = method_means(values, [np.arange(3), np.arange(3, 10), np.arange(10, 17)])
    assert np.ptp(means) == 0
