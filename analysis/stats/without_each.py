"""Rank correlations of a group of trials, whole and without each of its clusters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.stats.rank_correlation import FISHER_D, Floats, Ints

Counts = NDArray[np.int64]

_BLOCK = 4_000_000
"""Ranks held at once."""
_TINY = 1e-9
FEWEST_FOR_CUBIC = 20
"""Fewest trials whose ranks are adjusted for a cubic in the control's, not a straight line."""


@dataclass(frozen=True)
class WithoutEach:
    """A statistic of one group of trials: of all of them, and without each of its clusters.

    The first entry of each array is of the whole group; the others follow the order of its `clusters`.
    """

    clusters: Ints
    rho: Floats
    """[1 + g] rank correlation, NaN where undefined or of fewer than 3."""
    weight: Floats
    """[1 + g] n − d of its Fisher's z, at least 0."""
    cross: Floats
    """[1 + g] sum of products of x and y about their means, given the control; cross / squares is the slope."""
    squares: Floats
    """[1 + g] sum of squares of x about its mean, given the control."""


def rank_correlation_without_each(x: Floats, y: Floats, cluster: Ints, control: Floats | None = None) -> WithoutEach:
    """Spearman's rho of x and y in one group; given a control, the partial rho of the ranks.

    The partial one is Pearson's correlation of the residuals of both ranks on a polynomial of the control's ranks: a
    straight line (Conover, Practical Nonparametric Statistics, 1999, section 5.4), or a cubic in groups of
    `FEWEST_FOR_CUBIC`, since performance may first rise and then fall with the control. Its Fisher's z has the weight
    n − 3 − degree (Fisher, Metron 3, 1924). A constant control changes nothing. No value may be missing.
    """
    clusters, position = np.unique(cluster, return_inverse=True)
    degree = 0 if control is None else 3 if len(x) >= FEWEST_FOR_CUBIC else 1
    step = max(1, _BLOCK // len(x))
    blocks = []
    for start in range(-1, len(clusters), step):
        left_out = np.arange(start, min(start + step, len(clusters)))[:, None]
        kept = (position != left_out).astype(np.float64)
        size = kept.sum(axis=1)
        controls = [] if control is None else _powers(weighted_midranks(control, kept), kept, size, degree)
        ranks = [_centred(weighted_midranks(values, kept), kept, size) for values in (x, y)]
        values = [_centred(np.broadcast_to(each, kept.shape), kept, size) for each in (x, y)]
        (xy, xx, yy), (cross, squares, _) = _moments([*ranks, *controls]), _moments([*values, *controls])
        with np.errstate(invalid="ignore", divide="ignore"):
            rho = np.clip(xy / np.sqrt(xx * yy), -1.0, 1.0)
        rho = np.where((xx > _TINY) & (yy > _TINY) & (size >= 3), rho, np.nan)
        blocks.append((rho, np.maximum(size - 3 - degree, 0.0), cross, squares))
    return WithoutEach(clusters, *map(np.concatenate, zip(*blocks, strict=True)))


def _centred(values: Floats, kept: Floats, size: Floats) -> Floats:
    """Deviations from the mean, 0 where not kept; those of a constant are zero, not what rounding leaves."""
    with np.errstate(invalid="ignore", divide="ignore"):
        deviations = kept * (values - ((values * kept).sum(axis=1) / size)[:, None])
    return np.where(np.abs(deviations) > 1e-12 * np.abs(values).max(initial=0.0), deviations, 0.0)


def _powers(ranks: Floats, kept: Floats, size: Floats, degree: int) -> list[Floats]:
    """The powers of the ranks as deviations, each orthogonal to those before it."""
    first = _centred(ranks, kept, size)
    powers: list[Floats] = []
    for exponent in range(1, degree + 1):
        power = _centred((first / len(ranks[0])) ** exponent, kept, size)
        for before in powers:
            squares = (before * before).sum(axis=1)
            power = power - before * ((power * before).sum(axis=1) / np.where(squares > 0, squares, np.inf))[:, None]
        # What rounding leaves of a power that the lower ones determine explains nothing.
        powers.append(np.where((power**2).sum(axis=1, keepdims=True) > _TINY, power, 0.0))
    return powers


def _moments(deviations: list[Floats]) -> tuple[Floats, Floats, Floats]:
    """(xy, xx, yy), each less what the controls explain, which are orthogonal."""
    x, y, *controls = deviations
    xy, xx, yy = ((a * b).sum(axis=1) for a, b in ((x, y), (x, x), (y, y)))
    for a in controls:
        ax, ay, aa = ((a * b).sum(axis=1) for b in (x, y, a))
        aa = np.where(aa > 0, aa, np.inf)
        xy, xx, yy = xy - ax * ay / aa, xx - ax * ax / aa, yy - ay * ay / aa
    return xy, xx, yy


def weighted_midranks(values: Floats, weights: Floats) -> Floats:
    """Midrank of each value in a sample that repeats it `weights` times, for many samples at once.

    A group of ties with L copies below it and U up to its end has the midrank (L + U + 1) / 2. A value that does not
    occur gets the rank that it would have. Shapes: values [n], weights and result [samples, n].
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
    pairs within the cluster, which that counts twice. The result is NaN where x or y is constant or fewer than 5 trials
    remain.
    """
    n, sizes, ranks = len(x), np.bincount(cluster, minlength=n_clusters), [_ranks(x), _ranks(y)]
    # Stacked one above the other in both, pairs across clusters count 1 and pairs within as before.
    stacked = [_ranks(cluster * n + rank) for rank in ranks]

    def without_each(sums: Floats, sums_within: Floats) -> Floats:
        """From each trial's sum over its pairs, and over those within its cluster."""
        return np.asarray(sums.sum() - np.bincount(cluster, 2 * sums - sums_within, n_clusters))

    concordance = without_each(_concordance(*ranks), _concordance(*stacked) - (n - sizes[cluster]))
    untied = [
        without_each(n - _ties(rank), sizes[cluster] - _ties(within))
        for rank, within in zip(ranks, stacked, strict=True)
    ]
    defined = np.minimum(*untied) > 0
    tau = concordance / np.sqrt(np.where(defined, untied[0] * untied[1], np.nan))
    return np.where(n - sizes > FISHER_D["kendall_tau_b"], np.clip(tau, -1.0, 1.0), np.nan)


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
