"""Rank correlation without each cluster, against scipy on the remaining rows and least squares."""

import numpy as np
import pytest
from scipy import stats

from analysis.stats import without_each
from analysis.stats.without_each import deleted_kendall, rank_correlation_without_each


def sample(n=30, clusters=7, digits=None, rng=0):
    generator = np.random.default_rng(rng)
    control = generator.normal(size=n)
    x = control + generator.normal(size=n)
    y = x - 2 * control + generator.normal(size=n)
    values = [x, y, control] if digits is None else [v.round(digits) for v in (x, y, control)]
    return *values, generator.integers(0, clusters, n) * 3


def samples_without_each(*arrays, cluster):
    yield arrays
    for out in np.unique(cluster):
        yield tuple(values[cluster != out] for values in arrays)


def residual(values, control, degree):
    design = np.vander((control - control.mean()) / len(control), degree + 1)
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


@pytest.mark.parametrize("digits", [None, 0])  # rounded to whole numbers, most values are tied
def test_each_is_scipys_rho_of_the_other_rows(digits):
    x, y, _, cluster = sample(digits=digits)
    result = rank_correlation_without_each(x, y, cluster)
    parts = list(samples_without_each(x, y, cluster=cluster))
    np.testing.assert_array_equal(result.clusters, np.unique(cluster))
    assert result.rho == pytest.approx([stats.spearmanr(a, b).statistic for a, b in parts], abs=1e-12)
    assert result.weight.tolist() == [len(a) - 3 for a, _ in parts]
    assert result.cross / result.squares == pytest.approx([np.polyfit(a, b, 1)[0] for a, b in parts])


@pytest.mark.parametrize("digits", [None, 0])
@pytest.mark.parametrize(("n", "degree"), [(30, 3), (19, 1)])
def test_the_partial_one_is_pearsons_of_the_ranks_residuals(digits, n, degree):
    x, y, control, cluster = sample(n, digits=digits)
    result = rank_correlation_without_each(x, y, cluster, control)
    rho, slopes, sizes = [], [], []
    for a, b, c in samples_without_each(x, y, control, cluster=cluster):
        ranks = [stats.rankdata(values) for values in (a, b, c)]
        rho.append(stats.pearsonr(*(residual(rank, ranks[2], degree) for rank in ranks[:2])).statistic)
        slopes.append(np.polyfit(residual(a, ranks[2], degree), residual(b, ranks[2], degree), 1)[0])
        sizes.append(len(a) - 3 - degree)
    assert result.rho == pytest.approx(rho, abs=1e-9)
    assert result.weight.tolist() == sizes
    assert result.cross / result.squares == pytest.approx(slopes)
    assert rho[0] > stats.spearmanr(x, y).statistic + 0.2  # the control matters here


def test_blocks_do_not_change_the_result(monkeypatch):
    x, y, control, cluster = sample()
    whole = rank_correlation_without_each(x, y, cluster, control)
    monkeypatch.setattr(without_each, "_BLOCK", 70)
    np.testing.assert_array_equal(rank_correlation_without_each(x, y, cluster, control).rho, whole.rho)


def test_a_control_that_hardly_varies_takes_out_as_much_as_the_same_in_other_units():
    """One trial of a cell may miss a validation AUC of 1 by 0.00003."""
    x, y, control, cluster = sample()
    wide, narrow = (rank_correlation_without_each(x, y, cluster, 0.9 + u * control) for u in (1.0, 1e-6))
    assert narrow.rho == pytest.approx(wide.rho)
    assert narrow.cross == pytest.approx(wide.cross, rel=1e-6)
    assert narrow.squares == pytest.approx(wide.squares, rel=1e-6)


def test_a_constant_control_takes_nothing_out():
    x, y, _, cluster = sample()
    plain = rank_correlation_without_each(x, y, cluster)
    constant = rank_correlation_without_each(x, y, cluster, np.full(len(x), 0.9))
    assert constant.rho == pytest.approx(plain.rho)
    assert constant.cross / constant.squares == pytest.approx(plain.cross / plain.squares)


def test_undefined_without_one_cluster_alone():
    # Without cluster 2 the outcome is constant; without cluster 1 it has four trials, the fewest.
    x, y = np.arange(6.0), np.array([1.0, 1, 1, 1, 5, 6])
    result = rank_correlation_without_each(x, y, np.array([0, 1, 1, 0, 2, 2]))
    assert np.isfinite(result.rho).tolist() == [True, True, True, False]
    assert result.weight.tolist() == [3, 1, 1, 1]


def test_too_few_trials_and_what_the_control_determines_are_undefined():
    x, y = np.arange(4.0), np.array([1.0, 3, 2, 5])
    few = rank_correlation_without_each(x, y, np.arange(4))
    assert few.rho[0] == pytest.approx(stats.spearmanr(x, y).statistic)
    assert few.weight[1:].tolist() == [0] * 4  # three trials have a correlation, which weighs nothing
    assert np.isnan(rank_correlation_without_each(x, y, np.arange(4), y).rho).all()
    x, y, _, cluster = sample()
    assert np.isnan(rank_correlation_without_each(x, y, cluster, np.exp(x)).rho).all()


@pytest.mark.parametrize(("n", "clusters"), [(30, 30), (48, 8), (300, 7)])
@pytest.mark.parametrize("decimals", [9, 0])  # without and with ties
def test_tau_without_a_cluster_is_scipys_of_the_rest(n, clusters, decimals):
    rng = np.random.default_rng(n)
    cluster = rng.permutation(np.arange(n) % clusters)
    x = rng.normal(size=n).round(decimals)
    y = (x + rng.normal(size=n)).round(decimals)
    expected = [stats.kendalltau(x[cluster != g], y[cluster != g]).statistic for g in range(clusters)]
    np.testing.assert_allclose(deleted_kendall(x, y, cluster, clusters), expected, atol=1e-12)


def test_tau_is_undefined_where_the_rest_is_constant_or_too_small():
    x, y = np.array([1.0, 1, 1, 1, 1, 2]), np.arange(6.0)
    tau = deleted_kendall(x, y, np.arange(6), 6)
    assert np.isnan(tau[5])
    assert np.isfinite(tau[:5]).all()
    assert np.isnan(deleted_kendall(y, y, np.array([0, 0, 1, 1, 2, 2]), 3)).all()  # four trials remain
