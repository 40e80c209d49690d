"""Kendall's tau-b of a sample without each of its clusters in turn."""

import numpy as np
from numpy.typing import NDArray

from analysis.rank_correlation import LOST, Floats

_BLOCK = 4_000_000
"""Pairs held at once."""
_ROWS = 120
"""Rows added at once: a sum of so many signs still fits eight bits."""


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
    order = np.argsort(cluster, kind="stable")
    rank_x, rank_y, cluster = _ranks(x[order]), _ranks(y[order]), cluster[order]
    sizes = np.bincount(cluster, minlength=n_clusters)
    inner = np.zeros(n_clusters)
    ends = np.cumsum(sizes)
    for g in np.flatnonzero(sizes > 1):
        members = slice(ends[g] - sizes[g], ends[g])
        inner[g] = _concordance(rank_x[members], rank_y[members]).sum()
    concordance = _without(_concordance(rank_x, rank_y), cluster, inner)
    untied_x = _without(len(x) - _ties(rank_x), cluster, sizes**2 - _ties_within(rank_x, cluster, n_clusters))
    untied_y = _without(len(x) - _ties(rank_y), cluster, sizes**2 - _ties_within(rank_y, cluster, n_clusters))
    with np.errstate(invalid="ignore", divide="ignore"):
        tau = np.where((untied_x > 0) & (untied_y > 0), concordance / np.sqrt(untied_x * untied_y), np.nan)
    return np.where(len(x) - sizes > LOST["kendall_tau_b"], np.clip(tau, -1.0, 1.0), np.nan)


def _without(per_trial: Floats, cluster: NDArray[np.intp], inner: Floats) -> Floats:
    return np.asarray(per_trial.sum() - 2 * np.bincount(cluster, per_trial, len(inner)) + inner)


def _ranks(values: Floats) -> NDArray[np.int32]:
    return np.unique(values, return_inverse=True)[1].astype(np.int32)


def _concordance(x: NDArray[np.int32], y: NDArray[np.int32]) -> Floats:
    """Per trial i, the sum over j of sgn(x_i − x_j) sgn(y_i − y_j)."""
    n = len(x)
    total = np.zeros(n)
    if int(x.max()) + 1 == int(y.max()) + 1 == n:
        # Without ties a pair is concordant or not: one comparison of two, and a trial agrees with itself.
        for start in range(0, n, _ROWS):
            rows = slice(start, start + _ROWS)
            agree = (x[rows, None] > x) == (y[rows, None] > y)
            total += agree.view(np.uint8).sum(axis=0, dtype=np.uint8)
        return 2 * total - n - 1
    step = min(_ROWS, max(1, _BLOCK // n))
    for start in range(0, n, step):
        rows = slice(start, start + step)
        signs = _signs(x[rows], x)
        signs *= _signs(y[rows], y)
        # The sum of the block's rows, not along them: S is symmetric, and so is added eight bits at a time.
        total += signs.sum(axis=0, dtype=np.int8)
    return total


def _signs(rows: NDArray[np.int32], columns: NDArray[np.int32]) -> NDArray[np.int8]:
    above = rows[:, None] > columns[None, :]
    below = rows[:, None] < columns[None, :]
    return above.view(np.int8) - below.view(np.int8)


def _ties(ranks: NDArray[np.int32]) -> Floats:
    """Per trial, how many trials have its value, itself among them."""
    return np.bincount(ranks)[ranks].astype(np.float64)


def _ties_within(ranks: NDArray[np.int32], cluster: NDArray[np.intp], n_clusters: int) -> Floats:
    """Per cluster, the ordered pairs of its trials with equal values, each with itself among them."""
    both, counts = np.unique(np.stack([cluster, ranks]), axis=1, return_counts=True)
    return np.bincount(both[0], counts**2, n_clusters).astype(np.float64)
