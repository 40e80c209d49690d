"""Rank correlation between the expected scores of configurations, cross-fitted over clusters.

Averages over few data seeds carry the association between seeds with them: a run that happens to have both a poor map
and a poor performance pulls both averages of its configuration down, so configurations that do not differ at all still
correlate as seeds do. Here the map's average comes from one half of the clusters and the performance's from the other,
which share no noise. What is left of the noise only weakens the correlation; the two halves' agreement about the same
score says by how much (Spearman, Am. J. Psychol. 15, 1904). That law holds for Pearson's correlations: a few units'
ranks agree less than the values behind them, since close neighbours swap first, and would correct too much; so the
agreement of ranks is turned into that of normal values first.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.stats.rank_correlation import Floats

SPLITS = 100
"""Random splits into halves that are averaged."""
_MOST = 5000
"""Splits × clusters; with many clusters fewer splits do."""
_FEWEST = 10


@dataclass(frozen=True)
class SplitHalves:
    """Correlations of the units' averages over random halves of the G clusters.

    The arrays are [1 + G]: of all clusters, then without each cluster.
    """

    cross: Floats
    """Mean Spearman's rho of x in one half with y in the other."""
    reliability_x: Floats
    """Mean rho of x in one half with x in the other."""
    reliability_y: Floats
    covariance: Floats
    """Mean covariance over the units of x in one half with y in the other."""
    variance_x: Floats
    """Mean covariance of x in one half with x in the other: an unbiased variance of its expected values."""
    variance_y: Floats
    n_units: int

    @property
    def rho(self) -> Floats:
        """[1 + G] cross / sqrt(r_x r_y), with r the `normal_correlation` of each reliability; NaN where one is not
        above 0."""
        r_x, r_y = self._agreement
        return np.clip(self.cross / np.sqrt(np.where((r_x > 0) & (r_y > 0), r_x * r_y, np.nan)), -1.0, 1.0)

    @property
    def unresolved(self) -> float:
        """Share in [0, 1] of the variance by draw of the units that the data do not resolve.

        Averages over all clusters correlate with expected values as sqrt(R), with R = 2 r / (1 + r) from the halves' r
        (Spearman; Brown, Br. J. Psychol. 3, 1910). So the share is 1 − R_x R_y; exact for uncorrelated normal values.
        """
        r_x, r_y = (max(float(r[0]), 0.0) for r in self._agreement)
        return 1 - 4 * r_x * r_y / ((1 + r_x) * (1 + r_y))

    @property
    def _agreement(self) -> list[Floats]:
        return [normal_correlation(rho, self.n_units) for rho in (self.reliability_x, self.reliability_y)]


def split_halves(x: Floats, y: Floats, *, seed: int, splits: int = SPLITS) -> SplitHalves:
    """Cross-fitted correlation over units (configurations or methods) of the expected values of x and y.

    Args:
        x, y: [units, clusters] a unit's mean over the trials of a cluster; NaN where it has none there, in both alike.
        seed: of the random halves.
        splits: how many halves to draw; fewer with more than 50 clusters.
    """
    present = np.isfinite(x) & np.isfinite(y)
    usable = present.sum(axis=1) >= 2
    if usable.sum() < 3:
        raise ValueError(f"{usable.sum()} units with trials in 2 clusters or more; halves need 3 units")
    x, y, present = x[usable], y[usable], present[usable]
    n_clusters = x.shape[1]
    # The effect of a cluster on all units would move a unit that lacks the cluster.
    means = (np.where(present, v, 0.0).sum(axis=0) / np.maximum(present.sum(axis=0), 1) for v in (x, y))
    effects = [np.where(present, values - mean, 0.0) for values, mean in zip((x, y), means, strict=True)]
    n_splits = max(_FEWEST, min(splits, _MOST // n_clusters))
    rng = np.random.default_rng([seed, n_clusters])
    order = rng.permuted(np.tile(np.arange(n_clusters), (n_splits, 1)), axis=1)
    first = np.argsort(order, axis=1) < n_clusters // 2
    halves = [_averages(values, present, members) for values in effects for members in (first, ~first)]
    pairs = ((0, 3), (1, 2), (0, 1), (2, 3))
    with np.errstate(invalid="ignore", divide="ignore"):
        ranks = [_standard(stats.rankdata(average, axis=2)) for average in halves]
    centred = [average - average.mean(axis=2, keepdims=True) for average in halves]
    rho = [_over_splits(ranks[a], ranks[b]) / len(x) for a, b in pairs]
    covariance = [_over_splits(centred[a], centred[b]) / (len(x) - 1) for a, b in pairs]
    return SplitHalves(
        cross=(rho[0] + rho[1]) / 2,
        reliability_x=rho[2],
        reliability_y=rho[3],
        covariance=(covariance[0] + covariance[1]) / 2,
        variance_x=covariance[2],
        variance_y=covariance[3],
        n_units=len(x),
    )


def normal_correlation(rho: Floats, n: int) -> Floats:
    """Pearson's r of a bivariate normal law of which n pairs have this expected Spearman's rho.

    That is 6 / (pi (n + 1)) (asin r + (n − 2) asin(r / 2)) (Moran, Biometrika 35, 1948), here inverted to 0.001.
    """
    r = np.linspace(-1, 1, 2001)
    expected = 6 / (np.pi * (n + 1)) * (np.arcsin(r) + (n - 2) * np.arcsin(r / 2))
    return np.asarray(np.interp(rho, expected, r))


def _over_splits(a: Floats, b: Floats) -> Floats:
    """[1 + clusters] sum of products over the units, averaged over the splits."""
    return np.asarray(np.einsum("scu,scu->c", a, b) / len(a))


def _averages(values: Floats, present: NDArray[np.bool_], members: NDArray[np.bool_]) -> Floats:
    """[splits, 1 + clusters, units] averages over each split's members: of all, and without each cluster in turn.

    A unit without trials among them gets the units' common mean, 0. Shapes: values and present [units, clusters],
    members [splits, clusters].
    """
    parts = np.stack([np.where(members[:, :, None], each.T, 0.0) for each in (values, present)])
    whole = parts.sum(axis=2, keepdims=True)
    sums, sizes = np.concatenate([whole, whole - parts], axis=2)
    return np.where(sizes > 0, sums / np.maximum(sizes, 1), 0.0)


def _standard(ranks: Floats) -> Floats:
    """Ranks with mean 0 and variance 1 over the units; NaN where all are tied."""
    centred = ranks - ranks.mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True)))
