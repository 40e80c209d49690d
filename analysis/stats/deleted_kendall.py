"""Kendall's tau-b of a sample without each of its clusters in turn."""

import numpy as np
from numpy.typing import NDArray

from analysis.stats.rank_correlation import LOST, Floats

Counts = NDArray[np.int64]


def deleted_kendall(x: Floats, y: Floats, cluster: NDArray[np.intp], n_clusters: int) -> Floats:
    """tau-b without the trials of cluster 0, of cluster 1, ….

    tau-b = S / sqrt(U_x U_y), with S the sum of sgn(x_i − x_j) sgn(y_i − y_j) over ordered pairs and U the pairs not
    tied. Without a cluster, each of the three loses twice the sum over its trials' pairs, less the pairs within the
    cluster, which that counts twice.

    Args:
        x, y: [n], none missing.
        cluster: [n] from 0 to n_clusters − 1.

    Returns:
        [n_clusters]; NaN where a column is constant or fewer than 5 trials are left.
    """
    rank_x, rank_y = _ranks(x), _ranks(y)
    sizes = np.bincount(cluster, minlength=n_clusters)
    inner = np.zeros(n_clusters)
    if sizes.max() > 1:
        # With the clusters one above the other in both, a pair of two clusters counts 1 and one within as it is.
        stacked = _concordance(_ranks(cluster * len(x) + rank_x), _ranks(cluster * len(x) + rank_y))
        inner = np.bincount(cluster, stacked, n_clusters) - sizes * (len(x) - sizes)
    concordance = _without(_concordance(rank_x, rank_y), cluster, inner)
    untied_x = _without(len(x) - _ties(rank_x), cluster, sizes**2 - _ties_within(rank_x, cluster, n_clusters))
    untied_y = _without(len(x) - _ties(rank_y), cluster, sizes**2 - _ties_within(rank_y, cluster, n_clusters))
    with np.errstate(invalid="ignore", divide="ignore"):
        tau = np.where((untied_x > 0) & (untied_y > 0), concordance / np.sqrt(untied_x * untied_y), np.nan)
    return np.where(len(x) - sizes > LOST["kendall_tau_b"], np.clip(tau, -1.0, 1.0), np.nan)


def _without(per_trial: Floats, cluster: NDArray[np.intp], inner: Floats) -> Floats:
    return np.asarray(per_trial.sum() - 2 * np.bincount(cluster, per_trial, len(inner)) + inner)


def _ranks(values: Floats | Counts) -> Counts:
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _concordance(x: Counts, y: Counts) -> Floats:
    """Per trial i, the sum over j of sgn(x_i − x_j) sgn(y_i − y_j), in n log² n steps; x and y are ranks from 0."""
    n = len(x)
    below_x, up_to_x = _lower(x)
    below_y, up_to_y = _lower(y)
    # Trials lower in both: where x ascends, and y descends among equal x, those before it that have a lower y.
    order = np.lexsort((-y, x))
    below = np.empty(n, dtype=np.int64)
    below[order] = _earlier_and_lower(y[order])
    by_x, by_y = x * n + y, y * n + x
    in_x, in_y = np.sort(by_x), np.sort(by_y)
    equal_x_below_y = np.searchsorted(in_x, by_x) - below_x
    equal_y_below_x = np.searchsorted(in_y, by_y) - below_y
    equal = np.searchsorted(in_x, by_x, side="right") - np.searchsorted(in_x, by_x)
    above = n - up_to_x - up_to_y + below + equal_x_below_y + equal_y_below_x + equal
    opposed = below_x - below - equal_y_below_x + below_y - below - equal_x_below_y
    return (below + above - opposed).astype(np.float64)


def _lower(ranks: Counts) -> tuple[Counts, Counts]:
    """Per trial, how many trials have a lower rank, and how many no higher one."""
    counts = np.bincount(ranks)
    ends = np.cumsum(counts)
    return (ends - counts)[ranks], ends[ranks]


def _earlier_and_lower(ranks: Counts) -> Counts:
    """Per place, how many places before it have a lower rank.

    Two ranks differ first in one bit. From the highest bit down, ranks that agree so far stand together in the order of
    their places; one that has the bit is higher than those before it that have it not.
    """
    lower = np.zeros(len(ranks), dtype=np.int64)
    order = np.arange(len(ranks))
    for bit in reversed(range(int(ranks.max()).bit_length())):
        high = ranks[order] >> bit
        without = 1 - (high & 1)
        before = np.cumsum(without) - without
        first = np.flatnonzero(np.diff(high >> 1, prepend=-1))
        before -= np.repeat(before[first], np.diff(first, append=len(order)))
        lower[order] += (1 - without) * before
        order = order[np.argsort(high, kind="stable")]
    return lower


def _ties(ranks: Counts) -> Floats:
    """Per trial, how many trials have its value, itself among them."""
    return np.bincount(ranks)[ranks].astype(np.float64)


def _ties_within(ranks: Counts, cluster: NDArray[np.intp], n_clusters: int) -> Floats:
    """Per cluster, the ordered pairs of its trials with equal values, each with itself among them."""
    both, counts = np.unique(np.stack([cluster, ranks]), axis=1, return_counts=True)
    return np.bincount(both[0], counts**2, n_clusters).astype(np.float64)
