"""Spearman's rho of many samples whose trials occur with given weights, such as a bootstrap's draws."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.stats.rank_correlation import LOST, Floats

_BLOCK = 400_000
"""Weights held at once, so that a block stays near the processor."""
_PIECE = 4096
"""Most rows summed in the weights' own precision; sums of pieces are in double precision."""
_FEWEST = 16
"""Fewest replicates in a block: with fewer, the arithmetic on them is not done several at once."""
_STRIDE = 32


def weighted_spearman(
    x: Floats,
    y: Floats,
    sample: NDArray[np.intp],
    cluster: NDArray[np.intp],
    weights: NDArray[np.floating],
) -> tuple[Floats, Floats]:
    """rho of every column of x with y, in every sample, under every row of weights.

    A trial of weight m counts as m copies of it: rho is Pearson's correlation of the midranks of the expanded
    sample, which is never built. All that is needed of it are running totals of the weights in the order of x and
    of y: a group of ties with L copies below it and U up to its end has the midrank (L + U + 1) / 2. Ranks are
    doubled below, which rho does not notice.

    Args:
        x: [columns, n], none missing.
        y: [n], none missing.
        sample: [n] the sample a trial belongs to, 0, 1, …, none without a trial.
        cluster: [n] the column of `weights` that a trial takes its weight from.
        weights: [replicates, clusters], whole numbers; in single precision the result is good to about 1e-6.

    Returns:
        (rho [columns, samples, replicates], the expanded samples' sizes [samples, replicates]); rho is NaN where a
        column is constant or fewer than 4 copies are left.
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
    return np.where(sizes > LOST["spearman"], rho, np.nan), sizes


class _Ranker:
    """Midranks of values in ascending order within their samples, for any weights."""

    def __init__(self, values: Floats, sample: NDArray[np.intp], starts: NDArray[np.intp]):
        self.starts, self.ends = starts, np.append(starts[1:], len(values))
        first = np.append(True, (np.diff(values) != 0) | (np.diff(sample) != 0))
        self.tied = not first.all()
        group = np.cumsum(first) - 1
        begins = np.flatnonzero(first)
        self.first = begins[group]
        self.last = np.append(begins[1:], len(values))[group] - 1

    def deviations(self, weights: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """(twice the midranks less their sample's mean rank [n, replicates], sizes [samples, replicates])."""
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
    """np.cumsum(weights, axis=0), several times as fast: within strides first, then over them."""
    n, width = weights.shape
    padded = np.zeros((n + -n % _STRIDE, width), dtype=weights.dtype)
    padded[:n] = weights
    strides = padded.reshape(-1, _STRIDE, width)
    for i in range(1, _STRIDE):
        strides[:, i] += strides[:, i - 1]
    strides[1:] += np.cumsum(strides[:-1, -1], axis=0)[:, None]
    return padded[:n]


def _pieces(starts: NDArray[np.intp], n: int) -> list[list[slice]]:
    """Each sample's rows in slices of at most `_PIECE`."""
    ends = [*starts[1:].tolist(), n]
    return [
        [slice(a, min(a + _PIECE, end)) for a in range(start, end, _PIECE)]
        for start, end in zip(starts.tolist(), ends, strict=True)
    ]


def _sums(pieces: Sequence[Sequence[slice]], a: NDArray[np.floating], b: NDArray[np.floating]) -> Floats:
    """[samples, replicates]: sums of a * b over each sample's rows."""
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
