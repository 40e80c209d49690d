"""Rank correlations of a group of trials, whole and without each of its clusters."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.stats.rank_correlation import FISHER_D, Floats, Ints

Counts = NDArray[np.int64]

_BLOCK = 4_000_000
"""Ranks held at once."""
_TINY = 1e-9


@dataclass(frozen=True)
class WithoutEach:
    """A statistic of one group of trials: of all of them, and without each of its clusters.

    The first entry of each array is the whole group; the others follow the order of `clusters`.
    """

    clusters: Ints
    """[g] the group's clusters."""
    rho: Floats
    """[1 + g] rank correlation in [−1, 1], NaN where undefined or of fewer than 3."""
    weight: Floats
    """[1 + g] n − d of its Fisher's z, at least 0."""
    cross: Floats
    """[1 + g] sum of products of x and y about their means, given the control; cross / squares is the slope."""
    squares: Floats
    """[1 + g] sum of squares of x about its mean, given the control."""


def rank_correlation_without_each(x: Floats, y: Floats, cluster: Ints, control: Floats | None = None) -> WithoutEach:
    """Spearman's rho of x and y in one group; given a control, the partial rho of the ranks with one slope.

    With r the rank correlations, the partial one is (r_xy − r_xa r_ya) / sqrt((1 − r_xa²) (1 − r_ya²)): Pearson's of
    the residuals of both ranks on the control's ranks (Conover, Practical Nonparametric Statistics, 1999, section
    5.4). Its Fisher's z has the weight n − 4, one less than rho's (Fisher, Metron 3, 1924).

    Args:
        x, y: [n], none missing.
        cluster: [n] the cluster of each trial.
        control: [n], none missing; where it is constant, rho is that without control.
    """
    clusters, position = np.unique(cluster, return_inverse=True)
    names = [x, y] if control is None else [x, y, control]
    lost = 3 if control is None else 4
    step = max(1, _BLOCK // len(x))
    blocks = []
    for start in range(-1, len(clusters), step):
        left_out = np.arange(start, min(start + step, len(clusters)))[:, None]
        kept = (position != left_out).astype(np.float64)
        size = kept.sum(axis=1)
        ranks = [_centred(weighted_midranks(values, kept), kept, size) for values in names]
        raw = [_centred(np.broadcast_to(values, kept.shape), kept, size) for values in names]
        xy, xx, yy = _moments(ranks, kept)
        cross, squares, _ = _moments(raw, kept)
        with np.errstate(invalid="ignore", divide="ignore"):
            rho = np.clip(xy / np.sqrt(xx * yy), -1.0, 1.0)
        rho = np.where((xx > _TINY) & (yy > _TINY) & (size >= 3), rho, np.nan)
        blocks.append((rho, np.maximum(size - lost, 0.0), cross, squares))
    return WithoutEach(clusters, *map(np.concatenate, zip(*blocks, strict=True)))


def _centred(values: Floats, kept: Floats, size: Floats) -> Floats:
    """Deviations from the mean; those of a constant are zero, not what rounding leaves."""
    with np.errstate(invalid="ignore", divide="ignore"):
        deviations = values - ((values * kept).sum(axis=1) / size)[:, None]
    return np.where(np.abs(deviations) > 1e-12 * np.abs(values).max(initial=0.0), deviations, 0.0)


def _moments(parts: Sequence[Floats], kept: Floats) -> tuple[Floats, Floats, Floats]:
    """(xy, xx, yy), each less what the control explains."""
    x, y = parts[:2]
    xy, xx, yy = ((kept * a * b).sum(axis=1) for a, b in ((x, y), (x, x), (y, y)))
    if len(parts) == 3:
        a = parts[2]
        ax, ay, aa = (kept * a * x).sum(axis=1), (kept * a * y).sum(axis=1), (kept * a * a).sum(axis=1)
        varies = aa > 0
        safe = np.where(varies, aa, 1.0)
        xy, xx, yy = (
            whole - np.where(varies, one * other / safe, 0.0)
            for whole, one, other in ((xy, ax, ay), (xx, ax, ax), (yy, ay, ay))
        )
    return xy, xx, yy


def weighted_midranks(values: Floats, weights: Floats) -> Floats:
    """Midrank of each value in a sample that repeats it `weights` times, for many samples at once.

    A group of ties with L copies below it and U up to its end has the midrank (L + U + 1) / 2; weights of one give the
    usual midranks.

    Args:
        values: [n], none missing.
        weights: [samples, n], whole and not negative.

    Returns:
        [samples, n]; a value that does not occur gets the rank that it would have.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    tied = weights[:, order]
    if len(starts) < len(values):
        tied = np.add.reduceat(tied, starts, axis=1)
    upto = np.cumsum(tied, axis=1)
    group = np.empty(len(values), dtype=np.intp)
    group[order] = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(values))))
    return np.asarray((upto - (tied - 1) / 2)[:, group], dtype=np.float64)


def deleted_kendall(x: Floats, y: Floats, cluster: Ints, n_clusters: int) -> Floats:
    """Kendall's tau-b without the trials of cluster 0, of cluster 1, ….

    tau-b = S / sqrt(U_x U_y), with S the sum of sgn(x_i − x_j) sgn(y_i − y_j) over ordered pairs and U the number of
    pairs not tied. Deleting a cluster removes from each of the three twice the sum over its trials' pairs, minus the
    pairs within the cluster, which that counts twice.

    Args:
        x, y: [n], none missing.
        cluster: [n] from 0 to n_clusters − 1.

    Returns:
        [n_clusters] in [−1, 1]; NaN where x or y is constant or fewer than 5 trials remain.
    """
    rank_x, rank_y = _ranks(x), _ranks(y)
    sizes = np.bincount(cluster, minlength=n_clusters)
    inner = np.zeros(n_clusters)
    if sizes.max() > 1:
        # Stacked one above the other in both, pairs across clusters count 1 and pairs within as before.
        stacked = _concordance(_ranks(cluster * len(x) + rank_x), _ranks(cluster * len(x) + rank_y))
        inner = np.bincount(cluster, stacked, n_clusters) - sizes * (len(x) - sizes)
    concordance = _without(_concordance(rank_x, rank_y), cluster, inner)
    untied_x = _without(len(x) - _ties(rank_x), cluster, sizes**2 - _ties_within(rank_x, cluster, n_clusters))
    untied_y = _without(len(x) - _ties(rank_y), cluster, sizes**2 - _ties_within(rank_y, cluster, n_clusters))
    with np.errstate(invalid="ignore", divide="ignore"):
        tau = np.where((untied_x > 0) & (untied_y > 0), concordance / np.sqrt(untied_x * untied_y), np.nan)
    return np.where(len(x) - sizes > FISHER_D["kendall_tau_b"], np.clip(tau, -1.0, 1.0), np.nan)


def _without(per_trial: Floats, cluster: Ints, inner: Floats) -> Floats:
    return np.asarray(per_trial.sum() - 2 * np.bincount(cluster, per_trial, len(inner)) + inner)


def _ranks(values: Floats | Counts) -> Counts:
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _concordance(x: Counts, y: Counts) -> Floats:
    """Per trial i, the sum over j of sgn(x_i − x_j) sgn(y_i − y_j) in n log² n steps; x and y are ranks from 0."""
    n = len(x)
    below_x, up_to_x = _lower(x)
    below_y, up_to_y = _lower(y)
    # Trials lower in both: in ascending x, with y descending among equal x, those before it that have a lower y.
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
    """Per trial, (the number of trials of lower rank, the number of trials of no higher rank)."""
    counts = np.bincount(ranks)
    ends = np.cumsum(counts)
    return (ends - counts)[ranks], ends[ranks]


def _earlier_and_lower(ranks: Counts) -> Counts:
    """Per position, the number of earlier positions that hold a lower rank.

    Two ranks first differ in one bit. From the highest bit down, ranks that agree so far stay together in order of
    position; a rank with the bit set is higher than the earlier ones of its group without it.
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
    """Per trial, the number of trials with its value, itself included."""
    return np.bincount(ranks)[ranks].astype(np.float64)


def _ties_within(ranks: Counts, cluster: Ints, n_clusters: int) -> Floats:
    """Per cluster, the ordered pairs of its trials with equal values, each trial with itself included."""
    both, counts = np.unique(np.stack([cluster, ranks]), axis=1, return_counts=True)
    return np.bincount(both[0], counts**2, n_clusters).astype(np.float64)
