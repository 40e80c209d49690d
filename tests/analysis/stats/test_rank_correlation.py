"""Rank correlations of one sample against scipy and closed forms, and of combined cells against sums by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.stats.rank_correlation import (
    RankCorrelation,
    combine_cells,
    combine_replicates,
    fisher_interval,
    rank_correlation,
)


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
    assert rank_correlation(x, -x, "spearman").estimate == -1.0
    low, high, _ = fisher_interval(-1.0, 5, "spearman")
    assert -1 < low < high < 0


def test_interval_is_fishers():
    low, high, p_value = fisher_interval(0.8, 2, "spearman")
    error = math.sqrt(1.06 / 2)
    assert low == pytest.approx(math.tanh(math.atanh(0.8) - 1.959964 * error), abs=1e-6)
    assert high == pytest.approx(math.tanh(math.atanh(0.8) + 1.959964 * error), abs=1e-6)
    assert p_value == pytest.approx(2 * (1 - stats.norm.cdf(math.atanh(0.8) / error)))


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
def test_undefined_has_a_reason_and_no_number(x, y, statistic, reason):
    result = rank_correlation(np.array(x, dtype=float), np.array(y, dtype=float), statistic)
    assert result.reason == reason
    assert result.estimate is None


def cell(estimate, n):
    return RankCorrelation(estimate=estimate, n=n, reason=None if estimate is not None else "constant outcome")


@pytest.mark.parametrize(("statistic", "lost", "c"), [("spearman", 3, 1.06), ("kendall_tau_b", 4, 0.437)])
def test_two_cells_by_hand(statistic, lost, c):
    # z = .5 with weight 10 and z = 1 with weight 30: combined z = 35 / 40.
    result = combine_cells([cell(math.tanh(0.5), 10 + lost), cell(math.tanh(1.0), 30 + lost)], statistic)
    z = 35 / 40
    assert result.estimate == pytest.approx(math.tanh(z))
    q = (10 * (0.5 - z) ** 2 + 30 * (1 - z) ** 2) / c
    assert (result.q, result.i_squared) == pytest.approx((q, (q - 1) / q))
    assert (result.n, result.n_cells, result.weight) == (40 + 2 * lost, 2, 40)
    assert (result.n_degenerate, result.n_clipped) == (0, 0)


def test_equal_cells_have_no_heterogeneity():
    result = combine_cells([cell(0.4, 20), cell(0.4, 50)], "spearman")
    assert result.estimate == pytest.approx(0.4)
    assert result.q == pytest.approx(0, abs=1e-20)
    assert result.i_squared is None or result.i_squared == 0


def test_a_perfect_cell_is_clipped_and_counted():
    result = combine_cells([cell(1.0, 10), cell(0.0, 10)], "spearman")
    assert result.estimate == pytest.approx(math.tanh(math.atanh(0.999) / 2))
    assert result.n_clipped == 1


def test_degenerate_cells_are_left_out_and_counted():
    result = combine_cells([cell(None, 10), cell(0.3, 20)], "spearman")
    assert result.estimate == pytest.approx(0.3)
    assert (result.n, result.n_cells, result.n_degenerate) == (20, 1, 1)
    assert result.q is result.i_squared is None


def test_only_degenerate_cells_give_no_estimate():
    result = combine_cells([cell(None, 10), cell(None, 3)], "spearman")
    assert result.estimate is None
    assert result.reason == "none of the 2 cells has a correlation (2: constant outcome)"
    assert combine_cells([cell(None, 3)], "spearman").reason == "its only cell has no correlation (1: constant outcome)"
    assert combine_cells([], "spearman").reason == "no trials"


def test_replicates_are_combined_like_cells():
    estimates = [np.array([0.5, np.nan, np.nan]), np.array([0.1, 0.2, np.nan])]
    sizes = [np.array([13.0, 13, 13]), np.array([33.0, 33, 33])]
    combined = combine_replicates(estimates, sizes, "spearman")
    by_hand = combine_cells([cell(0.5, 13), cell(0.1, 33)], "spearman")
    assert combined[0] == pytest.approx(by_hand.estimate)
    assert combined[1] == pytest.approx(0.2)
    assert np.isnan(combined[2])
