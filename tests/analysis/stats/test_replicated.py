"""Intervals from leave-one-data-seed-out replicates against their definition, Student's and Welch's, and coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.stats.replicated import TOO_FEW, UNDEFINED_WITHOUT_ONE, Estimate, Replicated, mean, satterthwaite, sums

ONE = np.zeros(8, dtype=np.intp)
VALUES = np.random.default_rng(0).normal(0.2, 0.3, size=8)


def replicated(whole, deleted, dataset=ONE):
    return Replicated(np.array([whole, *deleted]), np.ones(len(deleted), dtype=bool), dataset)


def test_a_mean_has_students_interval():
    interval = mean(VALUES, np.arange(8), ONE).interval()
    exact = stats.ttest_1samp(VALUES, 0.0)
    assert interval.standard_error == pytest.approx(stats.sem(VALUES))
    assert interval.bounds() == pytest.approx(tuple(exact.confidence_interval()))
    assert interval.bounds(0.8) == pytest.approx(tuple(exact.confidence_interval(0.8)))
    assert interval.p_value == pytest.approx(exact.pvalue)
    assert interval.df == 7


def test_fishers_scale_is_the_same_on_z():
    z = mean(VALUES, np.arange(8), ONE)
    interval = np.tanh(z).interval("fisher")
    assert np.arctanh(interval.bounds()) == pytest.approx(z.interval().bounds())
    assert interval.p_value == pytest.approx(z.interval().p_value)


def test_an_independent_variance_widens_the_interval():
    before = mean(VALUES, np.arange(8), ONE).interval()
    after = before.widened(0.04)
    assert after.standard_error == pytest.approx(math.sqrt(before.standard_error**2 + 0.04))
    assert after.high == pytest.approx(VALUES.mean() + stats.t.ppf(0.975, 7) * after.standard_error)
    assert before.widened(0.0) == before
    variances = np.array([before.standard_error**2, 0.04])
    assert before.widened(0.04, 3.0).df == pytest.approx(satterthwaite(variances, np.array([7, 3])))


def test_each_dataset_has_its_share_of_the_weight():
    # Two datasets, by hand: f = (w − n / G) / w is 1/2 on the first and 3/4 on the second.
    dataset = np.repeat([0, 1], 6)
    deleted = np.tanh([0.1, 0.3, 0.2, 0.2, 0.2, 0.2, 0.6, 0.6, 0.9, 0.7, 0.7, 0.7])
    interval = (
        replicated(0.0, deleted, dataset).weighted(np.array([12.0, 24.0]), np.array([4.0, 16.0])).interval("fisher")
    )
    variances = np.array([0.5 * 0.02, 0.75 * 0.06])
    assert interval.standard_error == pytest.approx(math.sqrt(variances.sum()))
    df = variances.sum() ** 2 / (variances**2 / 5).sum()
    assert interval.df == pytest.approx(df)
    assert interval.high == pytest.approx(math.tanh(stats.t.ppf(0.975, df) * math.sqrt(variances.sum())))


def test_operators_apply_to_each_replicate():
    cluster, weights = np.array([2, 0, 1, 2, 2, 0, 3]), np.arange(1.0, 8)
    values, dataset = VALUES[:7], np.zeros(5, dtype=np.intp)
    ratio = sums(weights * values, cluster, dataset) / sums(weights, cluster, dataset)
    others = [np.average(values[cluster != c], weights=weights[cluster != c]) for c in range(5)]
    assert ratio.values == pytest.approx([np.average(values, weights=weights), *others])
    assert ratio.present.tolist() == [True] * 4 + [False]
    rows = sums(np.stack([values, -values]), cluster, dataset)
    assert rows.sum().values == pytest.approx(np.zeros(6))
    assert (rows[0] - rows[1]).values == pytest.approx(2 * rows[0].values)


def test_a_difference_is_paired_where_data_seeds_are_shared():
    x, y = np.random.default_rng(1).normal(size=(2, 12))
    seeds, dataset = np.arange(12), np.zeros(24, dtype=np.intp)
    first, same, other = (mean(v, s, dataset) for v, s in ((x, seeds), (y, seeds), (y, seeds + 12)))
    paired = first.difference(same)
    assert paired.bounds() == pytest.approx(tuple(stats.ttest_rel(x, y).confidence_interval()))
    unpaired, welch = first.difference(other), stats.ttest_ind(x, y, equal_var=False)
    assert (unpaired.p_value, unpaired.df) == pytest.approx((welch.pvalue, welch.df))


def test_satterthwaite_of_equal_variances_adds_the_degrees_of_freedom_up():
    assert satterthwaite(np.full(3, 0.2), np.full(3, 5)) == pytest.approx(15)
    # One dataset with all of the variance leaves its own degrees of freedom, and one without any counts for none.
    assert satterthwaite(np.array([0.2, 0.0]), np.array([5, 0])) == pytest.approx(5)
    assert satterthwaite(np.array([0.2, 1e-9]), np.array([5, 100])) == pytest.approx(5)


def test_reasons_for_no_interval():
    assert replicated(0.5, [0.4, 0.6] * 2, ONE[:4]).no_interval == TOO_FEW
    undefined = replicated(0.5, [0.1] * 7 + [np.nan])
    assert (undefined.no_interval, undefined.interval()) == (UNDEFINED_WITHOUT_ONE, None)
    assert not np.isfinite(mean(np.array([0.5, 0.7]), np.array([0, 0]), ONE[:1]).values[1])
    estimate = Estimate().of(undefined)
    assert (estimate.estimate, estimate.ci_low, estimate.interval_reason) == (0.5, None, UNDEFINED_WITHOUT_ONE)
    unmoved = replicated(0.5, [0.5] * 8).interval("fisher")
    assert (unmoved.standard_error, unmoved.bounds()) == (0.0, pytest.approx((0.5, 0.5)))
