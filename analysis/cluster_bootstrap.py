"""The percentile cluster bootstrap over data seeds: all trials of one data seed are drawn together.

Trials that share a data seed share their images, so they are not independent; data seeds are (Davison &
Hinkley, Bootstrap Methods and their Application, 1997, section 3.8; Field & Welsh, J. R. Stat. Soc. B 69,
2007). A replicate draws as many data seeds as there are, with replacement, within each dataset. The kernels
below never build the replicate's table: they weight each trial by how often its data seed was drawn.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.rank_correlation import LEVEL, LOST, Floats

REPLICATES = 2000
MINIMUM_CLUSTERS = 10
"""Fewest data seeds to resample; with fewer the percentile interval is far too narrow."""
MINIMUM_DEFINED = 0.9
"""Share of replicates in which the statistic must be defined for an interval to be given."""
_BLOCK = 400_000  # weights held at once, so that a block stays near the processor


@dataclass(frozen=True)
class Resamples:
    """How often each data seed was drawn in each replicate, the same draws for every statistic."""

    cluster: NDArray[np.intp]
    """Per trial, the index of its (dataset, data seed)."""
    dataset: NDArray[np.intp]
    """Per cluster, the index of its dataset."""
    counts: Floats
    """[replicates, clusters]: times drawn; each dataset's row sums to its number of data seeds."""

    def n_clusters(self, rows: NDArray[np.intp]) -> int:
        """Data seeds among these trials."""
        return len(np.unique(self.cluster[rows]))

    def enough(self, rows: NDArray[np.intp]) -> bool:
        """Whether each dataset among these trials has at least `MINIMUM_CLUSTERS` data seeds there."""
        clusters = np.unique(self.cluster[rows])
        if not len(clusters):
            return False
        _, per_dataset = np.unique(self.dataset[clusters], return_counts=True)
        return bool(per_dataset.min() >= MINIMUM_CLUSTERS)


def draw_resamples(table: pd.DataFrame, *, replicates: int, seed: int) -> Resamples:
    """Draw data seeds within dataset. Each dataset has a stream of its own, seeded by `seed` and its name."""
    keys = table[["dataset", "data_seed"]].drop_duplicates().sort_values(["dataset", "data_seed"], ignore_index=True)
    index = pd.MultiIndex.from_frame(keys)
    cluster = index.get_indexer(pd.MultiIndex.from_frame(table[["dataset", "data_seed"]]))
    names = sorted(keys["dataset"].unique())
    dataset = np.asarray([names.index(name) for name in keys["dataset"]], dtype=np.intp)
    counts = np.empty((replicates, len(keys)))
    for position, name in enumerate(names):
        members = np.flatnonzero(dataset == position)
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        counts[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=replicates)
    return Resamples(np.asarray(cluster, dtype=np.intp), dataset, counts)


def percentile_interval(replicates: Floats) -> tuple[float, float, float] | None:
    """(lower bound, upper bound, p-value), or None where under 90 % of the replicates are defined.

    The p-value is twice the smaller share of replicates on one side of zero, with one added to counts on both
    sides of the fraction so that it is never zero: the level at which the interval just reaches zero.
    """
    defined = replicates[np.isfinite(replicates)]
    if len(defined) < max(1, MINIMUM_DEFINED * len(replicates)):
        return None
    low, high = np.quantile(defined, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    tail = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return float(low), float(high), min(1.0, 2 * (tail + 1) / (len(defined) + 1))


def replicate(
    x: Floats, y: Floats, rows: NDArray[np.intp], resamples: Resamples, statistic: str
) -> tuple[Floats, Floats]:
    """A rank correlation in every replicate.

    Args:
        x, y: [n] the values of the trials `rows`, in their order, none missing.
        rows: [n] positions of these trials in the table the resamples were drawn from.

    Returns:
        (the correlation, the number of trials), each per replicate; NaN where a column is constant or the
        replicate has too few trials.
    """
    compute = _spearman if statistic == "spearman" else _kendall
    values, sizes = compute(x, y, resamples.cluster[rows], resamples.counts)
    return np.where(sizes > LOST[statistic], values, np.nan), sizes


def _spearman(x: Floats, y: Floats, cluster: NDArray[np.intp], counts: Floats) -> tuple[Floats, Floats]:
    values, sizes = np.empty(len(counts)), np.empty(len(counts))
    order = np.argsort(x, kind="stable")
    x, y, cluster = x[order], y[order], cluster[order]
    order_y = np.argsort(y, kind="stable")
    back = np.argsort(order_y)
    last_x, last_y = _last_of_ties(x), _last_of_ties(y[order_y])
    step = max(1, _BLOCK // len(x))
    for start in range(0, len(counts), step):
        weights = counts[start : start + step][:, cluster]
        total = weights.sum(axis=1)
        # Deviations from the mean midrank (N + 1) / 2 of the expanded sample.
        rank_x = _midranks(weights, last_x) - (total[:, None] + 1) / 2
        rank_y = _midranks(weights[:, order_y], last_y)[:, back] - (total[:, None] + 1) / 2
        weighted = weights * rank_x
        covariance = np.einsum("bn,bn->b", weighted, rank_y)
        variance_x = np.einsum("bn,bn->b", weighted, rank_x)
        variance_y = np.einsum("bn,bn,bn->b", weights, rank_y, rank_y)
        values[start : start + step] = _ratio(covariance, variance_x * variance_y)
        sizes[start : start + step] = total
    return values, sizes


def _last_of_ties(ordered: Floats) -> NDArray[np.intp] | None:
    """Per position, the last position with the same value; None without ties."""
    ends = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    return None if len(ends) == len(ordered) else ends[np.searchsorted(ends, np.arange(len(ordered)))]


def _midranks(weights: Floats, last: NDArray[np.intp] | None) -> Floats:
    """[replicates, n] midranks of values in ascending order, each occurring `weights` times.

    A group of ties with L values below it and U up to its end has the midrank (L + U + 1) / 2.
    """
    upto = np.cumsum(weights, axis=1)
    if last is None:
        return upto - (weights - 1) / 2
    padded = np.concatenate([np.zeros((len(weights), 1)), upto], axis=1)
    first = np.concatenate([[0], np.flatnonzero(np.diff(last)) + 1])
    below = first[np.searchsorted(first, np.arange(len(last)), side="right") - 1]
    return (padded[:, below] + upto[:, last] + 1) / 2


def _kendall(x: Floats, y: Floats, cluster: NDArray[np.intp], counts: Floats) -> tuple[Floats, Floats]:
    """tau-b as a ratio of quadratic forms in the counts m: m'Tm / sqrt(m'Ux m · m'Uy m).

    T sums sgn(x_i − x_j) sgn(y_i − y_j), and Ux and Uy the pairs not tied in x and in y, over the ordered
    pairs of trials of two clusters. Copies of one trial are tied in both and so drop out of all three.
    """
    order = np.argsort(cluster, kind="stable")
    x, y, cluster = x[order], y[order], cluster[order]
    members, starts, sizes = np.unique(cluster, return_index=True, return_counts=True)
    position = np.searchsorted(members, cluster)
    forms = [np.zeros((len(members), len(members))) for _ in range(3)]
    step = max(1, 10 * _BLOCK // len(x))
    for start in range(0, len(x), step):
        block = slice(start, start + step)
        sign_x, sign_y = _signs(x[block], x), _signs(y[block], y)
        present, first = np.unique(position[block], return_index=True)
        for form, pairs in zip(forms, (sign_x * sign_y, np.abs(sign_x), np.abs(sign_y)), strict=True):
            by_column = np.add.reduceat(pairs, starts, axis=1, dtype=np.float64)
            form[present] += np.add.reduceat(by_column, first, axis=0)
    drawn = counts[:, members]
    concordance, untied_x, untied_y = (np.einsum("bc,bc->b", drawn @ form, drawn) for form in forms)
    return _ratio(concordance, untied_x * untied_y), drawn @ sizes.astype(float)


def _signs(rows: Floats, columns: Floats) -> NDArray[np.int8]:
    """sgn(rows_i − columns_j) for all pairs."""
    above = rows[:, None] > columns[None, :]
    below = rows[:, None] < columns[None, :]
    return above.view(np.int8) - below.view(np.int8)


def _ratio(numerator: Floats, squared: Floats) -> Floats:
    """numerator / sqrt(squared) in [−1, 1], NaN where the denominator is zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.where(squared > 1e-9, numerator / np.sqrt(squared), np.nan)
    return np.clip(value, -1.0, 1.0)
