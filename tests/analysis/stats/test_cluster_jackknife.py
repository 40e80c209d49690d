"""The jackknife's interval against its definition, a mean's exact interval, and its coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.answer.correlations import within_cells
from analysis.stats.cluster_bootstrap import draw_resamples
from analysis.stats.cluster_jackknife import jackknife, satterthwaite

ONE = np.zeros(8, dtype=np.intp)


def test_of_a_mean_it_is_students_interval():
    # z = the mean of 8 values; with weights that make f = (G − 1) / G the jackknife's error is s / sqrt(n) exactly.
    values = np.random.default_rng(0).normal(0.2, 0.3, size=8)
    deleted = (values.sum() - values) / 7
    result = jackknife(math.tanh(values.mean()), np.tanh(deleted), ONE, np.array([8.0]), np.array([8.0]))
    exact = stats.ttest_1samp(values, 0.0)
    assert result.standard_error == pytest.approx(stats.sem(values))
    assert (math.atanh(result.low), math.atanh(result.high)) == pytest.approx(tuple(exact.confidence_interval()))
    assert result.p_value == pytest.approx(exact.pvalue)
    assert result.df == 7


def test_datasets_are_strata():
    # Two datasets, by hand: f = (w − n / G) / w is 1/2 on the first and 3/4 on the second.
    deleted = np.tanh([0.1, 0.3, 0.2, 0.6, 0.6, 0.9])
    dataset = np.array([0, 0, 0, 1, 1, 1])
    result = jackknife(0.0, deleted, dataset, np.array([6.0, 12.0]), np.array([4.0, 16.0]))
    by_hand = 0.5 * (0.1**2 + 0.1**2 + 0) + 0.75 * (0.1**2 + 0.1**2 + 0.2**2)
    assert result.standard_error == pytest.approx(math.sqrt(by_hand))
    # Satterthwaite: (V_1 + V_2)² / (V_1² / 2 + V_2² / 2), two degrees of freedom each.
    df = by_hand**2 / ((0.5 * 0.02) ** 2 / 2 + (0.75 * 0.06) ** 2 / 2)
    assert result.df == pytest.approx(df)
    assert result.high == pytest.approx(math.tanh(stats.t.ppf(0.975, df) * math.sqrt(by_hand)))


def test_satterthwaite_is_welchs():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=7), rng.normal(scale=3, size=12)
    welch = stats.ttest_ind(x, y, equal_var=False)
    variances = np.array([stats.sem(x) ** 2, stats.sem(y) ** 2])
    assert satterthwaite(variances, np.array([6, 11])) == pytest.approx(welch.df)


def test_satterthwaite_of_equal_variances_adds_the_degrees_of_freedom_up():
    assert satterthwaite(np.full(3, 0.2), np.full(3, 5)) == pytest.approx(15)
    # One dataset with all of the variance leaves its own degrees of freedom, and one without any counts for none.
    assert satterthwaite(np.array([0.2, 0.0]), np.array([5, 0])) == pytest.approx(5)
    assert satterthwaite(np.array([0.2, 1e-9]), np.array([5, 100])) == pytest.approx(5)


def test_undefined_cases_give_none():
    weights = np.array([5.0])
    assert jackknife(0.5, np.full(8, 0.5), ONE, np.array([8.0]), weights) is None
    assert jackknife(0.5, np.array([0.1] * 7 + [np.nan]), ONE, np.array([8.0]), weights) is None
    assert jackknife(0.5, np.array([0.5]), ONE[:1], np.array([8.0]), weights) is None


def cells(generator, n_cells, seeds, shared):
    x, y = (
        math.sqrt(shared) * generator.normal(size=seeds)
        + math.sqrt(1 - shared) * generator.normal(size=(n_cells, seeds))
        for _ in range(2)
    )
    return x, y


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_it_covers_no_correlation_with_eight_data_seeds(make_table, shared):
    # 100 tables of 8 cells whose trials share their data seed's images, or do not.
    frame = make_table(seeds=8)
    column = "test_ood.iou.integrated_gradients"
    generator = np.random.default_rng(5)
    resamples = draw_resamples(frame, replicates=1, seed=0)
    hits = fisher = 0
    for _ in range(100):
        x, y = cells(generator, 8, 8, shared)
        frame[column], frame["test_ood.auc"] = x.ravel(), y.ravel()
        result = within_cells(frame, column, "test_ood.auc", resamples, seed=0)
        assert (result.interval, result.df) == ("cluster_jackknife", pytest.approx(7))
        hits += result.ci_low <= 0 <= result.ci_high
        fisher += abs(math.atanh(result.estimate)) < 1.96 * math.sqrt(1.06 / 40)
    # P(fewer than 90 of 100 | .95) is 1.1 %.
    assert hits >= 90
    assert (fisher < 80) == (shared > 0)  # trials are not independent where they share images
