"""The cluster bootstrap over data seeds: all trials of one data seed are drawn together.

Trials that share a data seed share their images and are not independent; data seeds are (Davison & Hinkley, Bootstrap
Methods and their Application, 1997, section 3.8; Field & Welsh, J. R. Stat. Soc. B 69, 2007). A replicate draws as many
data seeds as there are, with replacement, within each dataset. Its table is never built: each trial is weighted by how
often its data seed was drawn.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.stats.rank_correlation import LEVEL, Floats, Ints
from analysis.stats.replicated import Replicated

REPLICATES = 2000
MINIMUM_RESAMPLED = 10
"""Fewest data seeds per dataset to resample; with fewer, the percentile interval is far too narrow."""
MINIMUM_DEFINED = 0.9
"""Share of replicates in which a statistic must be defined to have an interval."""
MAXIMUM_CLUSTERS = 500
"""Most clusters of a dataset; more data seeds are put into groups of equal size. They give a standard error to 3 %."""


@dataclass(frozen=True)
class Resamples:
    """How often each cluster was drawn in each replicate; all statistics share these draws."""

    cluster: Ints
    """[trials] the cluster of each: its (dataset, data seed) or group of data seeds."""
    dataset: Ints
    """[clusters] the dataset of each."""
    counts: Floats
    """[replicates, clusters] times drawn."""
    data_seed: Ints
    """[trials] the (dataset, data seed) of each."""

    def n_clusters(self, rows: Ints) -> int:
        """Number of data seeds among these trials."""
        return len(np.unique(self.data_seed[rows]))

    def replicated(self, values: Floats, clusters: Ints) -> Replicated:
        """A value from [1 + g]: whole, and without each of these clusters."""
        replicates = np.full(1 + len(self.dataset), values[0])
        replicates[1 + clusters] = values[1:]
        return Replicated(replicates, np.isin(np.arange(len(self.dataset)), clusters), self.dataset)

    def fewest(self, rows: Ints) -> int:
        """Number of clusters of the dataset that has the fewest among these trials; 0 without trials."""
        clusters = np.unique(self.cluster[rows])
        return int(np.unique(self.dataset[clusters], return_counts=True)[1].min()) if len(clusters) else 0

    def enough(self, rows: Ints) -> bool:
        """Whether each dataset among these trials has at least `MINIMUM_RESAMPLED` data seeds there."""
        return self.fewest(rows) >= MINIMUM_RESAMPLED


def draw_resamples(table: pd.DataFrame, *, replicates: int, seed: int) -> Resamples:
    """Draw data seeds within each dataset of a table; each dataset has its own stream, by `seed` and its name."""
    columns = ["dataset", "data_seed"]
    keys = table[columns].drop_duplicates().sort_values(columns, ignore_index=True)
    index = pd.MultiIndex.from_frame(keys)
    data_seed = np.asarray(index.get_indexer(pd.MultiIndex.from_frame(table[columns])), dtype=np.intp)
    cluster_of_key: list[Ints] = []
    dataset: list[Ints] = []
    counts: list[NDArray[np.int64]] = []
    for position, (name, members) in enumerate(keys.groupby("dataset", sort=True)):
        group_size = -(-len(members) // MAXIMUM_CLUSTERS)
        n = -(-len(members) // group_size)
        cluster_of_key.append(sum(map(len, dataset)) + np.arange(len(members)) // group_size)
        dataset.append(np.full(n, position, dtype=np.intp))
        rng = np.random.default_rng([seed, zlib.crc32(str(name).encode())])
        counts.append(rng.multinomial(n, np.full(n, 1 / n), size=replicates))
    return Resamples(
        cluster=np.asarray(np.concatenate(cluster_of_key)[data_seed], dtype=np.intp),
        dataset=np.concatenate(dataset),
        counts=np.hstack(counts).astype(np.float64),
        data_seed=data_seed,
    )


def percentile_interval(replicates: Floats) -> tuple[float, float] | None:
    """The replicates' 2.5 % and 97.5 % quantiles, or None where under 90 % of the replicates are defined."""
    defined = replicates[np.isfinite(replicates)]
    if len(defined) < max(1, MINIMUM_DEFINED * len(replicates)):
        return None
    low, high = np.quantile(defined, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return float(low), float(high)
