"""An estimate of any kind with its 95 % interval, by the jackknife or the bootstrap over data seeds."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from analysis.stats.cluster_bootstrap import MINIMUM_DEFINED, MINIMUM_RESAMPLED, Resamples, percentile_interval
from analysis.stats.cluster_jackknife import MINIMUM_CLUSTERS, satterthwaite
from analysis.stats.rank_correlation import LEVEL, Floats, Ints

UNDEFINED_WITHOUT_ONE = "undefined without one of the data seeds"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval; None where undefined, with the reason. Statistics add their own fields."""

    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    reason: str | None = None
    """Why there is no estimate."""
    interval_reason: str | None = None
    """Why there is an estimate without an interval."""


def jackknife_bounds(estimate: float, deleted: Floats, dataset: Ints) -> dict[str, Any]:
    """Interval fields of an `Estimate` by the delete-one-data-seed jackknife, on the estimate's own scale.

    estimate ± t SE with SE² = sum over datasets of (G − 1) / G sum over its G data seeds of (value without it − their
    mean)², and t on Satterthwaite's degrees of freedom. For a mean over the data seeds of one dataset this is Student's
    interval.

    Args:
        estimate: of all trials.
        deleted: [data seeds] the estimate without each of them.
        dataset: [data seeds] the dataset of each.

    Returns:
        `ci_low` and `ci_high`; or `interval_reason`, with fewer than 6 data seeds on a dataset or where the estimate is
        undefined without one of them.
    """
    if np.unique(dataset, return_counts=True)[1].min() < MINIMUM_CLUSTERS:
        return {"interval_reason": too_few()}
    if not np.isfinite(deleted).all():
        return {"interval_reason": UNDEFINED_WITHOUT_ONE}
    spread = jackknife_error(deleted, dataset)
    if spread is None:
        return {"ci_low": estimate, "ci_high": estimate}
    error, df = spread
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, df)) * error
    return {"ci_low": estimate - reach, "ci_high": estimate + reach}


def jackknife_error(deleted: Floats, dataset: Ints) -> tuple[float, float] | None:
    """(standard error, degrees of freedom) of `jackknife_bounds`.

    Returns:
        None with fewer than 6 data seeds on a dataset, where the estimate is undefined without one of them, or where
        none of them makes a difference.
    """
    names, per_dataset = np.unique(dataset, return_counts=True)
    if per_dataset.min() < MINIMUM_CLUSTERS or not np.isfinite(deleted).all():
        return None
    groups = [deleted[dataset == name] for name in names]
    variances = np.asarray([(len(g) - 1) / len(g) * float(((g - g.mean()) ** 2).sum()) for g in groups])
    if not variances.any():
        return None
    df = satterthwaite(variances, np.asarray(per_dataset - 1, dtype=np.float64))
    return math.sqrt(float(variances.sum())), df


def mean_without_each(values: Floats, cluster: Ints, n_clusters: int = 0) -> Floats:
    """[clusters] the mean of the values without those of each cluster; NaN where no others are there.

    Args:
        values: [n].
        cluster: [n] the cluster of each value, numbered from 0.
        n_clusters: how many there are, if more than the values have.
    """
    sums, sizes = np.bincount(cluster, values, n_clusters), np.bincount(cluster, minlength=n_clusters)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((values.sum() - sums) / (len(values) - sizes))


def bounds(replicates: Floats, resamples: Resamples, rows: Ints) -> dict[str, Any]:
    """Interval fields of an `Estimate` by the cluster bootstrap: the middle 95 % of the replicates.

    Args:
        replicates: [replicates] the estimate in each, NaN where undefined.
        resamples: the draws behind them.
        rows: positions of the trials used, in the table that the resamples were drawn from.

    Returns:
        `ci_low` and `ci_high`; or `interval_reason`, with fewer than 10 data seeds on a dataset or where under 90 % of
        the replicates are defined.
    """
    if not resamples.enough(rows):
        return {"interval_reason": too_few(MINIMUM_RESAMPLED)}
    interval = percentile_interval(replicates)
    if interval is None:
        share = float(np.isfinite(replicates).mean()) if len(replicates) else 0.0
        return {"interval_reason": f"defined in {share:.0%} of the bootstrap replicates, under {MINIMUM_DEFINED:.0%}"}
    return {"ci_low": interval[0], "ci_high": interval[1]}


def too_few(minimum: int = MINIMUM_CLUSTERS) -> str:
    """Why there is no interval: a dataset has fewer data seeds than the jackknife or the bootstrap needs."""
    return f"fewer than {minimum} data seeds on a dataset"
