"""Rank correlations of many reweighted samples at once: bootstrap draws and samples without one cluster.

A replicate's table is never built. A trial of weight m counts as m copies, so that rho needs only running totals of
the weights; tau-b without a cluster is the whole sample's sum less that cluster's pairs.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.stats.rank_correlation import FISHER_D, Floats, Ints

Counts = NDArray[np.int64]

_BLOCK = 400_000
"""Weights per block, so that a block stays in the processor's cache."""
_PIECE = 4096
"""Most rows summed in the precision of the weights; the pieces are then summed in double precision."""
_FEWEST = 16
"""Fewest replicates per block; with fewer, the arithmetic is not vectorised."""
_STRIDE = 32
"""Rows per stride of a running total."""


def weighted_spearman(
    x: Floats,
    y: Floats,
    sample: Ints,
    cluster: Ints,
    weights: NDArray[np.floating],
) -> tuple[Floats, Floats]:
    """Spearman's rho of every column of x with y, in every sample, under every row of weights.

    rho is Pearson's correlation of the midranks of the sample in which each trial occurs as often as its weight says.
    A group of ties with L copies below it and U up to its end has the midrank (L + U + 1) / 2, so running totals of the
    weights in the order of x and of y are enough. Ranks are doubled in the code, which leaves rho unchanged.

    Args:
        x: [columns, n], none missing.
        y: [n], none missing.
        sample: [n] the sample of each trial: 0, 1, …, each with at least one trial.
        cluster: [n] the column of `weights` that holds the trial's weight.
        weights: [replicates, clusters], whole numbers; single precision gives rho to about 1e-6.

    Returns:
        (rho [columns, samples, replicates], sizes of the weighted samples [samples, replicates]); rho is in [−1, 1] and
        NaN where a column is constant or fewer than 4 copies remain.
    """
    order = np.lexsort((y, sample))
    x, y, sample, cluster = x[:, order], y[order], sample[order], cluster[order]
    starts = np.flatnonzero(np.append(True, np.diff(sample) != 0))
    pieces = _pieces(starts, len(y))
    by_y = _Ranker(y, sample, starts)
    orders = [np.lexsort((column, sample)) for column in x]
    by_x = [_Ranker(column[o], sample, starts) for column, o in zip(x, orders, strict=True)]
    rho = np.empty((len(x), len(starts), len(weights)))
    sizes = np.empty((len(starts), len(weights)))
    step = max(_FEWEST, _BLOCK // len(y))
    for begin in range(0, len(weights), step):
        block = slice(begin, begin + step)
        drawn = np.ascontiguousarray(weights[block].T).take(cluster, axis=0)
        rank_y, sizes[:, block] = by_y.deviations(drawn)
        variance_y = _sums(pieces, drawn * rank_y, rank_y)
        for column, (o, ranker) in enumerate(zip(orders, by_x, strict=True)):
            weight = drawn.take(o, axis=0)
            rank_x, _ = ranker.deviations(weight)
            weighted = weight * rank_x
            covariance = _sums(pieces, weighted, rank_y.take(o, axis=0))
            rho[column, :, block] = _ratio(covariance, _sums(pieces, weighted, rank_x) * variance_y)
    return np.where(sizes > FISHER_D["spearman"], rho, np.nan), sizes


class _Ranker:
    """Midranks, for any weights, of values that ascend within their samples."""

    def __init__(self, values: Floats, sample: Ints, starts: Ints):
        self.starts, self.ends = starts, np.append(starts[1:], len(values))
        first = np.append(True, (np.diff(values) != 0) | (np.diff(sample) != 0))
        self.tied = not first.all()
        group = np.cumsum(first) - 1
        begins = np.flatnonzero(first)
        self.first = begins[group]
        self.last = np.append(begins[1:], len(values))[group] - 1

    def deviations(self, weights: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """(twice the midranks minus their sample's mean rank [n, replicates], sizes [samples, replicates])."""
        upto = _running_total(weights)
        below = upto[self.starts] - weights[self.starts]
        last = upto[self.ends - 1]
        if self.tied:
            doubled = upto.take(self.last, axis=0)
            upto -= weights
            doubled += upto.take(self.first, axis=0)
        else:
            doubled = upto
            doubled *= 2
            doubled -= weights
        for start, end, centre in zip(self.starts, self.ends, below + last, strict=True):
            doubled[start:end] -= centre
        return doubled, last - below


def _running_total(weights: NDArray[np.floating]) -> NDArray[np.floating]:
    """np.cumsum(weights, axis=0) several times as fast: first within strides, then over them."""
    n, width = weights.shape
    padded = np.zeros((n + -n % _STRIDE, width), dtype=weights.dtype)
    padded[:n] = weights
    strides = padded.reshape(-1, _STRIDE, width)
    for i in range(1, _STRIDE):
        strides[:, i] += strides[:, i - 1]
    strides[1:] += np.cumsum(strides[:-1, -1], axis=0)[:, None]
    return padded[:n]


def _pieces(starts: Ints, n: int) -> list[list[slice]]:
    """Rows of each sample in slices of at most `_PIECE`."""
    ends = [*starts[1:].tolist(), n]
    return [
        [slice(a, min(a + _PIECE, end)) for a in range(start, end, _PIECE)]
        for start, end in zip(starts.tolist(), ends, strict=True)
    ]


def _sums(pieces: Sequence[Sequence[slice]], a: NDArray[np.floating], b: NDArray[np.floating]) -> Floats:
    """[samples, replicates] sums of a * b over the rows of each sample."""
    total = np.zeros((len(pieces), a.shape[1]))
    for position, rows in enumerate(pieces):
        for piece in rows:
            total[position] += np.einsum("nb,nb->b", a[piece], b[piece])
    return total


def _ratio(numerator: Floats, squared: Floats) -> Floats:
    """numerator / sqrt(squared) in [−1, 1], NaN where the denominator is zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.where(squared > 1e-9, numerator / np.sqrt(squared), np.nan)
    return np.asarray(np.clip(value, -1.0, 1.0))


def weighted_midranks(values: Floats, weights: Floats) -> Floats:
    """Midrank of each value in a sample that repeats it `weights` times, for many samples at once.

    A group of ties with L copies below it and U up to its end has the midrank (L + U + 1) / 2; weights of one give the
    usual midranks.

    Args:
        values: [n], none missing.
        weights: [samples, n], whole and not negative, such as the draws of a bootstrap replicate.

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
