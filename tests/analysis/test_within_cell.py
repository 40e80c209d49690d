"""Cells combined by Fisher's z, against sums worked by hand."""

import math

import numpy as np
import pytest

from analysis.stats.rank_correlation import RankCorrelation
from analysis.stats.within_cell import combine_cells, combine_replicates


def cell(estimate, n):
    return RankCorrelation("spearman", estimate, n, reason=None if estimate is not None else "constant outcome")


def test_two_cells_by_hand():
    # z = .5 with weight 10 and z = 1 with weight 30: combined z = 35 / 40.
    found = combine_cells([cell(math.tanh(0.5), 13), cell(math.tanh(1.0), 33)], "spearman")
    z = 35 / 40
    assert found.estimate == pytest.approx(math.tanh(z))
    error = math.sqrt(1.06 / 40)
    assert found.ci_low == pytest.approx(math.tanh(z - 1.959964 * error), abs=1e-6)
    q = (10 * (0.5 - z) ** 2 + 30 * (1 - z) ** 2) / 1.06
    assert found.q == pytest.approx(q)
    assert found.i_squared == pytest.approx((q - 1) / q)
    assert (found.n, found.n_cells, found.weight, found.n_degenerate, found.n_clipped) == (46, 2, 40, 0, 0)


def test_tau_b_loses_four_and_has_its_own_variance():
    found = combine_cells([cell(math.tanh(0.5), 14), cell(math.tanh(1.0), 34)], "kendall_tau_b")
    assert found.estimate == pytest.approx(math.tanh(35 / 40))
    assert found.ci_high == pytest.approx(math.tanh(35 / 40 + 1.959964 * math.sqrt(0.437 / 40)), abs=1e-6)


def test_equal_cells_have_no_heterogeneity():
    found = combine_cells([cell(0.4, 20), cell(0.4, 50)], "spearman")
    assert found.estimate == pytest.approx(0.4)
    assert found.q == pytest.approx(0, abs=1e-20)
    assert found.i_squared is None or found.i_squared == 0


def test_a_perfect_cell_is_clipped_and_counted():
    found = combine_cells([cell(1.0, 10), cell(0.0, 10)], "spearman")
    assert found.estimate == pytest.approx(math.tanh(math.atanh(0.999) / 2))
    assert found.n_clipped == 1


def test_degenerate_cells_are_left_out_and_counted():
    found = combine_cells([cell(None, 10), cell(0.3, 20)], "spearman")
    assert found.estimate == pytest.approx(0.3)
    assert (found.n, found.n_cells, found.n_degenerate) == (20, 1, 1)
    assert found.q is found.i_squared is None


def test_only_degenerate_cells_give_no_estimate():
    found = combine_cells([cell(None, 10), cell(None, 3)], "spearman")
    assert found.estimate is None
    assert found.reason == "none of the 2 cells has a correlation (2: constant outcome)"
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
