"""Spread and prediction interval, against Student's interval for one more observation and simulated truth."""

import numpy as np
import pytest
from scipy import stats

from analysis.stats.heterogeneity import heterogeneity


def test_without_errors_it_is_students_interval_for_one_more():
    values = np.random.default_rng(0).normal(0.3, 0.2, size=6)
    result = heterogeneity(values, np.zeros((6, 4)), df=3)
    reach = stats.t.ppf(0.975, 5) * values.std(ddof=1) * np.sqrt(1 + 1 / 6)
    assert (result.low, result.high) == (pytest.approx(values.mean() - reach), pytest.approx(values.mean() + reach))
    assert result.p_value == 0.0
    assert heterogeneity(np.full(4, 0.2), np.zeros((4, 4)), df=3).p_value == 1.0


def test_by_hand_with_correlated_errors():
    # S = influence influence' has the diagonal (.05, .05, .02), off it (.04, .02, .01).
    influence = np.array([[0.2, 0.1], [0.1, 0.2], [0.1, 0.1]])
    values = np.array([0.1, 0.5, 0.9])
    covariance = influence @ influence.T
    np.testing.assert_allclose(covariance, [[0.05, 0.04, 0.03], [0.04, 0.05, 0.03], [0.03, 0.03, 0.02]])
    result = heterogeneity(values, influence, df=7)
    noise = 0.12 / 3 - 0.20 / 6
    reach = stats.t.ppf(0.975, 2) * np.sqrt(0.16 * 4 / 3 + 0.20 / 6)
    assert (result.low, result.high) == (pytest.approx(0.5 - reach), pytest.approx(0.5 + reach))
    assert result.p_value == pytest.approx(stats.f.sf(0.16 / noise, 2, 7))


@pytest.mark.parametrize("tau", [0.0, 0.3])
def test_the_truth_of_one_more_is_covered_and_differences_are_found(tau):
    rng = np.random.default_rng(5)
    k, clusters, error = 8, 12, 0.15
    covered = rejected = 0
    for _ in range(1000):
        truth = 0.2 + tau * rng.normal(size=k + 1)
        # Each data seed moves an estimate; their scatter, as the jackknife sees it, is the influence.
        moves = error * rng.normal(size=(k, clusters)) + 0.1 * rng.normal(size=clusters)
        values = truth[:k] + moves.mean(axis=1)
        influence = (moves - moves.mean(axis=1, keepdims=True)) / np.sqrt(clusters * (clusters - 1))
        result = heterogeneity(values, influence, df=clusters - 1)
        covered += result.low <= truth[k] <= result.high
        rejected += result.p_value <= 0.05
    assert covered >= 930  # P(fewer of 1000 | .95) is 0.3 %
    if tau:
        assert rejected > 990
    else:
        assert rejected <= 75  # P(more of 1000 | .05) is 0.02 %


def test_too_few_and_unknown_errors_give_none():
    assert heterogeneity(np.array([0.1, 0.2]), np.zeros((2, 3)), df=2) is None
    assert heterogeneity(np.array([0.1, 0.2, np.nan]), np.zeros((3, 3)), df=2) is None
    unknown = np.zeros((3, 3))
    unknown[0, 1] = np.nan
    assert heterogeneity(np.array([0.1, 0.2, 0.3]), unknown, df=2) is None
