"""Rank correlation within groups of trials, whole and without each cluster, for many groups at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.stats.rank_correlation import Floats, Ints
from analysis.stats.reweighted import weighted_midranks


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
    kept = np.ones((1 + len(clusters), len(x)))
    kept[1 + position, np.arange(len(x))] = 0.0
    size = kept.sum(axis=1)
    names = [x, y] if control is None else [x, y, control]
    ranks = [_centred(weighted_midranks(values, kept), kept, size) for values in names]
    raw = [_centred(np.broadcast_to(values, kept.shape), kept, size) for values in names]
    xy, xx, yy = _moments(ranks, kept)
    cross, squares, _ = _moments(raw, kept)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = np.clip(xy / np.sqrt(xx * yy), -1.0, 1.0)
    lost = 3 if control is None else 4
    rho = np.where((xx > _TINY) & (yy > _TINY) & (size >= 3), rho, np.nan)
    return WithoutEach(clusters, rho, np.maximum(size - lost, 0.0), cross, squares)


_TINY = 1e-9


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
