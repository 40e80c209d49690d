"""Prediction interval and test of signs, against Student's interval for one more, published levels, simulated truth."""

import numpy as np
import pytest
from scipy import stats

from analysis.stats.heterogeneity import of_both_signs, one_more
from analysis.stats.replicated import Interval


def test_without_errors_it_is_students_interval_for_one_more():
    values = np.random.default_rng(0).normal(0.3, 0.2, size=6)
    result = one_more(values, np.zeros((6, 4)))
    reach = stats.t.ppf(0.975, 5) * values.std(ddof=1) * np.sqrt(1 + 1 / 6)
    assert (result.low, result.high) == (pytest.approx(values.mean() - reach), pytest.approx(values.mean() + reach))


def test_by_hand_with_correlated_errors():
    # S = influence influence' has the diagonal (.05, .05, .02), off it (.04, .03, .03).
    influence = np.array([[0.2, 0.1], [0.1, 0.2], [0.1, 0.1]])
    values = np.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(influence @ influence.T, [[0.05, 0.04, 0.03], [0.04, 0.05, 0.03], [0.03, 0.03, 0.02]])
    result = one_more(values, influence)
    error = np.sqrt(0.16 * 4 / 3 + 0.20 / 6)
    reach = stats.t.ppf(0.975, 2) * error
    assert (result.low, result.high) == (pytest.approx(0.5 - reach), pytest.approx(0.5 + reach))
    assert result.p_above(0.3) == pytest.approx(stats.t.cdf(0.2 / error, 2))


@pytest.mark.parametrize("tau", [0.0, 0.3])
def test_the_truth_of_one_more_is_covered(tau):
    rng = np.random.default_rng(5)
    k, clusters, error = 8, 12, 0.15
    covered = 0
    for _ in range(1000):
        truth = 0.2 + tau * rng.normal(size=k + 1)
        # Each data seed moves an estimate; their scatter, as the jackknife sees it, is the influence.
        moves = error * rng.normal(size=(k, clusters)) + 0.1 * rng.normal(size=clusters)
        values = truth[:k] + moves.mean(axis=1)
        influence = (moves - moves.mean(axis=1, keepdims=True)) / np.sqrt(clusters * (clusters - 1))
        result = one_more(values, influence)
        covered += result.low <= truth[k] <= result.high
    assert covered >= 930  # P(fewer of 1000 | .95) is 0.3 %


def test_too_few_and_unknown_errors_give_none():
    assert one_more(np.array([0.1, 0.2]), np.zeros((2, 3))) is None
    assert one_more(np.array([0.1, 0.2, np.nan]), np.zeros((3, 3))) is None
    unknown = np.zeros((3, 3))
    unknown[0, 1] = np.nan
    assert one_more(np.array([0.1, 0.2, 0.3]), unknown) is None


def known(*ratios):
    """Estimates with known errors, by their ratio to them."""
    return [Interval(ratio, 1.0, 1e12) for ratio in ratios]


@pytest.mark.parametrize(("k", "critical"), [(2, 2.71), (3, 4.23), (4, 5.43), (5, 6.50)])
def test_the_critical_values_are_those_that_gail_and_simon_print(k, critical):
    """Table 1 of Gail & Simon (1985) for groups of this number at level 0.05."""
    low = np.sqrt(critical)
    assert of_both_signs(known(-low, *[9.0] * (k - 1))) == pytest.approx(0.05, abs=0.0005)


def test_one_sign_is_never_rejected_and_the_smaller_side_counts():
    assert of_both_signs(known(0.1, 2.0, 9.0)) == 1.0
    assert of_both_signs(known(-9.0, 1.0, 0.5)) == of_both_signs(known(9.0, -1.0, -0.5)) > 0.2
    # On 4 degrees of freedom a ratio of 3 is one of 2.05 on the normal scale.
    normal = stats.norm.isf(stats.t.sf(3.0, 4))
    assert of_both_signs([Interval(-3.0, 1.0, 4), *known(9.0)]) == pytest.approx(of_both_signs(known(-normal, 9.0)))


def test_its_level_holds_where_one_value_is_zero():
    """The least favourable case: all others far on one side, one exactly 0."""
    rng = np.random.default_rng(1)
    rejected = sum(of_both_signs(known(rng.normal(), 20.0 + rng.normal())) <= 0.05 for _ in range(2000))
    assert 70 <= rejected <= 130  # P(outside | .05) is under 1 in 500
