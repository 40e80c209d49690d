"""Means without each cluster, against the mean of what remains."""

import numpy as np
import pytest

from analysis.stats.estimate import mean_without_each


def test_the_mean_without_each_cluster_is_that_of_the_others():
    values, cluster = np.random.default_rng(0).normal(size=7), np.array([2, 0, 1, 2, 2, 0, 3])
    assert mean_without_each(values, cluster) == pytest.approx([values[cluster != c].mean() for c in range(4)])


def test_without_the_only_cluster_nothing_remains():
    assert np.isnan(mean_without_each(np.array([0.5, 0.7]), np.array([0, 0]))).tolist() == [True]
