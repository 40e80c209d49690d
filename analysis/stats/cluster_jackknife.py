"""The delete-one-cluster jackknife over data seeds: the interval that the verdict rests on.

The estimate is recomputed without each data seed in turn; the spread of these values gives its standard error (Tukey,
Ann. Math. Stat. 29, 1958; Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11; CV3 in MacKinnon,
Nielsen & Webb, J. Appl. Econom. 38, 2023, who find it the most reliable of its kind with few clusters). Correlations
are taken on Fisher's z scale and the interval from Student's t. docs/calibration.md compares its coverage with that of
the bootstrap.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from analysis.stats.rank_correlation import CLIP, LEVEL, Floats, Ints, fisher_z

MINIMUM_CLUSTERS = 6
"""Fewest data seeds of a dataset; with 6 to 9 the interval is conservative."""


@dataclass(frozen=True)
class Jackknife:
    """Interval of a correlation, with its standard error and influences."""

    low: float
    high: float
    p_value: float
    """Two-sided, of a correlation of zero."""
    standard_error: float
    """Of Fisher's z."""
    df: float
    """Degrees of freedom, by Welch and Satterthwaite over the datasets."""
    influence: Floats = field(repr=False, compare=False)
    """[clusters] how far each moves z; the sum of squares is the squared standard error."""


def jackknife(estimate: float, deleted: Floats, dataset: Ints, sizes: Floats, weights: Floats) -> Jackknife | None:
    """tanh(z ± t SE) with z = atanh(estimate), |estimate| clipped at .999, and Student's t.

    SE² = sum over datasets d of f_d sum over its G_d clusters g of (z_g − mean z_g)², with z_g the value without
    cluster g. The usual f_d = (G_d − 1) / G_d scales the spread from samples with one cluster fewer to the full one
    where the variance falls as 1 / n. That of Fisher's z falls as 1 / w, with w = n − 3 summed over cells, and so
    f_d = (w_d − n_d / G_d) / w_d, the share of w that remains without an average cluster.

    The degrees of freedom are those of a sum of independent variances, one a dataset: (sum V_d)² / sum V_d² / (G_d − 1)
    (Satterthwaite, Biometrics Bull. 2, 1946). With one dataset they are G − 1; a small dataset that contributes most of
    the variance leaves few, however many data seeds the others have.

    Args:
        estimate: in [−1, 1].
        deleted: [G] the estimate without each cluster.
        dataset: [G] the dataset of each cluster: 0, 1, ….
        sizes: [datasets] n_d, the number of trials.
        weights: [datasets] w_d.

    Returns:
        None where the estimate is undefined without one of the clusters, is the same without any of them, or has no
        degree of freedom.
    """
    n_datasets = len(sizes)
    per_dataset = np.bincount(dataset, minlength=n_datasets)
    if per_dataset.max() < 2 or not np.isfinite(deleted).all():
        return None
    z = np.arctanh(np.clip(deleted, -CLIP, CLIP))
    centred = z - (np.bincount(dataset, z, n_datasets) / per_dataset)[dataset]
    factor = np.maximum(weights - sizes / per_dataset, 0) / weights
    # z falls when a cluster that raises it is deleted, hence the sign.
    influence = -np.sqrt(factor[dataset]) * centred
    error = math.sqrt(float((influence**2).sum()))
    if error < 1e-9:
        return None
    variances = np.asarray(np.bincount(dataset, influence**2, n_datasets), dtype=np.float64)
    df = satterthwaite(variances, np.asarray(per_dataset - 1, dtype=np.float64))
    return _interval(estimate, error, df, influence)


def widened(interval: Jackknife, estimate: float, variance: float) -> Jackknife:
    """The interval with an independent variance of Fisher's z, not less than 0, added to that over clusters."""
    return _interval(
        estimate, math.hypot(interval.standard_error, math.sqrt(variance)), interval.df, interval.influence
    )


def _interval(estimate: float, error: float, df: float, influence: Floats) -> Jackknife:
    at, _ = fisher_z(estimate)
    reach = float(special.stdtrit(df, 0.5 + LEVEL / 2)) * error
    p_value = float(2 * special.stdtr(df, -abs(at) / error))
    return Jackknife(math.tanh(at - reach), math.tanh(at + reach), p_value, error, df, influence)


def satterthwaite(variances: Floats, df: Floats) -> float:
    """Degrees of freedom of a sum of independent variances: (sum V)² / sum (V² / df); those without variance drop out.

    Args:
        variances: [k] not negative, one of them positive.
        df: [k] degrees of freedom of each, at least 1 where its variance is positive.
    """
    counted = variances > 0
    return float(variances.sum() ** 2 / (variances[counted] ** 2 / df[counted]).sum())
