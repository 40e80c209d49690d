"""The weighting kernels against tables that are really built, and the interval's coverage under no correlation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.cluster_bootstrap import draw_resamples, percentile_interval, replicate
from analysis.rank_correlation import rank_correlation
from analysis.within_cell import combine_replicates


def table(seeds, per_seed, datasets=("a",)):
    rows = [(d, s) for d in datasets for s in range(seeds) for _ in range(per_seed)]
    return pd.DataFrame(rows, columns=["dataset", "data_seed"])


@pytest.mark.parametrize("statistic", ["spearman", "kendall_tau_b"])
@pytest.mark.parametrize("decimals", [9, 1])  # without and with ties
def test_a_replicate_is_the_correlation_of_the_drawn_table(statistic, decimals):
    trials = table(seeds=11, per_seed=3).sample(frac=1, random_state=0, ignore_index=True)
    rng = np.random.default_rng(5)
    x = rng.normal(size=33).round(decimals)
    y = (x + rng.normal(size=33)).round(decimals)
    resamples = draw_resamples(trials, replicates=40, seed=1)
    values, sizes = replicate(x, y, np.arange(33), resamples, statistic)
    for value, size, counts in zip(values, sizes, resamples.counts, strict=True):
        drawn = np.repeat(np.arange(33), counts[resamples.cluster].astype(int))
        assert size == len(drawn) == 33
        assert value == pytest.approx(rank_correlation(x[drawn], y[drawn], statistic).estimate)


@pytest.mark.parametrize("statistic", ["spearman", "kendall_tau_b"])
def test_a_subset_of_trials_keeps_its_own_clusters(statistic):
    trials = table(seeds=12, per_seed=2)
    rows = np.arange(0, 24, 2)[3:]  # one trial of each of nine data seeds
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=9), rng.normal(size=9)
    resamples = draw_resamples(trials, replicates=30, seed=0)
    values, _ = replicate(x, y, rows, resamples, statistic)
    for value, counts in zip(values, resamples.counts, strict=True):
        drawn = np.repeat(np.arange(9), counts[resamples.cluster[rows]].astype(int))
        expected = rank_correlation(x[drawn], y[drawn], statistic).estimate
        assert value == pytest.approx(expected if expected is not None else np.nan, nan_ok=True)


def test_blocks_do_not_change_the_result(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=60).round(1), rng.normal(size=60).round(1)
    resamples = draw_resamples(table(20, 3), replicates=50, seed=3)
    whole = [replicate(x, y, np.arange(60), resamples, s)[0] for s in ("spearman", "kendall_tau_b")]
    monkeypatch.setattr("analysis.cluster_bootstrap._BLOCK", 61)
    blocks = [replicate(x, y, np.arange(60), resamples, s)[0] for s in ("spearman", "kendall_tau_b")]
    np.testing.assert_allclose(whole, blocks)


def test_data_seeds_are_drawn_within_their_dataset():
    resamples = draw_resamples(table(10, 2, datasets=("a", "b")), replicates=200, seed=0)
    for dataset in (0, 1):
        assert (resamples.counts[:, resamples.dataset == dataset].sum(axis=1) == 10).all()
    assert resamples.enough(np.arange(40))
    assert not resamples.enough(np.arange(39)[:38])  # the last data seed of b has no trial


def test_same_seed_same_draws_and_a_dataset_has_its_own_stream():
    trials = table(10, 1, datasets=("a", "b"))
    first, again = (draw_resamples(trials, replicates=50, seed=7).counts for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (draw_resamples(trials, replicates=50, seed=8).counts != first).any()
    alone = draw_resamples(table(10, 1, datasets=("b",)), replicates=50, seed=7).counts
    np.testing.assert_array_equal(alone, first[:, 10:])


def test_interval_and_p_value_of_known_replicates():
    low, high, p_value = percentile_interval(np.linspace(-0.1, 0.9, 1001))
    assert (low, high) == (pytest.approx(-0.075), pytest.approx(0.875))
    assert p_value == pytest.approx(2 * (101 + 1) / 1002)
    assert percentile_interval(np.linspace(0.1, 0.9, 999))[2] == pytest.approx(2 / 1000)


def test_too_many_undefined_replicates_give_no_interval():
    replicates = np.linspace(0, 1, 100)
    replicates[:10] = np.nan
    assert percentile_interval(replicates) is not None
    replicates[10] = np.nan
    assert percentile_interval(replicates) is None


def test_coverage_without_correlation_where_trials_share_their_data_seed():
    # Four trials of a data seed are nearly copies, in each of two cells: an interval that took trials as
    # independent would miss zero in most tables. 120 tables, 20 data seeds.
    trials = table(seeds=20, per_seed=8)
    cells = [np.flatnonzero(np.arange(160) % 2 == parity) for parity in (0, 1)]
    rng = np.random.default_rng(11)
    hits = analytic = 0
    for repeat in range(120):
        x, y = (np.repeat(rng.normal(size=20), 8) + 0.1 * rng.normal(size=160) for _ in range(2))
        resamples = draw_resamples(trials, replicates=200, seed=repeat)
        pairs = [replicate(x[c], y[c], c, resamples, "spearman") for c in cells]
        interval = percentile_interval(combine_replicates([p[0] for p in pairs], [p[1] for p in pairs], "spearman"))
        hits += interval[0] <= 0 <= interval[1]
        pooled = rank_correlation(x, y, "spearman")
        analytic += pooled.ci_low <= 0 <= pooled.ci_high
    # 95 % intervals: P(fewer than 104 of 120 | .93) is under .01; the naive interval is far below.
    assert stats.binom.cdf(103, 120, 0.93) < 0.01
    assert hits >= 104
    assert analytic < 75
