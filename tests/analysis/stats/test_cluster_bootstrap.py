"""Draws over data seeds, and the intervals made from replicates."""

import numpy as np
import pandas as pd
import pytest

from analysis.stats.cluster_bootstrap import MAXIMUM_CLUSTERS, draw_resamples, percentile_interval


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


def test_too_many_undefined_replicates_give_no_interval():
    replicates = np.linspace(0, 1, 100)
    replicates[:10] = np.nan
    assert percentile_interval(replicates) == pytest.approx(tuple(np.linspace(0, 1, 100)[10:][[2, 87]]), abs=0.005)
    replicates[10] = np.nan
    assert percentile_interval(replicates) is None
