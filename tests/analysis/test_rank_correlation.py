"""One sample's rank correlation against scipy, closed forms and cases worked by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.stats.rank_correlation import fisher_interval, rank_correlation


@pytest.mark.parametrize("n", [6, 40, 500])
def test_estimates_are_scipys(n):
    rng = np.random.default_rng(n)
    x = rng.normal(size=n).round(1)  # rounded, so that there are ties
    y = (x + rng.normal(size=n)).round(1)
    assert rank_correlation(x, y, "spearman").estimate == pytest.approx(stats.spearmanr(x, y).statistic)
    assert rank_correlation(x, y, "kendall_tau_b").estimate == pytest.approx(stats.kendalltau(x, y).statistic)


def test_tau_b_with_ties_by_hand():
    # Ten pairs of five trials. Tied in x: (1, 2); tied in y: (3, 4). Of the other eight, (1, 5) and (2, 5) are
    # concordant as are the pairs of {1, 2} with {3, 4}: all eight. C = 8, D = 0; untied in x 9, in y 9.
    x, y = np.array([1.0, 1, 2, 3, 4]), np.array([1.0, 2, 3, 3, 4])
    assert rank_correlation(x, y, "kendall_tau_b").estimate == pytest.approx(8 / 9)


def test_rho_by_hand():
    # Without ties rho = 1 - 6 sum d^2 / (n (n^2 - 1)); the ranks differ by 1, 1, 0, 1, 1.
    x, y = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 3, 5, 4])
    assert rank_correlation(x, y, "spearman").estimate == pytest.approx(1 - 6 * 4 / (5 * 24))


def test_perfect_correlation_is_one_with_a_finite_interval():
    x = np.arange(8.0)
    found = rank_correlation(x, -x, "spearman")
    assert found.estimate == -1.0
    assert -1 < found.ci_low < found.ci_high < 0


def test_interval_is_fishers():
    x, y = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 3, 5, 4])  # rho = .8
    found = rank_correlation(x, y, "spearman")
    error = math.sqrt(1.06 / 2)
    assert found.ci_low == pytest.approx(math.tanh(math.atanh(0.8) - 1.959964 * error), abs=1e-6)
    assert found.ci_high == pytest.approx(math.tanh(math.atanh(0.8) + 1.959964 * error), abs=1e-6)
    assert found.p_value == pytest.approx(2 * (1 - stats.norm.cdf(math.atanh(0.8) / error)))


def test_interval_of_tau_b_has_its_own_variance():
    low, high, _ = fisher_interval(0.0, 0.437, "kendall_tau_b")
    assert (low, high) == (pytest.approx(-math.tanh(1.959964), abs=1e-6), pytest.approx(math.tanh(1.959964), abs=1e-6))


@pytest.mark.parametrize(
    ("x", "y", "statistic", "reason"),
    [
        ([1, 2, 3], [1, 2, 3], "spearman", "3 trials, fewer than 4"),
        ([1, 2, 3, 4], [1, 2, 3, 4], "kendall_tau_b", "4 trials, fewer than 5"),
        ([], [], "spearman", "0 trials, fewer than 4"),
        ([2, 2, 2, 2, 2], [1, 2, 3, 4, 5], "spearman", "constant localisation"),
        ([1, 2, 3, 4, 5], [1, 1, 1, 1, 1], "kendall_tau_b", "constant outcome"),
        ([1, 1, 1, 1, 1], [1, 1, 1, 1, 1], "spearman", "constant localisation and outcome"),
    ],
)
def test_undefined_has_a_reason_and_no_numbers(x, y, statistic, reason):
    found = rank_correlation(np.array(x, dtype=float), np.array(y, dtype=float), statistic)
    assert found.reason == reason
    assert found.estimate is found.ci_low is found.ci_high is found.p_value is None
