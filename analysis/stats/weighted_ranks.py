"""Midranks of a sample in which each value occurs a given number of times, for many samples at once."""

import numpy as np

from analysis.stats.rank_correlation import Floats


def weighted_midranks(values: Floats, weights: Floats) -> Floats:
    """Midrank of each value in the sample that repeats it `weights` times.

    A group of ties with L copies below it and U up to its end has the midrank (L + U + 1) / 2; with weights of one
    these are the usual midranks.

    Args:
        values: [n], none missing.
        weights: [samples, n], whole and not negative: a bootstrap replicate's draws.

    Returns:
        [samples, n]; a value that does not occur gets the rank it would have.
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
