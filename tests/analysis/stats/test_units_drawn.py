"""What the draw of a few units does to their ranks' agreement and to an interval."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.stats.split_halves import SplitHalves, normal_correlation, split_halves


@pytest.mark.parametrize(("n", "r"), [(4, 0.9), (6, -0.5), (25, 0.7)])
def test_the_expected_rank_correlation_of_few_normal_pairs_leads_back_to_theirs(n, r):
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 20_000, n))
    y = r * x + math.sqrt(1 - r**2) * noise
    ranks = [stats.rankdata(values, axis=1) - (n + 1) / 2 for values in (x, y)]
    rho = 12 * (ranks[0] * ranks[1]).sum(axis=1) / (n**3 - n)
    assert normal_correlation(np.array([rho.mean()]), n)[0] == pytest.approx(r, abs=0.015)


def test_it_keeps_the_ends_and_zero():
    assert normal_correlation(np.array([-1.0, 0.0, 1.0]), 5) == pytest.approx([-1, 0, 1], abs=1e-6)


def halves(reliability_x, reliability_y, cross=0.5, n_units=1000):
    arrays = {name: np.array([1.0]) for name in ("covariance", "variance_x", "variance_y")}
    scores = {"cross": cross, "reliability_x": reliability_x, "reliability_y": reliability_y}
    return SplitHalves(**arrays, **{name: np.array([value]) for name, value in scores.items()}, n_units=n_units)


def test_what_data_do_not_resolve_follows_from_both_reliabilities():
    # 1,000 pairs: Spearman's rho is 6 / pi asin(r / 2) up to 0.1 %; r = .6 in a half is 2 × .6 / 1.6 = .75 in all.
    rho = 6 / math.pi * math.asin(0.3)
    assert halves(1.0, 1.0).unresolved == pytest.approx(0, abs=1e-6)
    assert halves(rho, rho).unresolved == pytest.approx(1 - 0.75**2, abs=0.003)
    assert halves(rho, 0.0).unresolved == pytest.approx(1)


@pytest.mark.parametrize("settings", [5, 8])
def test_settings_of_noisy_scores_are_neither_over_nor_under_corrected(settings):
    rng, results = np.random.default_rng(2), []
    for _ in range(150):
        x, y = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=settings).T
        noise = 0.7 * rng.multivariate_normal([0, 0], [[1, -0.6], [-0.6, 1]], size=(settings, 8)).transpose(2, 0, 1)
        part = split_halves(x[:, None] + noise[0], y[:, None] + noise[1], seed=0, splits=15)
        results.append((part.rho[0], stats.spearmanr(x, y).statistic, part.cross[0]))
    estimate, true, raw = np.nanmean(results, axis=0)
    assert estimate == pytest.approx(true, abs=0.05)
    assert raw < true - 0.05, "without noise there is nothing to correct"
