"""Draws over data seeds, and the intervals made from replicates."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.stats.cluster_bootstrap import MAXIMUM_CLUSTERS, bca_interval, draw_resamples, percentile_interval


def table(seeds, per_seed, datasets=("a",)):
    rows = [(d, s) for d in datasets for s in range(seeds) for _ in range(per_seed)]
    return pd.DataFrame(rows, columns=["dataset", "data_seed"])


def test_data_seeds_are_drawn_within_their_dataset():
    resamples = draw_resamples(table(10, 2, datasets=("a", "b")), replicates=200, seed=0)
    for dataset in (0, 1):
        assert (resamples.counts[:, resamples.dataset == dataset].sum(axis=1) == 10).all()
    assert resamples.enough(np.arange(40))
    assert not resamples.enough(np.arange(38))  # the last data seed of b has no trial
    assert (resamples.fewest(np.arange(38)), resamples.n_clusters(np.arange(38))) == (9, 19)
    assert resamples.fewest(np.arange(0)) == 0


def test_same_seed_same_draws_and_a_dataset_has_its_own_stream():
    trials = table(10, 1, datasets=("a", "b"))
    first, again = (draw_resamples(trials, replicates=50, seed=7).counts for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (draw_resamples(trials, replicates=50, seed=8).counts != first).any()
    alone = draw_resamples(table(10, 1, datasets=("b",)), replicates=50, seed=7).counts
    np.testing.assert_array_equal(alone, first[:, 10:])


def test_very_many_data_seeds_are_put_together_in_groups_of_equal_size():
    trials = table(2 * MAXIMUM_CLUSTERS + 2, 2, datasets=("a", "b"))
    resamples = draw_resamples(trials, replicates=3, seed=0)
    sizes = np.bincount(resamples.cluster)
    assert len(sizes) == resamples.counts.shape[1] <= 2 * MAXIMUM_CLUSTERS
    assert set(sizes[:-1]) == {6}  # three data seeds of two trials each
    assert resamples.n_clusters(np.arange(len(trials))) == 2 * (2 * MAXIMUM_CLUSTERS + 2)
    assert trials.groupby(["dataset", "data_seed"]).ngroup().groupby(resamples.cluster).nunique().max() == 3


def test_interval_and_p_value_of_known_replicates():
    low, high, p_value = percentile_interval(np.linspace(-0.1, 0.9, 1001))
    assert (low, high) == (pytest.approx(-0.075), pytest.approx(0.875))
    assert p_value == pytest.approx(2 * (101 + 1) / 1002)
    assert percentile_interval(np.linspace(0.1, 0.9, 999))[2] == pytest.approx(2 / 1000)


def test_too_many_undefined_replicates_give_no_interval():
    replicates = np.linspace(0, 1, 100)
    replicates[:10] = np.nan
    assert percentile_interval(replicates) is not None
    assert bca_interval(replicates, 0.5, 0.0) is not None
    replicates[10] = np.nan
    assert percentile_interval(replicates) is None
    assert bca_interval(replicates, 0.5, 0.0) is None


def test_bca_is_scipys_on_a_sample_mean():
    # scipy's own bootstrap of the mean gives its distribution; its acceleration is the jackknife's.
    sample = np.random.default_rng(3).exponential(size=25)
    scipys = stats.bootstrap((sample,), np.mean, n_resamples=4000, method="BCa", rng=np.random.default_rng(0))
    deleted = (sample.sum() - sample) / 24
    d = deleted.mean() - deleted
    a = (d**3).sum() / (6 * (d**2).sum() ** 1.5)
    low, high = bca_interval(scipys.bootstrap_distribution, sample.mean(), a)
    assert (low, high) == (
        pytest.approx(scipys.confidence_interval.low, abs=0.005),
        pytest.approx(scipys.confidence_interval.high, abs=0.005),
    )
    plain = percentile_interval(scipys.bootstrap_distribution)
    assert low > plain[0] + 0.01  # it is not the percentile interval over again


def test_bca_without_bias_and_acceleration_is_the_percentile_interval():
    replicates = np.linspace(-1, 1, 2001)
    assert bca_interval(replicates, 0.0, 0.0) == pytest.approx(percentile_interval(replicates)[:2])
    assert bca_interval(replicates, 2.0, 0.0) is None  # all replicates on one side
